import Bytes
import JSON
import Messaging

/// Reads one event of a room (https://spec.matrix.org/latest/client-server-api/#room-events). Its type
/// decides:
///
/// - `m.room.message`, `m.sticker`: a message, or an edit where it replaces another;
/// - `m.reaction`: one reaction more; `m.room.redaction`: a deletion;
/// - `m.room.member`, `m.room.name`: who is there, what it is called, and a system message;
/// - calls, polls: messages of their kind; other state: a system message;
/// - what is encrypted, and types that this version does not know: an unsupported message.
struct MatrixEvent {
  private static let mapped: Set<String> = [
    "msgtype", "body", "url", "info", "filename", "m.relates_to", "m.new_content", "file",
  ]

  private let reader: JSONReader
  private let own: [String]
  private let receivedAt: Timestamp
  private let type: String
  private let content: JSONReader
  private let isDirect: Bool
  private let names: [String: String]

  /// - Parameters:
  ///   - isDirect: the room is known to be a conversation of two.
  ///   - names: how people in the room are called, by their ids.
  init(
    _ reader: JSONReader, own: [String], receivedAt: Timestamp, isDirect: Bool = false,
    names: [String: String] = [:]
  ) throws(NormaliseError) {
    self.reader = reader
    self.own = own
    self.receivedAt = receivedAt
    self.isDirect = isDirect
    self.names = names
    type = try reader.required("type", reader.text("type"))
    content = try reader.object("content") ?? JSONReader([:])
  }

  private func room() throws(NormaliseError) -> ConversationRef {
    ConversationRef(externalID: try reader.requiredID("room_id"), kind: isDirect ? .direct : .group)
  }

  private func person(_ id: String) -> Person { Person(id: id, name: names[id]) }

  private func at() throws(NormaliseError) -> Timestamp {
    (try reader.integer("origin_server_ts")).map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
  }

  private func isOwn(_ user: String) -> Bool {
    own.contains { pattern in
      pattern.hasSuffix("*") ? user.hasPrefix(pattern.dropLast()) : user == pattern
    }
  }

  // MARK: Events

  func items() throws(NormaliseError) -> [InboundItem] {
    let relation = try content.object("m.relates_to")
    switch type {
    case "m.room.message", "m.sticker":
      // What was deleted before it came has no content.
      if content.members.isEmpty { return [] }
      if try relation?.text("rel_type") == "m.replace" { return [try edit(relation)] }
      return [.message(try message(content))]
    case "m.reaction":
      guard let relation, try relation.text("rel_type") == "m.annotation" else { return [] }
      let sender = try reader.requiredID("sender")
      return [
        .reaction(
          ReactionChange(
            conversation: try room(), externalID: try relation.requiredID("event_id"),
            actor: person(sender), isOwn: isOwn(sender),
            change: .add(MessageText.sanitised(try relation.requiredID("key"), bytesMax: 128)), at: try at()))
      ]
    case "m.room.redaction":
      let id = try content.id("redacts").or(reader.id("redacts"))
      return [
        .delete(
          MessageDeletion(
            conversation: try room(), externalIDs: [try reader.required("redacts", id)], at: try at()))
      ]
    case "m.room.member": return try member()
    case "m.room.name":
      var room = try room()
      room.title = MessageText.name(try content.text("name"))
      return [
        .conversation(ConversationChange(conversation: room, at: try at())),
        .message(try update(isKnown: true)),
      ]
    case "m.call.invite": return [.message(try plain(.call, "Call"))]
    case "m.poll.start", "org.matrix.msc3381.poll.start":
      let poll = try content.object("m.poll").or(content.object("org.matrix.msc3381.poll.start"))
      let question = try poll?.object("question")
      let words = try question?.text("body").or(question?.text("org.matrix.msc1767.text"))
      return [.message(try plain(.poll, words))]
    default: return [.message(try update(isKnown: reader.has("state_key") || type.hasPrefix("m.call.")))]
    }
  }

