import Bytes
import JSON
import Messaging

/// Reads one event. Its name decides:
///
/// - `message`: a message;
/// - `delivered`, `seen`, `failed`: how far a sent message got;
/// - `webhook`, the check of the URL: nothing;
/// - `subscribed`, `unsubscribed`, `conversation_started`: a system message;
/// - names that this version does not know: an unsupported message.
struct ViberEvent {
  private static let common: Set<String> = ["event", "timestamp", "message_token", "chat_hostname"]

  private let reader: JSONReader
  private let event: String
  private let at: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    event = try reader.required("event", reader.text("event"))
    at = (try reader.integer("timestamp")).map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch event {
    case "webhook": return []
    case "message": return [.message(try message())]
    case "delivered": return [try status(.delivered)]
    case "seen": return [try status(.read)]
    case "failed": return [try status(.failed)]
    default: return [.message(try system())]
    }
  }

  private func status(_ status: MessageStatus) throws(NormaliseError) -> InboundItem {
    let user = try reader.requiredID("user_id")
    return .status(
      StatusChange(
        conversation: ConversationRef(externalID: user, kind: .direct),
        externalID: try reader.requiredID("message_token"), status: status,
        reason: status == .failed ? MessageText.name(try reader.text("desc")) : nil, at: at))
  }

  private static func person(_ user: JSONReader) throws(NormaliseError) -> Person {
    Person(
      id: try user.requiredID("id"), name: MessageText.name(try user.text("name")),
      avatar: WebAddress.checked(try user.text("avatar")))
  }

  // MARK: Messages

  private static let mapped: Set<String> = ["type", "text", "media", "file_name", "size", "duration"]

  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "picture": (.image, .image), "video": (.video, .video), "file": (.file, .file),
    "sticker": (.sticker, .sticker), "audio": (.audio, .audio),
  ]

  private func message() throws(NormaliseError) -> InboundMessage {
    let content = try reader.requiredObject("message")
    let type = try content.required("type", content.text("type"))
    let user = try reader.requiredObject("sender")
    let sender = try Self.person(user)
    var kind: MessageKind = .unsupported
    var text = try content.text("text")
    var attachments: [Attachment] = []
    var details = content.rest(without: Self.mapped)
    let profile = user.rest(without: ["id", "name", "avatar"])
    if !profile.isEmpty { details["sender"] = .object(profile) }
    if let (found, attachment) = Self.files[type] {
      kind = found
      let sticker = type == "sticker" ? try content.id("sticker_id") : nil
      attachments = [
        Attachment(
          kind: attachment, externalID: sticker, url: WebAddress.checked(try content.text("media")),
          name: MessageText.name(try content.text("file_name")), sizeBytes: try content.integer("size"),
          durationSeconds: try content.number("duration"))
      ]
    } else {
      switch type {
      case "text": kind = .text
      case "url":
        kind = .text
        text = try content.text("media").or(text)
      case "location": kind = .location
      case "contact":
        kind = .contact
        let contact = try content.requiredObject("contact")
        let lines = [try contact.text("name"), try contact.text("phone_number")]
        text = lines.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ", ")
      default: details = ["raw": .object(content.members)]
      }
    }
    let group = try reader.id("chat_id").flatMap { $0.isEmpty ? nil : $0 }
    return InboundMessage(
      conversation: ConversationRef(
        externalID: group ?? sender.id, kind: group == nil ? .direct : .group,
        title: group == nil ? sender.name : nil),
      externalID: try reader.requiredID("message_token"), sender: sender, kind: kind,
      text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: attachments,
      details: details.isEmpty ? nil : .object(details), sentAt: at)
  }

  // MARK: Others

  private func system() throws(NormaliseError) -> InboundMessage {
    let known: Set = ["subscribed", "unsubscribed", "conversation_started", "client_status", "action"]
    let user = try reader.object("user").or(reader.object("sender"))
    let person: Person?
    if let user {
      person = try Self.person(user)
    } else {
      person = try reader.id("user_id").map { Person(id: $0) }
    }
    let isKnown = known.contains(event)
    let name = MessageText.sanitised(event, bytesMax: 128)
    let rest = reader.rest(without: Self.common)
    let id = try reader.id("message_token") ?? "\(at.microseconds)"
    return InboundMessage(
      conversation: person.map { ConversationRef(externalID: $0.id, kind: .direct, title: $0.name) }
        ?? ConversationRef(externalID: "updates", kind: .channel, title: "Viber updates"),
      externalID: "\(name):\(id)", sender: person ?? Person(id: "viber", name: "Viber"),
      kind: isKnown ? .system : .unsupported,
      text: isKnown ? name.split(separator: "_").joined(separator: " ") : nil,
      details: isKnown
        ? .object(rest.merging(["service": .string(name)]) { first, _ in first })
        : ["raw": .object(reader.members)], sentAt: at)
  }
}
