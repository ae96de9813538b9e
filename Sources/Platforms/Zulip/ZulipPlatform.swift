import Bytes
import JSON
import Messaging
import Security

/// Zulip: polled with a bot's or user's API key, or by outgoing webhooks
/// (https://zulip.com/api/outgoing-webhooks), which tell of messages that mention a bot or are for it alone,
/// with a token in the body.
struct ZulipPlatform: Platform {
  let name: PlatformName = "zulip"
  let displayName = "Zulip"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    canMarkRead: true, hasTyping: true, textUnitsMax: 10_000, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
  private static let types: Set<String> = ["stream", "channel", "private", "direct"]

  let credentials = [
    CredentialField(
      tokenField, "The bot's webhook token, from its zuliprc or the bots page; needed for webhooks.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.keyField, "The bot's or user's API key; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.emailField, "The email of that bot or user; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.serverField, "The server's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.tokenField, orPolled: ZulipAPI.keyField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let body = try? Self.reader(request.body, request.header("Content-Type")),
      let token = body["token"]?.string
    else { return .refused(reason: "the body has no token") }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    return .accepted(.json(["response_not_required": true]))
  }

  private static func reader(_ body: [UInt8], _ type: String?) throws(NormaliseError) -> JSONReader {
    FormBody.isNamed(by: type) ? try FormBody.reader(body) : try JSONReader(body: body)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try Self.reader(delivery.body, delivery.headers["content-type"])
    guard body["channel_id"] == nil else {
      return Normalised(items: [.message(try Self.form(body, delivery.receivedAt))])
    }
    let content = try body.requiredObject("message")
    let type = try content.text("type") ?? "private"
    guard Self.types.contains(type) else {
      return Normalised(items: [.message(try Self.unknown(type, content, delivery.receivedAt))])
    }
    let message = ZulipMessage(message: content, own: nil, receivedAt: delivery.receivedAt)
    let more = body["trigger"].map { ["trigger": $0] } ?? [:]
    return Normalised(items: [.message(try message.said(text: try body.text("data"), more: more))])
  }

  private static func unknown(
    _ type: String, _ message: JSONReader, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    Update.message(
      type, isKnown: false, id: try message.requiredID("id"), conversation: Update.channel("Zulip"),
      sender: Person(
        id: try message.id("sender_id") ?? "zulip",
        name: MessageText.name(try message.text("sender_full_name"))), members: message.members,
      at: receivedAt)
  }

  /// Slack's format names no message: who said what in which second is one.
  private static func form(
    _ body: JSONReader, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    let channel = String(try body.requiredID("channel_id").trimmingPrefix("C"))
    let user = String(try body.requiredID("user_id").trimmingPrefix("U"))
    let text = try body.text("text") ?? ""
    let content = ZulipUploads(text)
    let seconds = try body.id("timestamp").flatMap { Int64($0) }
    let at = seconds.map { Timestamp(seconds: $0).clamped } ?? receivedAt
    let digest = Hex.encode(Digest.sha256(Array("\(user)\n\(text)".utf8)).prefix(16))
    let rest = body.rest(without: [
      "token", "channel_id", "channel_name", "user_id", "user_name", "text", "timestamp",
    ])
    return InboundMessage(
      conversation: ConversationRef(
        externalID: channel, kind: .group, title: MessageText.name(try body.text("channel_name"))),
      externalID: "\(at.seconds):\(digest)",
      sender: Person(id: user, name: MessageText.name(try body.text("user_name"))), kind: content.kind,
      text: content.text.map { MessageText.sanitised($0) }, attachments: content.files,
      details: rest.isEmpty ? nil : .object(rest),
      sentAt: at)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.flatMap { BodyToken.put($0, into: request) }
  }
}
