import Bytes
import JSON
import Messaging
import Security

/// Outgoing webhooks of Zulip (https://zulip.com/api/outgoing-webhooks): messages that mention a bot or are
/// for it alone, with a token in the body.
struct ZulipPlatform: Platform {
  let name: PlatformName = "zulip"
  let displayName = "Zulip"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasTyping: true, textUnitsMax: 10_000, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
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
    guard let token = (try? JSONReader(body: request.body))?["token"]?.string else {
      return .refused(reason: "the body is not JSON with a token")
    }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    return .accepted(.json(["response_not_required": true]))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let message = try body.requiredObject("message")
    let isStream = ["stream", "channel"].contains(try message.text("type"))
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
