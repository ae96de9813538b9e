import Bytes
import JSON
import Messaging
import Security

/// Outgoing webhooks of Zulip (https://zulip.com/api/outgoing-webhooks): messages that mention a bot or are
/// for it alone, with a token in the body. In the format that is Slack's they are forms, and numbers lead
/// with a letter.
struct ZulipPlatform: Platform {
  let name: PlatformName = "zulip"
  let displayName = "Zulip"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasTyping: true, textUnitsMax: 10_000, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
  private static let streamTypes: Set<String> = ["stream", "channel"]
  private static let directTypes: Set<String> = ["private", "direct"]
  private static let mapped: Set<String> = [
    "id", "type", "stream_id", "display_recipient", "subject", "content", "sender_id", "sender_full_name",
    "timestamp", "avatar_url", "rendered_content",
  ]

  let credentials = [
    CredentialField(
      tokenField, "The bot's webhook token, from its zuliprc or the bots page.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      "apiKey", "The bot's API key; needed to send.", isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      "email", "The bot's email; needed to send.", isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      "server", "The server's URL; needed to send.", isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.tokenField, in: secrets) }

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
    let message = try body.requiredObject("message")
    let type = try message.text("type") ?? "private"
    let isStream = Self.streamTypes.contains(type)
    guard isStream || Self.directTypes.contains(type) else {
      return Normalised(items: [.message(try Self.unknown(type, message, delivery.receivedAt))])
    }
    let conversation: ConversationRef
    if isStream {
      let name = try message.text("display_recipient")
      conversation = ConversationRef(
        externalID: try message.id("stream_id") ?? "stream:\(name ?? "")", kind: .group,
        title: MessageText.name(name))
    } else {
      conversation = try Self.direct(message)
    }
    let text = try message.text("content").or(body.text("data"))
    let details = message.rest(without: Self.mapped).merging(
      body["trigger"].map { ["trigger": $0] } ?? [:]
    ) { first, _ in first }
    let seconds = try message.number("timestamp").flatMap { Int64(exactly: $0.rounded(.down)) }
    let read = InboundMessage(
      conversation: conversation, externalID: try message.requiredID("id"),
      sender: Person(
        id: try message.requiredID("sender_id"),
        name: MessageText.name(try message.text("sender_full_name")),
        avatar: WebAddress.checked(try message.text("avatar_url"))),
      kind: .text, text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) },
      threadID: isStream ? try message.text("subject").flatMap { MessageText.name($0) } : nil,
      details: details.isEmpty ? nil : .object(details),
      sentAt: seconds.map { Timestamp(seconds: $0).clamped } ?? delivery.receivedAt)
    return Normalised(items: [.message(read)])
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
      sender: Person(id: user, name: MessageText.name(try body.text("user_name"))), kind: .text,
      text: text.isEmpty ? nil : MessageText.sanitised(text), details: rest.isEmpty ? nil : .object(rest),
      sentAt: at)
  }

  /// The people of a direct conversation are its name.
  private static func direct(_ message: JSONReader) throws(NormaliseError) -> ConversationRef {
    let people = try message.objects("display_recipient", max: 1_000) ?? []
    var ids: [String] = []
    for person in people { ids.append(try person.requiredID("id")) }
    let sorted = ids.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
    let title = people.count == 2 ? MessageText.name(try message.text("sender_full_name")) : nil
    let id = sorted.isEmpty ? try message.requiredID("sender_id") : sorted.joined(separator: ",")
    return ConversationRef(
      externalID: MessageText.sanitised("direct:\(id)", bytesMax: 1_024),
      kind: people.count > 2 ? .group : .direct, title: title)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.flatMap { BodyToken.put($0, into: request) }
  }
}
