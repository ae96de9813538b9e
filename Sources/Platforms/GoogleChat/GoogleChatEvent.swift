import Bytes
import JSON
import Messaging

/// Reads one event, in the form of Chat apps (`type`) or in that of Workspace add-ons (`chat`), which say
/// the same:
///
/// - a message, also one that adds or commands the app: a message;
/// - a clicked button: the presser's message, whose text is the function that is called and which answers
///   the message with the button;
/// - spaces that the app comes into or leaves, commands without a message, forms: a system message;
/// - types that this version does not know: an unsupported message.
///
/// What has no field of its own is in `details`, under Google's names, but for the tokens of events.
struct GoogleChatEvent {
  private static let payloads: [(String, String)] = [
    ("messagePayload", "MESSAGE"), ("addedToSpacePayload", "ADDED_TO_SPACE"),
    ("removedFromSpacePayload", "REMOVED_FROM_SPACE"), ("buttonClickedPayload", "CARD_CLICKED"),
    ("appCommandPayload", "APP_COMMAND"), ("widgetUpdatedPayload", "WIDGET_UPDATED"),
  ]

  private static let systemTypes: Set<String> = [
    "ADDED_TO_SPACE", "REMOVED_FROM_SPACE", "APP_COMMAND", "WIDGET_UPDATED", "APP_HOME", "SUBMIT_FORM",
  ]

  /// Members of an event that the model's own fields carry, and those that authenticate.
  private static let mapped: Set<String> = [
    "type", "eventTime", "message", "user", "space", "thread", "token", "authorizationEventObject", "chat",
  ]

  private let type: String
  private let message: JSONReader?
  private let user: JSONReader?
  private let space: GoogleChatSpace
  private let at: Timestamp
  private let details: [String: JSONValue]

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    let event: JSONReader
    var payload: JSONReader?
    var details = reader.rest(without: Self.mapped)
    if let chat = try reader.object("chat") {
      event = chat
      let known = Self.payloads.first { chat.has($0.0) }
      let name = known?.0 ?? chat.members.keys.filter { $0.hasSuffix("Payload") }.sorted().first
      payload = try name.map { name throws(NormaliseError) in try chat.requiredObject(name) }
      type = try chat.required("messagePayload", known?.1 ?? name)
      details.merge(chat.rest(without: Self.mapped.union([name ?? ""]))) { first, _ in first }
      details.merge(payload?.rest(without: ["message", "space"]) ?? [:]) { first, _ in first }
    } else {
      event = reader
      type = try reader.required("type", reader.text("type"))
    }
    message = try (payload?.object("message")).or(event.object("message"))
    user = try event.object("user")
    let space = try (payload?.object("space")).or(event.object("space")).or(message?.object("space"))
    self.space = try GoogleChatSpace(event.required("space", space), user: user)
    at = try Self.time(event, "eventTime") ?? receivedAt
    self.details = details
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch type {
    case "MESSAGE": return [.message(try spoken(required: message))]
    case "CARD_CLICKED": return [.message(try pressed())]
    case "ADDED_TO_SPACE" where message != nil:
      return [.message(try system()), .message(try spoken(required: message))]
    case "APP_COMMAND" where message != nil: return [.message(try spoken(required: message))]
    case _ where Self.systemTypes.contains(type): return [.message(try system())]
    default: return [.message(try unsupported())]
    }
  }

  // MARK: Messages

  private func spoken(required reader: JSONReader?) throws(NormaliseError) -> InboundMessage {
    guard let reader else { throw .missing(path: "message") }
    let content = try GoogleChatContent(reader)
    let sender = try reader.object("sender") ?? user
    return InboundMessage(
      conversation: space.conversation, externalID: try reader.requiredID("name"),
      sender: try Self.person(sender), kind: content.kind, text: content.text,
      attachments: content.attachments, replyTo: try reader.object("quotedMessageMetadata")?.id("name"),
      threadID: try reader.object("thread")?.id("name"),
      details: .object(details.merging(content.details) { $1 }.merging(Self.rest(sender)) { $1 }),
      sentAt: try Self.time(reader, "createTime") ?? at)
  }

  private func pressed() throws(NormaliseError) -> InboundMessage {
    let function = try JSONReader(details).object("action")?.text("actionMethodName")
    let common = try JSONReader(details).object("common")
    let name = try function.or(common?.text("invokedFunction")).or(
      JSONReader(details).object("commonEventObject")?.text("invokedFunction"))
    return InboundMessage(
      conversation: space.conversation, externalID: try eventID(), sender: try Self.person(user),
      kind: .text, text: name.map { MessageText.sanitised($0) }, replyTo: try message?.id("name"),
      threadID: try message?.object("thread")?.id("name"),
      details: .object(details.merging(Self.rest(user)) { $1 }), sentAt: at)
  }

  private func system() throws(NormaliseError) -> InboundMessage {
    var details = details.merging(Self.rest(user)) { $1 }
    details["service"] = .string(type)
    return InboundMessage(
      conversation: space.conversation, externalID: try eventID(), sender: try Self.person(user),
      kind: .system, text: type.lowercased().split(separator: "_").joined(separator: " "),
      details: .object(details), sentAt: at)
  }

  private func unsupported() throws(NormaliseError) -> InboundMessage {
    var raw = details
    raw["type"] = .string(type)
    raw["message"] = message.map { .object($0.members) }
    return InboundMessage(
      conversation: space.conversation, externalID: try eventID(), sender: try Self.person(user),
      kind: .unsupported, details: ["raw": .object(raw)], sentAt: at)
  }

  /// Events have no id: who did what when is one.
  private func eventID() throws(NormaliseError) -> String {
    let name = MessageText.sanitised(type, bytesMax: 64)
    return "\(name):\(at.microseconds):\(try user?.id("name") ?? "google")"
  }

  // MARK: Parts

  private static func person(_ reader: JSONReader?) throws(NormaliseError) -> Person {
    guard let reader else { return Person(id: "google", name: "Google Chat") }
    return Person(
      id: try reader.requiredID("name"), name: MessageText.name(try reader.text("displayName")),
      avatar: WebAddress.checked(try reader.text("avatarUrl")))
  }

  private static func rest(_ person: JSONReader?) -> [String: JSONValue] {
    let rest = person?.rest(without: ["name", "displayName", "avatarUrl"]) ?? [:]
    return rest.isEmpty ? [:] : ["sender": .object(rest)]
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an RFC 3339 time")
    }
    return time.clamped
  }
}

