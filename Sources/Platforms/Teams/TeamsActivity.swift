import Bytes
import JSON
import Messaging

/// Reads one activity. Its type decides:
///
/// - `message`: a message; a submitted card is one whose text is what was submitted;
/// - `messageUpdate`: an edit; `messageDelete`: a deletion; `messageReaction`: what was added and removed;
/// - `conversationUpdate`: people who came and went and new titles, beside a system message;
/// - `invoke` of a card's action: the presser's message, which answers the card; other invokes, events that
///   are no receipt, installations and other known types: a system message;
/// - `typing`: typing; the event `readReceipt`: a read mark;
/// - types that this version does not know: an unsupported message.
///
/// What has no field of its own is in `details`, under the Bot Framework's names.
struct TeamsActivity {
  private static let systemTypes: Set<String> = [
    "installationUpdate", "contactRelationUpdate", "endOfConversation", "deleteUserData", "handoff",
    "command", "commandResult", "suggestion", "trace", "event", "invoke",
  ]

  /// Members that the model's own fields carry.
  private static let mapped: Set<String> = [
    "type", "id", "timestamp", "from", "conversation", "text", "replyToId", "attachments", "recipient",
    "channelId",
  ]

  /// Those that a system message carries.
  private static let systemMapped = mapped.subtracting(["text", "replyToId", "attachments"])

  private static let readReceipt = "application/vnd.microsoft.readReceipt"

  /// The reactions that Teams has names for; others come under names of their own.
  private static let emoji = [
    "like": "👍", "heart": "❤️", "laugh": "😆", "surprised": "😮", "sad": "😢", "angry": "😡",
  ]

