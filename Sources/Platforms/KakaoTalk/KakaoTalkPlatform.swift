import Bytes
import JSON
import Messaging
import Security

/// A skill server of a KakaoTalk chatbot (https://kakaobusiness.gitbook.io/main/tool/chatbot/skill_guide).
///
/// Nothing is signed: the console adds a header with a secret. Requests have neither an id nor a time: the
/// same words of one person within one second are one message, unless a callback tells them apart.
struct KakaoTalkPlatform: Platform {
  let name: PlatformName = "kakaotalk"
  let displayName = "KakaoTalk"
  let parserVersion = 1
  /// What answers a message is the answer to its request only.
  let capabilities = ConversationCapabilities()

  private static let secretField = "headerSecret"
  private static let answerField = "answer"
  static let header = "X-Hub-Secret"
  private static let mapped: Set<String> = ["utterance", "user", "callbackUrl"]

  let credentials = [
    CredentialField(
      secretField, "What the header \(header) must hold, as it is added to the skill in the console.",
      isSecret: true, isRequired: true, isGenerated: true),
    CredentialField(
      answerField, "What is said at once to each message.", isSecret: false, isRequired: false,
      isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.secretField, in: secrets) }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.secretField].isEmpty ? [Self.secretField: Base64.encode(random(32), .url)] : [:]
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let secret = request.header(Self.header) else {
      return .refused(reason: "the header \(Self.header) is missing")
    }
    guard context.secrets.contains(secret, in: Self.secretField) else {
      return .refused(reason: "the header \(Self.header) is wrong")
    }
    let words = context.secrets[Self.answerField].first ?? "Received."
    let output: JSONValue = ["simpleText": ["text": .string(words)]]
    return .accepted(.json(["version": "2.0", "template": ["outputs": .array([output])]]))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let request = try body.requiredObject("userRequest")
    let id = try request.requiredObject("user").requiredID("id")
    let text = try request.text("utterance") ?? ""
    let callback = try request.text("callbackUrl").map { Self.digest($0) }
    let moment = "\(id):\(delivery.receivedAt.seconds):\(Self.digest(text))"
    var details = request.rest(without: Self.mapped)
    if let user = try request.object("user")?.object("properties") { details["user"] = .object(user.members) }
    for name in ["intent", "action", "bot"] { details[name] = body[name] }
    return Normalised(items: [
      .message(
        InboundMessage(
          conversation: ConversationRef(externalID: id, kind: .direct),
          externalID: callback ?? moment, sender: Person(id: id), kind: text.isEmpty ? .unsupported : .text,
          text: text.isEmpty ? nil : MessageText.sanitised(text),
          details: text.isEmpty
            ? ["raw": .object(body.members)] : details.isEmpty ? nil : .object(details),
          sentAt: delivery.receivedAt))
    ])
  }

  private static func digest(_ text: String) -> String {
    Hex.encode(Digest.sha256(Array(text.utf8)).prefix(16))
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.secretField].first.map { request.adding(WebhookHeader(Self.header, $0)) }
  }
}
