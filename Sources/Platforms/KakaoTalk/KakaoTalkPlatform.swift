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
  let parserVersion = 2
  /// A message is answered once, within the minute in which its callback is good.
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, textUnitsMax: 1_000, kinds: [.text, .image], replyWindow: 60)

  private static let secretField = "headerSecret"
  private static let answerField = "answer"
  static let callbackField = "useCallback"
  static let header = "X-Hub-Secret"
  private static let mapped: Set<String> = ["utterance", "user"]

  let credentials = [
    CredentialField(
      secretField, "What the header \(header) must hold, as it is added to the skill in the console.",
      isSecret: true, isRequired: true, isGenerated: true),
    CredentialField(
      answerField, "What is said at once to each message.", isSecret: false, isRequired: false,
      isGenerated: false),
    CredentialField(
      callbackField,
      "true where the block has the callback switched on: users answer with it. Without it the skill's own "
        + "answer is all.", isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    guard secrets[Self.callbackField].allSatisfy({ $0 == "true" || $0 == "false" }) else {
      return "\(Self.callbackField) must be true or false"
    }
    return RequiredSecret.fault(Self.secretField, in: secrets)
  }

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
    let words = JSONValue.string(context.secrets[Self.answerField].first ?? "Received.")
    if context.secrets.first(Self.callbackField) == "true", Self.hasCallback(request.body) {
      return .accepted(.json(["version": "2.0", "useCallback": true, "data": ["text": words]]))
    }
    let output: JSONValue = ["simpleText": ["text": words]]
    return .accepted(.json(["version": "2.0", "template": ["outputs": .array([output])]]))
  }

  /// A callback may be announced only where the request offers one.
  private static func hasCallback(_ body: [UInt8]) -> Bool {
    (try? JSONReader(body: body))?["userRequest"]?["callbackUrl"]?.string != nil
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
