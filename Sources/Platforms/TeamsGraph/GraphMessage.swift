import Bytes
import JSON
import Messaging

/// Reads a `chatMessage` of Microsoft Graph
/// (https://learn.microsoft.com/graph/api/resources/chatmessage), whole as it is now.
///
/// What it says is the newest state, so a change is told from its dates: deleted, edited, or said. An edit
/// does not tell what was said first, and waits for its message. Reactions come with every change.
struct GraphMessage {
  private static let mapped: Set<String> = [
    "@odata.context", "@odata.type", "id", "createdDateTime", "chatId", "channelIdentity", "from", "body",
    "attachments", "reactions", "replyToId", "messageType", "lastModifiedDateTime", "deletedDateTime",
    "eventDetail",
  ]
  private static let emoji = [
    "like": "👍", "heart": "❤️", "laugh": "😆", "surprised": "😮", "sad": "😢", "angry": "😡",
  ]
  private static let reactionsMax = 1_000
  /// Who is not told.
  static let unknownSender = Person(id: "teams", name: "Microsoft Teams")

  private let reader: JSONReader
  private let secrets: AccountSecrets
  private let id: String
  private let conversation: ConversationRef
  private let threadID: String?
  private let sentAt: Timestamp
  private let receivedAt: Timestamp

  /// - Parameter place: where the notification says it is; the message's own word counts first.
  init(
    _ reader: JSONReader, _ place: GraphPlace, secrets: AccountSecrets, _ receivedAt: Timestamp
  ) throws(NormaliseError) {
    self.reader = reader
    self.secrets = secrets
    self.receivedAt = receivedAt
    id = try reader.requiredID("id")
    let channel = try reader.object("channelIdentity")?.id("channelId")
    let holder = try channel.or(reader.id("chatId")).or(place.conversation?.externalID)
    conversation = GraphPlace.conversation(try reader.required("chatId", holder))
    let root = try reader.id("replyToId") ?? id
    threadID = channel == nil ? place.threadID(of: id) : root
    sentAt = try Self.time(reader, "createdDateTime") ?? Self.time(ofID: id) ?? receivedAt
  }

  /// Ids of messages are milliseconds since 1970.
  static func time(ofID id: String) -> Timestamp? {
    guard let number = Int64(id), number > 1_000_000_000_000 else { return nil }
    return Timestamp(milliseconds: number).clamped
  }

  /// A type's name without its namespace.
  static func lastName(_ type: String) -> String {
    type.utf8.split(separator: UInt8(ascii: ".")).last.map { String(Substring($0)) } ?? ""
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  // MARK: Reading

  /// - Parameter change: the notification's `changeType`.
  func items(_ change: String) throws(NormaliseError) -> [InboundItem] {
    let deletedAt = try Self.time(reader, "deletedDateTime")
    if deletedAt != nil || change == "deleted" {
      let at = deletedAt ?? receivedAt
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    }
    switch try reader.text("messageType") ?? "message" {
    case "message": break
    case "systemEventMessage": return try happened()
    default: return [.message(try unsupported())]
    }
    let content = try GraphContent(reader)
    if let editedAt = try Self.time(reader, "lastEditedDateTime"), change == "updated" {
      return try [.edit(edit(content, editedAt))] + reactions()
    }
    return try [.message(message(content))] + reactions()
  }

  private func message(_ content: GraphContent) throws(NormaliseError) -> InboundMessage {
    let (sender, isOwn) = try author()
    var conversation = conversation
    if conversation.kind == .direct, !isOwn { conversation.title = sender.name }
    return InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound, sender: sender,
      kind: content.kind, text: content.text, attachments: content.attachments, replyTo: content.quoted,
      threadID: threadID, details: details(content), sentAt: sentAt, order: Int64(id) ?? 0,
      status: isOwn ? .sent : nil)
  }

  private func edit(_ content: GraphContent, _ at: Timestamp) -> MessageEdit {
    MessageEdit(
      conversation: conversation, externalID: id, kind: content.kind, text: content.text,
      attachments: content.attachments, details: details(content), editedAt: at)
  }

  private func unsupported() throws(NormaliseError) -> InboundMessage {
    InboundMessage(
      conversation: conversation, externalID: id, sender: try author().0, kind: .unsupported,
      threadID: threadID, details: ["raw": .object(reader.members)], sentAt: sentAt, order: Int64(id) ?? 0)
  }