/// A space: a conversation with the app alone, or one of several people. Threads do not split it.
struct GoogleChatSpace {
  let conversation: ConversationRef

  init(_ reader: JSONReader, user: JSONReader?) throws(NormaliseError) {
    let isDirect: Bool
    if let type = try reader.text("spaceType") {
      isDirect = type == "DIRECT_MESSAGE"
    } else {
      isDirect = try reader.text("type") == "DM"
    }
    var title = MessageText.name(try reader.text("displayName"))
    if isDirect, title == nil { title = MessageText.name(try user?.text("displayName")) }
    conversation = ConversationRef(
      externalID: try reader.requiredID("name"), kind: isDirect ? .direct : .group, title: title)
  }
}

/// What a message says: text without the mention of the app, files (more of which is in `details`), GIFs.
struct GoogleChatContent {
  private static let attachmentsMax = 100

  /// Members that the model's own fields carry.
  private static let mapped: Set<String> = [
    "name", "sender", "createTime", "text", "argumentText", "thread", "space", "attachedGifs",
  ]

  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  private(set) var details: [String: JSONValue]

  init(_ reader: JSONReader) throws(NormaliseError) {
    details = reader.rest(without: Self.mapped)
    let whole = try reader.text("text")
    // A command belongs to what was said; a mention only calls the app.
    let argument = reader.has("slashCommand") ? nil : try reader.text("argumentText")
    let said = Self.trimmed(argument ?? whole ?? "")
    let text = said.isEmpty ? Self.trimmed(whole ?? "") : said
    if !text.isEmpty { self.text = MessageText.sanitised(text) }
    // What was left out of the text.
    if let whole, Self.trimmed(whole) != text { details["text"] = .string(whole) }
    for entry in try reader.objects("attachment", max: Self.attachmentsMax) ?? [] {
      attachments.append(try Self.file(entry))
    }
    for entry in try reader.objects("attachedGifs", max: Self.attachmentsMax) ?? [] {
      attachments.append(
        Attachment(kind: .image, url: WebAddress.checked(try entry.text("uri")), mimeType: "image/gif"))
    }
    if let first = attachments.first { kind = MessageKind(rawValue: first.kind.rawValue) ?? .file }
  }

  private static func file(_ entry: JSONReader) throws(NormaliseError) -> Attachment {
    let type = MessageText.name(try entry.text("contentType"))
    let kinds: [(String, Attachment.Kind)] = [("image/", .image), ("video/", .video), ("audio/", .audio)]
    let id =
      try (entry.object("attachmentDataRef")?.id("resourceName"))
      .or(entry.object("driveDataRef")?.id("driveFileId")).or(entry.id("name"))
    return Attachment(
      kind: kinds.first { type?.hasPrefix($0.0) == true }?.1 ?? .file, externalID: id,
      url: WebAddress.checked(try entry.text("downloadUri")),
      name: MessageText.name(try entry.text("contentName")), mimeType: type)
  }

  private static func trimmed(_ text: String) -> String {
    var rest = text[...]
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
  }
}
