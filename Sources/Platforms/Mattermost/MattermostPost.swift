import Bytes
import JSON
import Messaging

/// Reads posts as the API gives them: with their edits, deletions and reactions as they stand.
struct MattermostPost {
  private static let mapped: Set<String> = [
    "id", "create_at", "update_at", "edit_at", "delete_at", "user_id", "channel_id", "root_id", "message",
    "file_ids", "metadata", "type", "props", "pending_post_id", "reply_count", "last_reply_at",
    "participants", "is_pinned", "original_id", "hashtags", "has_reactions",
  ]

  private let post: JSONReader
  private let conversation: ConversationRef
  /// The two of a direct conversation.
  private let members: [String]
  private let own: String?
  private let names: [String: String]

  init(
    _ post: JSONReader, conversation: ConversationRef, members: [String], own: String?,
    names: [String: String]
  ) {
    self.post = post
    self.conversation = conversation
    self.members = members
    self.own = own
    self.names = names
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let id = try post.requiredID("id")
    // What was there before an edit is a post of its own.
    if try post.text("original_id").map({ !$0.isEmpty }) == true { return [] }
    if let deleted = try time("delete_at") {
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: deleted))]
    }
    let message = try message(id)
    var items: [InboundItem] = [.message(message)]
    if let edited = try time("edit_at") {
      items.append(
        .edit(
          MessageEdit(
            conversation: conversation, externalID: id, kind: message.kind, text: message.text,
            attachments: message.attachments, details: message.details, editedAt: edited)))
    }
    return items + (try reactions(id))
  }

  /// nil: it did not happen.
  private func time(_ name: String) throws(NormaliseError) -> Timestamp? {
    try post.integer(name).flatMap { $0 > 0 ? Timestamp(milliseconds: $0).clamped : nil }
  }

  private func person(_ id: String) -> Person { Person(id: id, name: names[id]) }

  private func message(_ id: String) throws(NormaliseError) -> InboundMessage {
    let sender = try post.requiredID("user_id")
    let type = try post.text("type") ?? ""
    let isSystem = type.hasPrefix("system_")
    let isOwn = sender == own && !isSystem
    let files = try files()
    let said = try post.text("message") ?? ""
    // Integrations say everything in attachments, in Slack's form.
    let text =
      said.isEmpty ? SlackLayout.words(ofAttachments: post["props"]?["attachments"]) ?? "" : said
    let kind: MessageKind = isSystem ? .system : MediaKind.message(files)
    return InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound,
      sender: person(sender), kind: kind, text: text.isEmpty ? nil : MessageText.sanitised(text),
      attachments: files, threadID: try post.text("root_id").flatMap { $0.isEmpty ? nil : $0 },
      details: try details(type), sentAt: try post.required("create_at", time("create_at")),
      status: isOwn ? .sent : nil)
  }

  private func details(_ type: String) throws(NormaliseError) -> JSONValue? {
    var details = post.rest(without: Self.mapped).filter { $0.value != "" }
    var properties = try post.object("props")?.members ?? [:]
    details["clientKey"] = properties.removeValue(forKey: MattermostAPI.keyProperty)
    if !properties.isEmpty { details["props"] = .object(properties) }
    if !type.isEmpty { details["service"] = .string(type) }
    return details.isEmpty ? nil : .object(details)
  }

  private func files() throws(NormaliseError) -> [Attachment] {
    var files: [Attachment] = []
    for file in try post.object("metadata")?.objects("files", max: 100) ?? [] {
      let type = MessageText.name(try file.text("mime_type"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(type), externalID: try file.id("id"),
          name: MessageText.name(try file.text("name")), mimeType: type, sizeBytes: try file.integer("size"),
          width: (try file.integer("width")).flatMap { Int(exactly: $0) },
          height: (try file.integer("height")).flatMap { Int(exactly: $0) }))
    }
    if !files.isEmpty { return files }
    return (try post.ids("file_ids", max: 100) ?? []).map { Attachment(kind: .file, externalID: $0) }
  }

  /// A post tells the reactions that it has, not those that were taken back: in a direct conversation both
  /// people are known, and so is who has none.
  private func reactions(_ id: String) throws(NormaliseError) -> [InboundItem] {
    guard let changed = try time("update_at"), try time("create_at") != changed else { return [] }
    var byUser: [String: [String]] = [:]
    for member in members { byUser[member] = [] }
    for reaction in try post.object("metadata")?.objects("reactions") ?? [] {
      let emoji = EmojiName.sign(MessageText.sanitised(try reaction.requiredID("emoji_name"), bytesMax: 120))
      byUser[try reaction.requiredID("user_id"), default: []].append(emoji)
    }
    return byUser.sorted { $0.key < $1.key }.map { user, emoji in
      .reaction(
        ReactionChange(
          conversation: conversation, externalID: id, actor: person(user), isOwn: user == own,
          change: .replace(emoji), at: changed))
    }
  }
}

/// A channel as the API lists it, and as a cursor keeps it.
struct MattermostChannel {
  let id: String
  /// `D`: of two people; `G`, `P`, `O`.
  let type: String
  /// For direct channels the two users' ids.
  let name: String
  let title: String?
  let lastPostAt: Timestamp?

  init?(_ json: JSONValue) {
    guard let id = json["id"]?.string, let type = json["type"]?.string else { return nil }
    self.id = id
    self.type = type
    name = json["name"]?.string ?? ""
    title = MessageText.name(json["display_name"]?.string)
    lastPostAt = json["last_post_at"]?.integer.map { Timestamp(milliseconds: $0).clamped }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = ["id": .string(id), "type": .string(type)]
    if type == "D" { members["name"] = .string(name) }
    members["display_name"] = title.map { .string($0) }
    return .object(members)
  }

  var members: [String] {
    type == "D" ? name.split(separator: "_").filter { !$0.isEmpty }.map(String.init) : []
  }

  func conversation(own: String?, names: [String: String]) -> ConversationRef {
    let other = members.first { $0 != own }
    return ConversationRef(
      externalID: id, kind: type == "D" ? .direct : .group,
      title: type == "D" ? other.flatMap { names[$0] } : title)
  }
}
