import Bytes
import JSON
import Messaging
import Security

/// A Mattermost server: polled with a user's or bot's token, or by outgoing webhooks
/// (https://developers.mattermost.com/integrate/webhooks/outgoing/), which tell of posts in public channels,
/// with a token in the body, as a form or as JSON.
struct MattermostPlatform: Platform {
  let name: PlatformName = "mattermost"
  let displayName = "Mattermost"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasTyping: true, textUnitsMax: 16_383, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
  private static let mapped: Set<String> = [
    "token", "channel_id", "channel_name", "timestamp", "user_id", "user_name", "post_id", "text",
    "file_ids", "root_id", "thread_id",
  ]

  let credentials = [
    CredentialField(
      tokenField, "The token that Mattermost shows for the outgoing webhook; needed for webhooks.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      MattermostAPI.tokenField, "A user's or bot's access token; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      MattermostAPI.serverField, "The server's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.tokenField, orPolled: MattermostAPI.tokenField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let body = try? Self.reader(request.body, request.header("Content-Type")),
      let token = body["token"]?.string
    else { return .refused(reason: "the body has no token") }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    return .accepted(.ok)
  }

  private static func reader(_ body: [UInt8], _ type: String?) throws(NormaliseError) -> JSONReader {
    FormBody.isNamed(by: type) ? try FormBody.reader(body) : try JSONReader(body: body)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let reader = try Self.reader(delivery.body, delivery.headers["content-type"])
    let text = try reader.text("text") ?? ""
    var files: [Attachment] = []
    let ids = try reader.text("file_ids") ?? ""
    for id in ids.split(separator: ",").prefix(100) {
      files.append(Attachment(kind: .file, externalID: MessageText.sanitised(String(id), bytesMax: 128)))
    }
    let rest = reader.rest(without: Self.mapped).filter { $0.value != "" }
    let message = InboundMessage(
      conversation: ConversationRef(
        externalID: try reader.requiredID("channel_id"), kind: .group,
        title: MessageText.name(try reader.text("channel_name"))),
      externalID: try reader.requiredID("post_id"),
      sender: Person(
        id: try reader.requiredID("user_id"), name: MessageText.name(try reader.text("user_name"))),
      kind: files.isEmpty ? .text : .file, text: text.isEmpty ? nil : MessageText.sanitised(text),
      attachments: files, threadID: try reader.text("root_id").flatMap { $0.isEmpty ? nil : $0 },
      details: rest.isEmpty ? nil : .object(rest), sentAt: try Self.time(reader) ?? delivery.receivedAt)
    return Normalised(items: [.message(message)])
  }

  /// Seconds in a form, milliseconds in JSON.
  private static func time(_ reader: JSONReader) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.id("timestamp"), let number = Int64(text), number > 0 else { return nil }
    let isSeconds = number < 100_000_000_000
    return (isSeconds ? Timestamp(seconds: number) : Timestamp(milliseconds: number)).clamped
  }

  /// The token is part of what is sent.
  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.flatMap { BodyToken.put($0, into: request) }
  }
}
