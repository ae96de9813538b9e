import Bytes
import JSON
import Messaging

/// How inbound items look to the SQL functions: documented there, above `apply_edit` and its siblings.
enum ItemJSON {
  /// One row of the changes that `ingest` takes.
  struct Change {
    let kind: String
    let conversation: String
    /// The platform's id of the message that it is about; nil when it is about the conversation.
    var message: String?
    let at: Timestamp
    var order: Int64 = 0
    var body: JSONValue = .object([:])
  }

  /// A message's attachments as a JSON array; nil when there are none.
  /// - Parameter delivery: the line of the ledger that the message came with.
  static func attachments(_ attachments: [Attachment], in delivery: UUIDv7) -> String? {
    guard !attachments.isEmpty else { return nil }
    let list = attachments.map { one -> JSONValue in
      guard one.isPart, var members = attachment(one).object else { return attachment(one) }
      members["delivery"] = .string("\(delivery)")
      return .object(members)
    }
    return String(decoding: JSONValue.array(list).encoded(), as: UTF8.self)
  }

  /// The same of files that are sent: they are in the store, or where a user says.
  static func attachments(_ files: [OutboundFile]) -> String? {
    guard !files.isEmpty else { return nil }
    return String(decoding: JSONValue.array(files.map(attachment)).encoded(), as: UTF8.self)
  }

  private static func attachment(_ file: OutboundFile) -> JSONValue {
    var members: [String: JSONValue] = [
      "kind": .string(file.kind.rawValue), "name": .string(file.name), "mime": .string(file.mimeType),
    ]
    if file.storageKey.isEmpty {
      members["url"] = file.publicURL.map { .string($0) }
      members["from"] = "user"
    } else {
      members["storageKey"] = .string(file.storageKey)
      members["size"] = .integer(file.sizeBytes)
    }
    return .object(members)
  }

  /// A message's details with its album, which has no column of its own; nil when there are none.
  static func details(_ message: InboundMessage) -> String? {
    var details = message.details
    if let album = message.albumID {
      var members = details?.object ?? [:]
      members["albumId"] = .string(album)
      details = .object(members)
    }
    return details.map { String(decoding: $0.encoded(), as: UTF8.self) }
  }

  /// How many rows an item changes, about.
  static func rowCount(_ item: InboundItem) -> Int {
    switch item {
    case .delete(let deletion): deletion.externalIDs.count
    case .membership(let membership): membership.joined.count + membership.left.count
    case .message, .edit, .reaction, .status, .read, .conversation, .typing: 1
    }
  }

  /// The rows of one item that is not a message. Typing is not stored and has none.
  static func changes(_ item: InboundItem) -> [Change] {
    switch item {
    case .message, .typing: []
    case .edit(let edit): [change(edit)]
    case .delete(let deletion): changes(deletion)
    case .reaction(let reaction): [change(reaction)]
    case .status(let status): [change(status)]
    case .read(let mark): [change(mark)]
    case .membership(let membership): [change(membership)]
    case .conversation(let conversation): changes(conversation)
    }
  }

  private static func attachment(_ attachment: Attachment) -> JSONValue {
    var members: [String: JSONValue] = ["kind": .string(attachment.kind.rawValue)]
    members["externalId"] = attachment.externalID.map { .string($0) }
    members["url"] = attachment.url.map { .string($0) }
    members["name"] = attachment.name.map { .string($0) }
    members["mime"] = attachment.mimeType.map { .string($0) }
    members["size"] = attachment.sizeBytes.map { .integer($0) }
    members["width"] = pixels(attachment.width)
    members["height"] = pixels(attachment.height)
    members["duration"] = attachment.durationSeconds.map { .number($0) }
    members["caption"] = attachment.caption.map { .string($0) }
    return .object(members)
  }

  /// nil for what no picture has and the column does not hold: one wrong number is no reason to lose all.
  private static func pixels(_ count: Int?) -> JSONValue? {
    count.flatMap { Int32(exactly: $0) }.map { .integer(Int64($0)) }
  }

  private static func change(_ edit: MessageEdit) -> Change {
    // An edit is the whole new content, so every member is written.
    var body: [String: JSONValue] = [
      "text": edit.text.map { .string($0) } ?? .null, "kind": .string(edit.kind.rawValue),
      "attachments": .array(edit.attachments.map(attachment)), "details": edit.details ?? .null,
      "preview": .string(Preview.text(kind: edit.kind, text: edit.text, attachments: edit.attachments)),
    ]
    body["author"] = edit.author.map { .string($0) }
    return Change(
      kind: "edit", conversation: edit.conversation.externalID, message: edit.externalID,
      at: edit.editedAt, order: edit.order, body: .object(body))
  }

  private static func changes(_ deletion: MessageDeletion) -> [Change] {
    deletion.externalIDs.map {
      Change(kind: "delete", conversation: deletion.conversation.externalID, message: $0, at: deletion.at)
    }
  }

  private static func change(_ reaction: ReactionChange) -> Change {
    let (operation, emoji): (String, [String]) =
      switch reaction.change {
      case .replace(let list): ("replace", list)
      case .add(let one): ("add", [one])
      case .remove(let one): ("remove", [one])
      }
    var body: [String: JSONValue] = [
      "op": .string(operation), "emoji": .array(emoji.map { .string($0) }), "actor": person(reaction.actor),
    ]
    if reaction.isOwn { body["own"] = true }
    return Change(
      kind: "reaction", conversation: reaction.conversation.externalID, message: reaction.externalID,
      at: reaction.at, order: reaction.order, body: .object(body))
  }

  private static func change(_ status: StatusChange) -> Change {
    var body: [String: JSONValue] = ["status": .string(status.status.rawValue)]
    body["reason"] = status.reason.map { .string($0) }
    return Change(
      kind: "status", conversation: status.conversation.externalID, message: status.externalID,
      at: status.at, body: .object(body))
  }

  private static func change(_ mark: ReadMark) -> Change {
    var body: [String: JSONValue] = [:]
    switch mark.upTo {
    case .time(let time): body["upToAt"] = .string(time.rfc3339)
    case .message(let id): body["upToExternalId"] = .string(id)
    }
    return Change(
      kind: "read", conversation: mark.conversation.externalID, at: mark.at, body: .object(body))
  }

  private static func change(_ membership: MembershipChange) -> Change {
    Change(
      kind: "membership", conversation: membership.conversation.externalID, at: membership.at,
      body: [
        "joined": .array(membership.joined.map(person)), "left": .array(membership.left.map(person)),
      ])
  }

  private static func changes(_ change: ConversationChange) -> [Change] {
    var rows: [Change] = []
    if let title = change.conversation.title {
      rows.append(
        Change(
          kind: "conversation", conversation: change.conversation.externalID, at: change.at,
          order: change.order, body: ["title": .string(title)]))
    }
    if let target = change.migratedTo {
      rows.append(
        Change(
          kind: "migrate", conversation: change.conversation.externalID, at: change.at,
          order: change.order, body: ["to": .string(target)]))
    }
    return rows
  }

  private static func person(_ person: Person) -> JSONValue {
    ["id": .string(person.id), "name": person.name.map { .string($0) } ?? .null]
  }
}