  private let reader: JSONReader
  private let type: String
  private let place: TeamsPlace
  private let sentAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    type = try reader.required("type", reader.text("type"))
    place = try TeamsPlace(reader)
    if let text = try reader.text("timestamp") {
      guard let time = Timestamp(rfc3339: text) else {
        throw .wrongValue(path: "timestamp", expected: "an RFC 3339 time")
      }
      sentAt = time.clamped
    } else {
      sentAt = receivedAt
    }
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch type {
    case "message": return [.message(try message())]
    case "messageUpdate": return [.edit(try edit())]
    case "messageDelete":
      let id = try reader.requiredID("id")
      return [.delete(MessageDeletion(conversation: place.conversation, externalIDs: [id], at: sentAt))]
    case "messageReaction": return try reactions()
    case "conversationUpdate": return try changes() + [.message(try system())]
    case "typing":
      return [.typing(Typing(conversation: place.conversation, sender: try sender(), isTyping: true))]
    case "event" where try reader.text("name") == Self.readReceipt: return [.read(try read())]
    case "invoke" where try reader.text("name") == "adaptiveCard/action": return [.message(try pressed())]
    case _ where Self.systemTypes.contains(type): return [.message(try system())]
    default: return [.message(try unsupported())]
    }
  }

  // MARK: Messages

  private func message() throws(NormaliseError) -> InboundMessage {
    let content = try TeamsContent(reader)
    let id = try reader.requiredID("id")
    let submitted = content.text == nil ? try TeamsContent.submitted(reader["value"]) : nil
    return InboundMessage(
      conversation: place.conversation, externalID: id, sender: try sender(), kind: content.kind,
      text: content.text ?? submitted, attachments: content.attachments,
      replyTo: try content.quoted.or(replyTo(id)), threadID: place.threadID, details: details(content),
      sentAt: sentAt, order: Int64(id) ?? 0)
  }

  private func edit() throws(NormaliseError) -> MessageEdit {
    let content = try TeamsContent(reader)
    return MessageEdit(
      conversation: place.conversation, externalID: try reader.requiredID("id"), kind: content.kind,
      text: content.text, attachments: content.attachments, details: details(content), editedAt: sentAt)
  }

  /// In channels everything names its thread's first message as the one it answers; that is no reply.
  private func replyTo(_ id: String?) throws(NormaliseError) -> String? {
    guard let target = try reader.id("replyToId"), target != id, target != place.threadID else { return nil }
    return target
  }

  private func details(_ content: TeamsContent) -> JSONValue? {
    let attachments = content.others.isEmpty ? [:] : ["attachments": JSONValue.array(content.others)]
    return details(without: Self.mapped, adding: attachments)
  }

  private func details(without names: Set<String>, adding more: [String: JSONValue] = [:]) -> JSONValue? {
    var details = reader.rest(without: names).merging(more) { $1 }
    details["aadObjectId"] = reader["from"]?["aadObjectId"]
    return details.isEmpty ? nil : .object(details)
  }

  /// A card's button: what was pressed is said by the one who pressed it.
  private func pressed() throws(NormaliseError) -> InboundMessage {
    let action = try reader.object("value")?.object("action")
    let text =
      try (action?.text("title")).or(action?.text("verb")).or(TeamsContent.submitted(action?["data"]))
    return InboundMessage(
      conversation: place.conversation, externalID: try eventID(), sender: try sender(), kind: .text,
      text: text.map { MessageText.sanitised($0) }, replyTo: try replyTo(nil), threadID: place.threadID,
      details: details(without: Self.mapped.subtracting(["text", "attachments"])), sentAt: sentAt)
  }

  private func unsupported() throws(NormaliseError) -> InboundMessage {
    InboundMessage(
      conversation: place.conversation, externalID: try eventID(), sender: try sender(), kind: .unsupported,
      threadID: place.threadID, details: ["raw": .object(reader.members)], sentAt: sentAt)
  }

  /// Something that happened, told by its name.
  private func system() throws(NormaliseError) -> InboundMessage {
    let service = try eventName()
    let renamed = try place.renamed(reader)
    return InboundMessage(
      conversation: renamed?.externalID == place.conversation.externalID
        ? renamed ?? place.conversation : place.conversation,
      externalID: try eventID(), sender: try sender(), kind: .system,
      text: try summary() ?? MessageText.sanitised(service), threadID: place.threadID,
      details: details(without: Self.systemMapped, adding: ["service": .string(service)]), sentAt: sentAt)
  }

  private func eventName() throws(NormaliseError) -> String {
    if let name = try reader.text("name") { return name }
    if let action = try reader.text("action") { return "\(type) \(action)" }
    return try reader.object("channelData")?.text("eventType") ?? type
  }

  private func summary() throws(NormaliseError) -> String? {
    let joined = try people("membersAdded").map { $0.name ?? $0.id }
    let left = try people("membersRemoved").map { $0.name ?? $0.id }
    let lines = [
      joined.isEmpty ? nil : "\(joined.joined(separator: ", ")) joined",
      left.isEmpty ? nil : "\(left.joined(separator: ", ")) left",
    ].compactMap { $0 }
    return lines.isEmpty ? nil : MessageText.sanitised(lines.joined(separator: "; "))
  }

  /// Kept apart from messages' ids. What has no id of its own is told apart by its time.
  private func eventID() throws(NormaliseError) -> String {
    "\(MessageText.sanitised(type, bytesMax: 64)):\(try reader.id("id") ?? sentAt.rfc3339)"
  }

  // MARK: Changes

  private func reactions() throws(NormaliseError) -> [InboundItem] {
    let target = try reader.requiredID("replyToId")
    let actor = try sender()
    var items: [InboundItem] = []
    func add(
      _ name: String, _ change: (String) -> ReactionChange.Change
    ) throws(NormaliseError) {
      for entry in try reader.objects(name) ?? [] {
        let type = try entry.requiredID("type")
        items.append(
          .reaction(
            ReactionChange(
              conversation: place.conversation, externalID: target, actor: actor,
              change: change(Self.emoji[type] ?? MessageText.sanitised(type, bytesMax: 64)), at: sentAt)))
      }
    }
    try add("reactionsRemoved") { .remove($0) }
    try add("reactionsAdded") { .add($0) }
    guard !items.isEmpty else { throw .missing(path: "reactionsAdded") }
    return items
  }

  private func read() throws(NormaliseError) -> ReadMark {
    let value = try reader.requiredObject("value")
    return ReadMark(
      conversation: place.conversation, reader: try sender(),
      upTo: .message(try value.requiredID("lastReadMessageId")), at: sentAt)
  }

  private func changes() throws(NormaliseError) -> [InboundItem] {
    var items: [InboundItem] = []
    if let renamed = try place.renamed(reader) {
      items.append(.conversation(ConversationChange(conversation: renamed, at: sentAt)))
    }
    let joined = try people("membersAdded")
    let left = try people("membersRemoved")
    if !joined.isEmpty || !left.isEmpty {
      items.append(
        .membership(
          MembershipChange(conversation: place.conversation, joined: joined, left: left, at: sentAt)))
    }
    return items
  }

  // MARK: People

  private func sender() throws(NormaliseError) -> Person {
    guard let from = try reader.object("from") else { return Person(id: "teams", name: "Microsoft Teams") }
    return try Self.person(from)
  }

  private func people(_ name: String) throws(NormaliseError) -> [Person] {
    var people: [Person] = []
    for entry in try reader.objects(name) ?? [] { people.append(try Self.person(entry)) }
    return people
  }

  private static func person(_ reader: JSONReader) throws(NormaliseError) -> Person {
    Person(id: try reader.requiredID("id"), name: MessageText.name(try reader.text("name")))
  }
}

