import Bytes
import JSON
import Messaging

/// Administrators' webhooks of a Mastodon server
/// (https://docs.joinmastodon.org/admin/webhooks/): posts, accounts and reports.
struct MastodonPlatform: Platform {
  let name: PlatformName = "mastodon"
  let displayName = "Mastodon"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    textUnitsMax: 500, kinds: [.text, .image, .video, .audio])

  private static let secretField = "webhookSecret"
  private static let signature = HMACSignature(
    header: "X-Hub-Signature", prefix: "sha256=", form: .hex, secretField: secretField)
  private static let mapped: Set<String> = [
    "id", "content", "created_at", "account", "media_attachments", "in_reply_to_id", "edited_at",
  ]
  private static let known: Set<String> = [
    "account.created", "account.approved", "account.updated", "report.created", "report.updated",
  ]

  let credentials = [
    CredentialField(
      secretField, "The signing secret that Mastodon shows for the webhook.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      "accessToken", "An access token; needed to send.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      "server", "The server's URL; needed to send.", isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.secretField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let event = try body.required("event", body.text("event"))
    let object = try body.object("object") ?? JSONReader([:])
    let at = try Self.time(body, "created_at") ?? delivery.receivedAt
    switch event {
    case "status.created": return Normalised(items: [.message(try Self.status(object, at))])
    case "status.updated": return Normalised(items: [.edit(try Self.edit(object, at))])
    default:
      let id = try object.id("id") ?? ""
      return Normalised(items: [
        .message(
          Update.message(
            event, isKnown: Self.known.contains(event), id: "\(event):\(id):\(at.microseconds)",
            conversation: Update.channel("Mastodon"), sender: Person(id: "mastodon", name: "Mastodon"),
            members: object.members, at: at))
      ])
    }
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  /// What somebody posts is a conversation with that person.
  private static func author(_ status: JSONReader) throws(NormaliseError) -> (Person, ConversationRef) {
    guard let account = try status.object("account") else {
      return (Person(id: "mastodon", name: "Mastodon"), Update.channel("Mastodon"))
    }
    let name = try account.text("display_name").flatMap { $0.isEmpty ? nil : $0 }.or(account.text("acct"))
    let person = Person(
      id: try account.requiredID("id"), name: MessageText.name(name),
      avatar: WebAddress.checked(try account.text("avatar")))
    return (person, ConversationRef(externalID: person.id, kind: .direct, title: person.name))
  }

  private static func content(
    _ status: JSONReader
  ) throws(NormaliseError) -> (text: String?, files: [Attachment], details: JSONValue?) {
    let words = HTMLText.plain(try status.text("content") ?? "")
    var files: [Attachment] = []
    for file in try status.objects("media_attachments", max: 100) ?? [] {
      let type = try file.text("type") ?? "unknown"
      let kind: Attachment.Kind = type == "gifv" ? .video : Attachment.Kind(rawValue: type) ?? .file
      files.append(
        Attachment(
          kind: kind, externalID: try file.id("id"), url: WebAddress.checked(try file.text("url")),
          caption: MessageText.name(try file.text("description"))))
    }
    let rest = status.rest(without: mapped)
    return (
      words.isEmpty ? nil : MessageText.sanitised(words), files, rest.isEmpty ? nil : .object(rest)
    )
  }

  private static func status(_ status: JSONReader, _ at: Timestamp) throws(NormaliseError) -> InboundMessage {
    let (person, conversation) = try author(status)
    let content = try content(status)
    return InboundMessage(
      conversation: conversation, externalID: try status.requiredID("id"), sender: person,
      kind: MediaKind.message(content.files), text: content.text, attachments: content.files,
      replyTo: try status.id("in_reply_to_id"), details: content.details,
      sentAt: try time(status, "created_at") ?? at)
  }

  private static func edit(_ status: JSONReader, _ at: Timestamp) throws(NormaliseError) -> MessageEdit {
    let content = try content(status)
    return MessageEdit(
      conversation: try author(status).1, externalID: try status.requiredID("id"),
      kind: MediaKind.message(content.files), text: content.text, attachments: content.files,
      details: content.details, editedAt: try time(status, "edited_at") ?? at)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
