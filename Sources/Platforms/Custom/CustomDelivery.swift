import Bytes
import JSON
import Messaging

/// Reads the body of a custom delivery: one object, or `{"batch": [...]}` of them. In a batch each
/// object stands for itself: one that cannot be read is a fault beside the others' items.
enum CustomDelivery {
  /// Objects in one batch.
  static let batchMax = 1_000
  /// Attachments of one message.
  static let attachmentsMax = 100

  static func read(_ body: JSONReader, receivedAt: Timestamp) throws(NormaliseError) -> Normalised {
    guard body.has("batch") else {
      return Normalised(items: [try CustomItem(body, receivedAt: receivedAt).item()])
    }
    guard let elements = body["batch"]?.array else {
      throw .wrongType(path: "batch", expected: "an array")
    }
    guard elements.count <= batchMax else { throw .tooMany(path: "batch", limit: batchMax) }
    var result = Normalised()
    for (index, element) in elements.enumerated() {
      let path = "batch[\(index)]"
      do throws(NormaliseError) {
        guard let members = element.object else { throw .wrongType(path: path, expected: "an object") }
        let reader = JSONReader(members, path: path)
        result.add([try CustomItem(reader, receivedAt: receivedAt).item()])
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }
}

/// One object of a custom delivery. Every time may stand in the part it belongs to or as `at` beside
/// it; where there is none, the time of arrival counts.
struct CustomItem {
  private let reader: JSONReader
  private let receivedAt: Timestamp
  private let conversation: ConversationRef

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    self.receivedAt = receivedAt
    let part = try reader.requiredObject("conversation")
    conversation = ConversationRef(
      externalID: try part.requiredID("id"),
      kind: try Self.choice(part, "kind", ConversationRef.Kind.self) ?? .direct,
      title: MessageText.name(try part.text("title")))
  }

  func item() throws(NormaliseError) -> InboundItem {
    switch try reader.required("type", reader.text("type")) {
    case "message": .message(try message())
    case "message.edited": .edit(try edit())
    case "message.deleted": .delete(try deletion())
    case "reaction": .reaction(try reaction())
    case "status": .status(try status())
    case "read": .read(try read())
    case "typing": .typing(try typing())
    case "membership": .membership(try membership())
    case "conversation": .conversation(try change())
    case let type: .message(try unsupported(type))
    }
  }

  // MARK: Messages

  private func message() throws(NormaliseError) -> InboundMessage {
    let part = try reader.requiredObject("message")
    let attachments = try attachments(part)
    let direction = try direction(part)
    let status = try Self.choice(part, "status", MessageStatus.self)
    return InboundMessage(
      conversation: conversation, externalID: try part.requiredID("id"), direction: direction,
      sender: try person(part, "sender") ?? Person(id: direction == .inbound ? "unknown" : "self"),
      kind: try kind(part, attachments), text: try text(part), attachments: attachments,
      replyTo: try part.id("replyTo"), threadID: try part.id("threadId"), albumID: try part.id("albumId"),
      details: part["details"], sentAt: try time(part, "sentAt"), order: try part.integer("order") ?? 0,
      status: direction == .outbound ? status ?? .sent : nil)
  }

  /// A type of a later version: kept whole, and read anew by a replay.
  private func unsupported(_ type: String) throws(NormaliseError) -> InboundMessage {
    let part = try reader.object("message")
    guard let id = try (part?.id("id")).or(reader.id("id")) else {
      throw .wrongValue(path: reader.place("type"), expected: "a type that the hub knows")
    }
    return InboundMessage(
      conversation: conversation, externalID: id,
      sender: try person(part ?? reader, "sender") ?? Person(id: "unknown"),
      kind: .unsupported, details: ["raw": .object(reader.members)], sentAt: try time(part, "sentAt"))
  }

  private func edit() throws(NormaliseError) -> MessageEdit {
    let part = try reader.requiredObject("message")
    let attachments = try attachments(part)
    return MessageEdit(
      conversation: conversation, externalID: try part.requiredID("id"), kind: try kind(part, attachments),
      text: try text(part), attachments: attachments, details: part["details"],
      editedAt: try time(part, "editedAt"), order: try part.integer("order") ?? 0)
  }

  private func deletion() throws(NormaliseError) -> MessageDeletion {
    let part = try reader.object("message")
    var ids = try reader.ids("messageIds") ?? []
    if let id = try part?.id("id") { ids.append(id) }
    guard !ids.isEmpty else { throw .missing(path: reader.place("message.id")) }
    return MessageDeletion(
      conversation: conversation, externalIDs: ids, at: try time(part, "deletedAt"))
  }

  private func reaction() throws(NormaliseError) -> ReactionChange {
    let message = try reader.requiredObject("message")
    let part = try reader.required("reaction", reader.object("reaction").or(message.object("reaction")))
    let actor = try person(part, "actor").or(person(reader, "actor")).or(person(reader, "sender"))
    let change: ReactionChange.Change
    if let emoji = try part.ids("replace", max: 100) {
      change = .replace(emoji)
    } else {
      let emoji = try part.requiredID("emoji")
      switch try part.text("action") ?? "add" {
      case "add": change = .add(emoji)
      case "remove": change = .remove(emoji)
      default: throw .wrongValue(path: part.place("action"), expected: "add or remove")
      }
    }
    return ReactionChange(
      conversation: conversation, externalID: try message.requiredID("id"),
      actor: try part.required("actor", actor), change: change, at: try time(part, "at"),
      order: try part.integer("order").or(reader.integer("order")) ?? 0)
  }

  private func status() throws(NormaliseError) -> StatusChange {
    let part = try reader.requiredObject("message")
    let status =
      try Self.choice(reader, "status", MessageStatus.self)
      .or(Self.choice(part, "status", MessageStatus.self))
    return StatusChange(
      conversation: conversation, externalID: try part.requiredID("id"),
      status: try reader.required("status", status),
      reason: MessageText.name(try reader.text("reason").or(part.text("reason"))), at: try time(nil, "at"))
  }

  // MARK: The conversation

  private func read() throws(NormaliseError) -> ReadMark {
    let at = try time(nil, "at")
    let id = try reader.object("message")?.id("id")
    let bound: ReadMark.Bound = if let id { .message(id) } else { .time(try time(nil, "upTo")) }
    return ReadMark(
      conversation: conversation, reader: try person(reader, "reader").or(person(reader, "sender")),
      upTo: bound, at: at)
  }

  private func typing() throws(NormaliseError) -> Typing {
    Typing(
      conversation: conversation,
      sender: try reader.required("sender", person(reader, "sender").or(person(reader, "actor"))),
      isTyping: try reader.flag("isTyping") ?? true)
  }

  private func membership() throws(NormaliseError) -> MembershipChange {
    MembershipChange(
      conversation: conversation, joined: try people("joined"), left: try people("left"),
      at: try time(nil, "at"))
  }

  private func change() throws(NormaliseError) -> ConversationChange {
    let part = try reader.requiredObject("conversation")
    let target = try part.id("migratedTo")
    guard target != conversation.externalID else {
      throw .wrongValue(path: part.place("migratedTo"), expected: "another conversation's id")
    }
    return ConversationChange(
      conversation: conversation, migratedTo: target, at: try time(nil, "at"),
      order: try reader.integer("order") ?? 0)
  }

  // MARK: Parts

  private func text(_ part: JSONReader) throws(NormaliseError) -> String? {
    try part.text("text").map { MessageText.sanitised($0) }
  }

  private func direction(_ part: JSONReader) throws(NormaliseError) -> InboundMessage.Direction {
    switch try part.text("direction") {
    case nil, "inbound"?: return .inbound
    case "outbound"?: return .outbound
    default: throw .wrongValue(path: part.place("direction"), expected: "inbound or outbound")
    }
  }

  /// The kind that is named, or else that of the first attachment, or else text.
  private func kind(_ part: JSONReader, _ attachments: [Attachment]) throws(NormaliseError) -> MessageKind {
    if let kind = try Self.choice(part, "kind", MessageKind.self) { return kind }
    return attachments.first.flatMap { MessageKind(rawValue: $0.kind.rawValue) } ?? .text
  }

  private func attachments(_ part: JSONReader) throws(NormaliseError) -> [Attachment] {
    var result: [Attachment] = []
    for entry in try part.objects("attachments", max: CustomDelivery.attachmentsMax) ?? [] {
      result.append(
        Attachment(
          kind: try Self.choice(entry, "kind", Attachment.Kind.self) ?? .file,
          externalID: try entry.id("externalId").or(entry.id("id")), url: try url(entry, "url"),
          name: MessageText.name(try entry.text("name")),
          mimeType: MessageText.name(try entry.text("mimeType")), sizeBytes: try entry.integer("size"),
          width: try entry.integer("width").flatMap { Int(exactly: $0) },
          height: try entry.integer("height").flatMap { Int(exactly: $0) },
          durationSeconds: try entry.number("duration"),
          caption: try entry.text("caption").map { MessageText.sanitised($0) }))
    }
    return result
  }

  /// Web addresses only: a frontend will follow it.
  private func url(_ part: JSONReader, _ name: String) throws(NormaliseError) -> String? {
    guard let text = try part.text(name) else { return nil }
    guard text.hasPrefix("https://") || text.hasPrefix("http://"), text.utf8.count <= 4_096,
      text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
    else { throw .wrongValue(path: part.place(name), expected: "an http or https URL of up to 4096 bytes") }
    return text
  }

  private func person(_ part: JSONReader, _ name: String) throws(NormaliseError) -> Person? {
    guard let person = try part.object(name) else { return nil }
    return Person(
      id: try person.requiredID("id"), name: MessageText.name(try person.text("name")),
      avatar: try url(person, "avatar"))
  }

  private func people(_ name: String) throws(NormaliseError) -> [Person] {
    var people: [Person] = []
    for entry in try reader.objects(name) ?? [] {
      people.append(
        Person(
          id: try entry.requiredID("id"), name: MessageText.name(try entry.text("name")),
          avatar: try url(entry, "avatar")))
    }
    return people
  }

  /// RFC 3339 under `name` in the part or under `at` beside it.
  private func time(_ part: JSONReader?, _ name: String) throws(NormaliseError) -> Timestamp {
    let places = [(part ?? reader, name), (reader, name), (reader, "at")]
    for (reader, name) in places {
      guard let text = try reader.text(name) else { continue }
      guard let time = Timestamp(rfc3339: text) else {
        throw .wrongValue(path: reader.place(name), expected: "an RFC 3339 time")
      }
      return time.clamped
    }
    return receivedAt
  }

  private static func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ reader: JSONReader, _ name: String, _ type: Choice.Type
  ) throws(NormaliseError) -> Choice? {
    guard let text = try reader.text(name) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw .wrongValue(path: reader.place(name), expected: "one of \(names)")
    }
    return choice
  }
}