  /// Files that are none, and mentions, stay as they are. The HTML form stays beside the text.
  private func details(_ content: GraphContent) -> JSONValue? {
    var details = reader.rest(without: Self.mapped).filter { $0.value != [] }
    // An answer in a channel needs it.
    details["teamId"] = reader["channelIdentity"]?["teamId"]
    if !content.others.isEmpty { details["attachments"] = .array(content.others) }
    details["html"] = content.html.map { .string($0) }
    return details.isEmpty ? nil : .object(details)
  }

  // MARK: People

  private func author() throws(NormaliseError) -> (Person, isOwn: Bool) {
    guard let from = try reader.object("from") else { return (Self.unknownSender, false) }
    if let user = try from.object("user") {
      let person = try Self.person(user)
      return (person, secrets[TeamsGraphPlatform.userField].contains(person.id))
    }
    if let application = try from.object("application") {
      let person = try Self.person(application)
      return (person, secrets[TeamsGraphPlatform.appField].contains(person.id))
    }
    guard let device = try from.object("device") else { return (Self.unknownSender, false) }
    return (try Self.person(device), false)
  }

  private static func person(_ reader: JSONReader) throws(NormaliseError) -> Person {
    Person(id: try reader.requiredID("id"), name: MessageText.name(try reader.text("displayName")))
  }

  /// Each person's own, as they are now. Who took the last one back is not named.
  private func reactions() throws(NormaliseError) -> [InboundItem] {
    var actors: [Person] = []
    var found: [String: (names: [String], at: Timestamp)] = [:]
    for entry in try reader.objects("reactions", max: Self.reactionsMax) ?? [] {
      let from = try entry.object("user")
      let user = try from?.object("user")
      guard let actor = try user.or(from?.object("application")).map(Self.person) else { continue }
      let type = try entry.requiredID("reactionType")
      let name = type == "custom" ? MessageText.name(try entry.text("displayName")) ?? type : type
      let at = try Self.time(entry, "createdDateTime") ?? receivedAt
      if found[actor.id] == nil { actors.append(actor) }
      var own = found[actor.id] ?? (names: [], at: at)
      own.names.append(Self.emoji[name] ?? MessageText.sanitised(name, bytesMax: 64))
      own.at = max(own.at, at)
      found[actor.id] = own
    }
    return actors.compactMap { actor in
      found[actor.id].map { own in
        .reaction(
          ReactionChange(
            conversation: conversation, externalID: id, actor: actor,
            isOwn: secrets[TeamsGraphPlatform.userField].contains(actor.id), change: .replace(own.names),
            at: own.at)
        )
      }
    }
  }

  // MARK: What happened

  /// A system message, and what it changes.
  private func happened() throws(NormaliseError) -> [InboundItem] {
    let detail = try reader.object("eventDetail") ?? JSONReader([:])
    let type = Self.lastName(try detail.text("@odata.type") ?? "event")
    let name = type.hasSuffix("EventMessageDetail") ? String(type.dropLast(18)) : type
    let initiator = try detail.object("initiator")?.object("user").map(Self.person)
    let sender = try initiator.or(author().0) ?? Self.unknownSender
    var items: [InboundItem] = []
    let people = try detail.objects("members") ?? []
    let members = try people.map { member throws(NormaliseError) in try Self.person(member) }
    switch name {
    case "membersAdded", "membersJoined":
      items.append(.membership(MembershipChange(conversation: conversation, joined: members, at: sentAt)))
    case "membersDeleted", "membersLeft":
      items.append(.membership(MembershipChange(conversation: conversation, left: members, at: sentAt)))
    case "chatRenamed", "channelRenamed":
      var renamed = conversation
      let title = try detail.text("chatDisplayName").or(detail.text("channelDisplayName"))
      renamed.title = MessageText.name(title)
      items.append(.conversation(ConversationChange(conversation: renamed, at: sentAt)))
    default: break
    }
    items.append(
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, sender: sender,
          kind: name.hasPrefix("call") ? .call : .system,
          text: MessageText.sanitised(Update.words(name), bytesMax: 128),
          threadID: threadID, details: ["service": .string(name), "event": .object(detail.members)],
          sentAt: sentAt, order: Int64(id) ?? 0)))
    return items
  }
}
