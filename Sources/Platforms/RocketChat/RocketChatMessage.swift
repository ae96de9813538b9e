import Bytes
import JSON
import Messaging

/// Reads messages as the API gives them, with their edits and reactions as they stand. Reactions name people
/// by their user names.
struct RocketChatMessage {
  private static let mapped: Set<String> = [
    "_id", "rid", "msg", "ts", "u", "_updatedAt", "tmid", "editedAt", "editedBy", "file", "files",
    "attachments", "reactions", "t", "urls", "mentions", "channels", "md", "unread",
  ]

  private let message: JSONReader
  private let conversation: ConversationRef
  private let own: String?
  private let ownName: String?

  /// - Parameters:
  ///   - own: the account's user id.
  ///   - ownName: its user name, by which reactions name it.
  init(_ message: JSONReader, conversation: ConversationRef, own: String?, ownName: String?) {
    self.message = message
    self.conversation = conversation
    self.own = own
    self.ownName = ownName
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let id = try message.requiredID("_id")
    let type = try message.text("t") ?? ""
    if type == "rm" {
      let sent = try sentAt()
      let at = RocketChatEvent.moment(message["_updatedAt"]) ?? sent
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    }
    let read = try said(id, type)
    var items: [InboundItem] = [.message(read)]
    if let edited = RocketChatEvent.moment(message["editedAt"]) {
      items.append(
        .edit(
          MessageEdit(
            conversation: conversation, externalID: id, kind: read.kind, text: read.text,
            attachments: read.attachments, details: read.details, editedAt: edited)))
    }
    return items + (try reactions(id))
  }

  private func sentAt() throws(NormaliseError) -> Timestamp {
    try message.required("ts", RocketChatEvent.moment(message["ts"]))
  }

  private func said(_ id: String, _ type: String) throws(NormaliseError) -> InboundMessage {
    let user = try message.requiredObject("u")
    let sender = try user.requiredID("_id")
    let isOwn = sender == own && type.isEmpty
    let files = try files()
    let text = try Self.text(message, "msg")
    var details = message.rest(without: Self.mapped)
    if !type.isEmpty { details["service"] = .string(type) }
    let name = try user.text("name").or(user.text("username"))
    return InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound,
      sender: Person(id: sender, name: MessageText.name(name)),
      kind: type.isEmpty ? MediaKind.message(files) : .system,
      text: text.isEmpty ? nil : MessageText.sanitised(text), attachments: files,
      threadID: try message.id("tmid"), details: details.isEmpty ? nil : .object(details),
      sentAt: try sentAt(), status: isOwn ? .sent : nil)
  }

  /// A file's caption may be its description; integrations say everything in attachments, in Slack's form. Of
  /// what is quoted nothing is said here.
  static func text(_ message: JSONReader?, _ name: String) throws(NormaliseError) -> String {
    let text = try message?.text(name) ?? ""
    guard text.isEmpty, let all = message?["attachments"]?.array else { return text }
    let described = all.compactMap { $0["description"]?.string }.filter { !$0.isEmpty }
    if !described.isEmpty { return described.joined(separator: "\n") }
    let others = all.filter { entry in
      entry["message_link"] == nil && entry["title_link_download"] == nil && entry["type"] != "file"
    }
    guard message?.has("file") != true, message?.has("files") != true else { return "" }
    return SlackLayout.words(ofAttachments: .array(others)) ?? ""
  }

  private func files() throws(NormaliseError) -> [Attachment] {
    var entries = try message.objects("files", max: 100) ?? []
    if entries.isEmpty, let single = try message.object("file") { entries = [single] }
    var files: [Attachment] = []
    // A picture's preview is a file of its own.
    for file in entries where try file.text("typeGroup") != "thumb" {
      let type = MessageText.name(try file.text("type"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(type), externalID: try file.id("_id"),
          name: MessageText.name(try file.text("name")), mimeType: type, sizeBytes: try file.integer("size"))
      )
    }
    return files
  }

  /// A message tells the reactions that it has, not those that were taken back: of the account alone it is
  /// known that it has none.
  private func reactions(_ id: String) throws(NormaliseError) -> [InboundItem] {
    let sent = try sentAt()
    let at = RocketChatEvent.moment(message["_updatedAt"]) ?? sent
    var byUser: [String: [String]] = [:]
    if let ownName, !ownName.isEmpty, at != sent { byUser[ownName] = [] }
    let all = try message.object("reactions") ?? JSONReader([:])
    for name in all.members.keys.sorted() {
      let emoji = EmojiName.sign(MessageText.sanitised(name, bytesMax: 120))
      for user in try all.object(name)?.ids("usernames") ?? [] { byUser[user, default: []].append(emoji) }
    }
    return byUser.sorted { $0.key < $1.key }.map { user, emoji in
      .reaction(
        ReactionChange(
          conversation: conversation, externalID: id, actor: Person(id: user, name: user),
          isOwn: user == ownName, change: .replace(emoji), at: at))
    }
  }
}

/// A room as the API lists it, and as a cursor keeps it.
struct RocketChatRoom {
  let id: String
  /// `d`: direct; `c`, `p`: channels and groups; `l`: omnichannel.
  let type: String
  let title: String?
  let isPair: Bool
  let lastMessageAt: Timestamp?

  init?(_ json: JSONValue) {
    guard let id = json["_id"]?.string ?? json["rid"]?.string else { return nil }
    self.id = id
    type = json["t"]?.string ?? "c"
    title = MessageText.name(json["fname"]?.string ?? json["name"]?.string)
    let count = json["usersCount"]?.integer ?? (json["uids"]?.array).map { Int64($0.count) } ?? 2
    isPair = (type == "d" && count <= 2) || type == "l"
    lastMessageAt = RocketChatEvent.moment(json["lm"] ?? json["lastMessage"]?["ts"])
  }

  var json: JSONValue {
    var members: [String: JSONValue] = [
      "_id": .string(id), "t": .string(type), "usersCount": .integer(isPair ? 2 : 3),
    ]
    members["fname"] = title.map { .string($0) }
    return .object(members)
  }

  var conversation: ConversationRef {
    ConversationRef(externalID: id, kind: isPair ? .direct : .group, title: title)
  }

  /// The method that reads a room back in time.
  var history: String { type == "d" ? "im.history" : type == "p" ? "groups.history" : "channels.history" }
}
