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
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasReceipts: true, hasTyping: true, kinds: [.text, .image, .video, .audio, .file, .sticker],
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
      "server", "The URL of signal-cli's HTTP interface; needed to send.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.tokenField, in: secrets) }

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
    let envelope = try SignalEnvelope(
      holder.requiredObject("envelope"), account: holder.id("account"),
      own: delivery.secrets[Self.uuidField], receivedAt: delivery.receivedAt)
    return Normalised(items: try envelope.items())
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
