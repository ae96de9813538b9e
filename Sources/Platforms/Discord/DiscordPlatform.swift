import Bytes
import JSON
import Messaging
import Security

/// A Discord app: interactions and webhook events over HTTP
/// (https://discord.com/developers/docs/interactions/receiving-and-responding).
///
/// Both are signed with the app's key; ordinary messages do not come by webhook and are polled. How each is
/// read stands in `DiscordInteraction` and `DiscordMessage`.
struct DiscordPlatform: Platform {
  let name: PlatformName = "discord"
  let displayName = "Discord"
  let parserVersion = 3
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasTyping: true, textUnitsMax: 2_000,
    kinds: [.text, .image, .video, .audio, .file, .sticker, .poll])

  private static let keyField = "publicKey"
  private static let testKeyField = "testKey"
  private static let answerField = "answer"
  private static let signatureHeader = "X-Signature-Ed25519"
  private static let timeHeader = "X-Signature-Timestamp"
  /// How old a request may be, and how far the clocks apart. Discord's own answer is due in 3 seconds.
  private static let windowSeconds: Int64 = 300
  /// Only the person who did something sees the answer.
  private static let ephemeral: Int64 = 64

  let credentials = [
    CredentialField(
      keyField,
      "The application's public key: 64 hexadecimal digits; not needed by an account that only polls.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      answerField, "What is answered at once to a command or a form, seen by its sender only.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      DiscordAPI.tokenField, "The bot's token; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      DiscordAPI.guildsField,
      "Ids of the guilds that are polled, with commas; empty: all that the bot is in.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      DiscordAPI.channelsField, "Ids of channels that are polled besides, such as direct ones, with commas.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      testKeyField,
      "Only for simulations: an Ed25519 seed of 64 hexadecimal digits; what it signs is taken too. Leave it "
        + "unset in production.", isSecret: true, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.keyField]
    guard !values.isEmpty || secrets.first(DiscordAPI.tokenField) != nil else {
      return "\(Self.keyField) is missing; an account that only polls needs \(DiscordAPI.tokenField) instead"
    }
    guard values.allSatisfy({ Self.publicKey($0) != nil }) else {
      return "\(Self.keyField) must be 64 hexadecimal digits"
    }
    let areSeeds = secrets[Self.testKeyField].allSatisfy { Self.testKey($0) != nil }
    return areSeeds ? nil : "\(Self.testKeyField) must be 64 hexadecimal digits"
  }

  private static func publicKey(_ text: String) -> Ed25519.PublicKey? {
    Hex.decode(text).flatMap { Ed25519.PublicKey($0) }
  }

  private static func testKey(_ text: String) -> Ed25519.PrivateKey? {
    Hex.decode(text).flatMap { Ed25519.PrivateKey(seed: $0) }
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header(Self.signatureHeader), let stamp = request.header(Self.timeHeader)
    else { return .refused(reason: "\(Self.signatureHeader) or \(Self.timeHeader) is missing") }
    guard let signature = Hex.decode(header), signature.count == 64 else {
      return .refused(reason: "the header \(Self.signatureHeader) is not 128 hexadecimal digits")
    }
    guard let seconds = Int64(stamp),
      context.now.seconds.subtractingReportingOverflow(seconds).partialValue.magnitude
        <= Self.windowSeconds
    else { return .refused(reason: "the request is from another time") }
    let signed = Array(stamp.utf8) + request.body
    // Public keys are no secret; nothing is learned from the time this takes.
    let isGood =
      context.secrets[Self.keyField].contains {
        Self.publicKey($0)?.verifies(signature, of: signed) ?? false
      }
      || context.secrets[Self.testKeyField].contains { seed in
        Self.testKey(seed).map { constantTimeEquals($0.sign(signed), signature) } ?? false
      }
    guard isGood else { return .refused(reason: "the signature is wrong") }
    guard let body = try? JSONReader(body: request.body) else { return .accepted(WebhookAnswer(status: 204)) }
    return verdict(body, context.secrets)
  }

  private func verdict(_ body: JSONReader, _ secrets: AccountSecrets) -> WebhookVerdict {
    let type = body["type"]?.integer
    if body.has("event") { return .accepted(WebhookAnswer(status: 204)) }
    switch type {
    case 0: return .answer(WebhookAnswer(status: 204))
    case 1: return .answer(.json(["type": 1]))
    // A pressed button keeps its message as it is.
    case 3: return .accepted(.json(["type": 6]))
    case 4: return .accepted(.json(["type": 8, "data": ["choices": []]]))
    default:
      let words = secrets[Self.answerField].first ?? "Received."
      return .accepted(
        .json(["type": 4, "data": ["content": .string(words), "flags": .integer(Self.ephemeral)]]))
    }
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    if let event = try body.object("event") {
      return Normalised(items: try DiscordEvent.items(event, receivedAt: delivery.receivedAt))
    }
    return Normalised(items: try DiscordInteraction(body, receivedAt: delivery.receivedAt).items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let key = secrets[Self.testKeyField].first.flatMap({ Self.testKey($0) }) else { return nil }
    let stamp = String(now.seconds)
    return request.adding(
      WebhookHeader(Self.timeHeader, stamp),
      WebhookHeader(Self.signatureHeader, Hex.encode(key.sign(Array(stamp.utf8) + request.body))))
  }
}