  private func message(_ content: JSONReader) throws(NormaliseError) -> InboundMessage {
    let read = try MatrixContent(content, isSticker: type == "m.sticker")
    let relation = try content.object("m.relates_to")
    let sender = try reader.requiredID("sender")
    let reply = try relation?.object("m.in_reply_to")?.id("event_id")
    let isThread = try relation?.text("rel_type") == "m.thread"
    // In a thread a reply may be there for older clients only.
    let fallsBack = try relation?.flag("is_falling_back") ?? false
    let isFallback = isThread && fallsBack
    let rest = content.rest(without: Self.mapped.union(read.members))
    return InboundMessage(
      conversation: try room(), externalID: try reader.requiredID("event_id"),
      direction: isOwn(sender) ? .outbound : .inbound, sender: person(sender), kind: read.kind,
      text: reply == nil ? read.text : read.text.map { MatrixContent.withoutQuote($0) },
      attachments: read.attachments, replyTo: isFallback ? nil : reply,
      threadID: isThread ? try relation?.id("event_id") : nil,
      details: read.details(try clientKey(rest)), sentAt: try at(), status: isOwn(sender) ? .sent : nil)
  }

  /// What the sender called it is told to the sender alone: the hub recognises its own by it.
  private func clientKey(_ rest: [String: JSONValue]) throws(NormaliseError) -> [String: JSONValue] {
    guard let key = try reader.object("unsigned")?.id("transaction_id") else { return rest }
    return rest.merging(["clientKey": .string(key)]) { $1 }
  }

  private func edit(_ relation: JSONReader?) throws(NormaliseError) -> InboundItem {
    let content = try content.object("m.new_content") ?? content
    let read = try MatrixContent(content, isSticker: false)
    let rest = content.rest(without: Self.mapped.union(read.members))
    let sender = try reader.requiredID("sender")
    return .edit(
      MessageEdit(
        conversation: try room(),
        externalID: try reader.required("m.relates_to", relation).requiredID("event_id"),
        kind: read.kind, text: read.text, attachments: read.attachments, details: read.details(rest),
        editedAt: try at(), author: isOwn(sender) ? nil : sender))
  }

  private func plain(_ kind: MessageKind, _ words: String?) throws(NormaliseError) -> InboundMessage {
    let sender = try reader.requiredID("sender")
    return InboundMessage(
      conversation: try room(), externalID: try reader.requiredID("event_id"),
      direction: isOwn(sender) ? .outbound : .inbound, sender: person(sender), kind: kind,
      text: words.map { MessageText.sanitised($0) }, details: ["content": .object(content.members)],
      sentAt: try at())
  }

  private func member() throws(NormaliseError) -> [InboundItem] {
    let name = MessageText.name(try content.text("displayname"))
    let person = Person(id: try reader.requiredID("state_key"), name: name)
    let before = try reader.object("unsigned")?.object("prev_content")?.text("membership")
    let now = try content.required("membership", content.text("membership"))
    let wasIn = before == "join"
    let isIn = now == "join"
    var items: [InboundItem] = []
    if isIn != wasIn || before == nil {
      let change = MembershipChange(
        conversation: try room(), joined: isIn ? [person] : [], left: isIn ? [] : [person], at: try at())
      if isIn || wasIn || now == "leave" || now == "ban" { items.append(.membership(change)) }
    }
    var message = try update(isKnown: true)
    message.text = MessageText.sanitised("\(name ?? person.id): \(now)")
    return items + [.message(message)]
  }

  private func update(isKnown: Bool) throws(NormaliseError) -> InboundMessage {
    let sender = try reader.id("sender") ?? "matrix"
    return Update.message(
      type, isKnown: isKnown, id: try reader.requiredID("event_id"), conversation: try room(),
      sender: Person(id: sender), members: reader.rest(without: ["event_id", "room_id", "sender", "age"]),
      at: try at())
  }