/// Where an activity happened. A channel's threads have ids that lead with the channel's; they do not split
/// the conversation.
struct TeamsPlace {
  private static let threadMark = ";messageid="

  let conversation: ConversationRef
  let threadID: String?

  init(_ activity: JSONReader) throws(NormaliseError) {
    let reader = try activity.requiredObject("conversation")
    let id = try reader.requiredID("id")
    let mark = id.utf8.firstPlace(of: Self.threadMark.utf8)
    let place = mark.map { String(id[..<$0.lowerBound]) } ?? id
    guard !place.isEmpty else { throw .wrongValue(path: reader.place("id"), expected: "a conversation's id") }
    threadID = mark.map { String(id[$0.upperBound...]) }.flatMap { $0.isEmpty ? nil : $0 }
    let isGroup = try reader.flag("isGroup") ?? place.hasPrefix("19:")
    let kind: ConversationRef.Kind =
      switch try reader.text("conversationType") {
      case "personal"?: .direct
      case "groupChat"?, "channel"?: .group
      default: isGroup ? .group : .direct
      }
    var title = MessageText.name(try reader.text("name"))
    // A direct conversation is called after the other side.
    let from = try activity.object("from")
    if kind == .direct, title == nil, try from?.id("id") != activity.object("recipient")?.id("id") {
      title = MessageText.name(try from?.text("name"))
    }
    conversation = ConversationRef(externalID: place, kind: kind, title: title)
  }

  /// The conversation that an update gives another title; a channel's stands beside the team's.
  func renamed(_ activity: JSONReader) throws(NormaliseError) -> ConversationRef? {
    var renamed = conversation
    if let topic = MessageText.name(try activity.text("topicName")) {
      renamed.title = topic
      return renamed
    }
    guard let data = try activity.object("channelData") else { return nil }
    switch try data.text("eventType") {
    case "channelCreated"?, "channelRenamed"?, "channelRestored"?:
      guard let channel = try data.object("channel"), let name = MessageText.name(try channel.text("name"))
      else { return nil }
      return ConversationRef(externalID: try channel.requiredID("id"), kind: .group, title: name)
    case "teamRenamed"?:
      guard let name = MessageText.name(try data.object("team")?.text("name")) else { return nil }
      renamed.title = name
      return renamed
    default: return nil
    }
  }
}
