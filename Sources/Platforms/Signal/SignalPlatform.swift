import Bytes
import JSON
import Messaging
import Security

/// Signal, by what signal-cli and signal-cli-rest-api send on
/// (https://github.com/AsamK/signal-cli/blob/master/man/signal-cli-jsonrpc.5.adoc).
///
/// Nothing is signed and nothing is sent twice: the URL, which holds the account's key, is the secret, and
/// both programs belong on one machine or network. How each is read stands in `SignalEnvelope`.
struct SignalPlatform: Platform {
  let name: PlatformName = "signal"
  let displayName = "Signal"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canEdit: true, canDelete: true, canAttach: true,
    canQuote: true,
    hasReceipts: true, canMarkRead: true, hasTyping: true,
    kinds: [.text, .image, .video, .audio, .file, .sticker],
    editAgeMax: 86_400, deleteAgeMax: 86_400)

  private static let tokenField = "token"
  private static let uuidField = "uuid"

  let credentials = [
    CredentialField(
      tokenField,
      "What the query parameter token of the URL must be: add ?token=... to the webhookUrl. Nothing else "
        + "says who sends.", isSecret: true, isRequired: true, isGenerated: true),
    CredentialField(
      uuidField, "The account's own uuid, by which others name its messages in groups.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      SignalAPI.serverField,
      "The URL of signal-cli-rest-api, or of signal-cli's daemon; needed to send and to poll.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      SignalDaemon.interfaceField, "Which of the two it is: rest (without it) or daemon.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      SignalAPI.numberField, "The account's own number, with + and country; needed to send and to poll.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    guard secrets[SignalDaemon.interfaceField].allSatisfy({ SignalDaemon.names.contains($0) }) else {
      return "\(SignalDaemon.interfaceField) must be rest or daemon"
    }
    return RequiredSecret.fault(Self.tokenField, in: secrets)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.tokenField].isEmpty ? [Self.tokenField: Base64.encode(random(32), .url)] : [:]
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let token = request.parameter(Self.tokenField) else {
      return .refused(reason: "the query parameter \(Self.tokenField) is missing")
    }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let parameters = try body.object("params")
    let holder = try parameters?.object("result") ?? parameters ?? body
    return Normalised(
      items: try Self.items(holder, secrets: delivery.secrets, receivedAt: delivery.receivedAt))
  }

  /// What an envelope says, with the account that it is for beside it.
  static func items(
    _ holder: JSONReader, secrets: AccountSecrets, receivedAt: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    let account = try holder.id("account") ?? secrets.first(SignalAPI.numberField)
    let envelope = try SignalEnvelope(
      holder.requiredObject("envelope"), account: account, own: secrets[Self.uuidField],
      receivedAt: receivedAt)
    return try envelope.items()
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.map { token in
      var request = request
      let parameter = "\(Self.tokenField)=\(token)"
      request.query = request.query.isEmpty ? parameter : "\(request.query)&\(parameter)"
      return request
    }
  }
}