  // MARK: What is not kept in rooms

  func ephemeral() throws(NormaliseError) -> [InboundItem] {
    switch type {
    case "m.typing":
      let users = try content.ids("user_ids") ?? []
      let room = try room()
      return users.filter { !isOwn($0) }.map {
        .typing(Typing(conversation: room, sender: Person(id: $0), isTyping: true))
      }
    case "m.receipt": return try receipts()
    // Presence and others say nothing about a conversation.
    default: return []
    }
  }

  private func receipts() throws(NormaliseError) -> [InboundItem] {
    let room = try room()
    var items: [InboundItem] = []
    for event in content.members.keys.sorted() {
      guard let readers = try content.object(event)?.object("m.read") else { continue }
      for user in readers.members.keys.sorted() where !isOwn(user) {
        let at = try readers.object(user)?.integer("ts").map { Timestamp(milliseconds: $0).clamped }
        items.append(
          .read(
            ReadMark(
              conversation: room, reader: Person(id: MessageText.sanitised(user, bytesMax: 512)),
              upTo: .message(MessageText.sanitised(event, bytesMax: 512)), at: at ?? receivedAt)))
      }
    }
    return items
  }
}

/// What the content of a message says.
struct MatrixContent {
  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  /// Members that stay out of `details` because they are carried here.
  private(set) var members: Set<String> = []
  private let raw: [String: JSONValue]
  private let msgtype: String

  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "m.image": (.image, .image), "m.video": (.video, .video), "m.audio": (.audio, .audio),
    "m.file": (.file, .file), "m.sticker": (.sticker, .sticker),
  ]

  init(_ content: JSONReader, isSticker: Bool) throws(NormaliseError) {
    raw = content.members
    msgtype = isSticker ? "m.sticker" : try content.text("msgtype") ?? "m.text"
    let body = try content.text("body") ?? ""
    if let (kind, attachment) = Self.files[msgtype] {
      self.kind = kind
      try attach(content, attachment, body)
      return
    }
    if msgtype == "m.location" { kind = .location }
    if !body.isEmpty { text = MessageText.sanitised(body) }
  }

  private mutating func attach(
    _ content: JSONReader, _ kind: Attachment.Kind, _ body: String
  ) throws(NormaliseError) {
    let info = try content.object("info")
    let filename = try content.text("filename")
    // Where there is a name, the body is what is said about the file.
    if let filename, filename != body, !body.isEmpty { text = MessageText.sanitised(body) }
    let file = try content.object("file")
    attachments = [
      Attachment(
        kind: kind, externalID: try content.id("url").or(file?.id("url")),
        name: MessageText.name(filename ?? (kind == .sticker ? nil : body)),
        mimeType: MessageText.name(try info?.text("mimetype")), sizeBytes: try info?.integer("size"),
        width: (try info?.integer("w")).flatMap { Int(exactly: $0) },
        height: (try info?.integer("h")).flatMap { Int(exactly: $0) },
        durationSeconds: (try info?.number("duration")).map { $0 / 1_000 },
        caption: kind == .sticker ? MessageText.name(body) : nil)
    ]
  }

  func details(_ rest: [String: JSONValue]) -> JSONValue? {
    var details = rest
    if !["m.text", "m.image", "m.video", "m.audio", "m.file", "m.sticker"].contains(msgtype) {
      details["msgtype"] = .string(msgtype)
    }
    // How to open an encrypted file.
    if let file = raw["file"], file != .null { details["file"] = file }
    return details.isEmpty ? nil : .object(details)
  }

  /// Without the lines that repeat what is answered, for older clients.
  static func withoutQuote(_ text: String) -> String {
    guard text.hasPrefix("> ") else { return text }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let rest = lines.drop { $0.hasPrefix("> ") || $0 == ">" }
    return rest.first == "" ? rest.dropFirst().joined(separator: "\n") : rest.joined(separator: "\n")
  }
}
