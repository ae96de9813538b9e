import Bytes
import JSON
import Messaging

/// Reads one event. Its type decides:
///
/// - `message`: a message; `unsend`: a deletion;
/// - `postback`: the presser's message, whose text is the button's data;
/// - `join`, `leave`, `memberJoined`, `memberLeft`: who is in the conversation, and a system message;
/// - other known types (`follow`, `unfollow`, `beacon` ...): a system message;
/// - types that this version does not know: an unsupported message.
struct LINEEvent {
  private static let common: Set<String> = [
    "type", "mode", "timestamp", "source", "webhookEventId", "deliveryContext", "replyToken",
  ]

  private static let systemTypes: Set<String> = [
    "follow", "unfollow", "videoPlayComplete", "beacon", "accountLink", "membership", "module", "activated",
    "deactivated", "botSuspended", "botResumed", "delivery", "things",
  ]

  private let reader: JSONReader
  private let type: String
  private let conversation: ConversationRef
  private let sender: Person
  private let at: Timestamp
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    self.receivedAt = receivedAt
    type = try reader.required("type", reader.text("type"))
    at = (try reader.integer("timestamp")).map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
    let source = try reader.object("source")
    let user = try source?.id("userId")
    if let id = try (source?.id("groupId")).or(source?.id("roomId")) {
      conversation = ConversationRef(externalID: id, kind: .group)
      sender = Person(id: user ?? id)
    } else if let user {
      conversation = ConversationRef(externalID: user, kind: .direct)
      sender = Person(id: user)
    } else {
      conversation = ConversationRef(externalID: "updates", kind: .channel, title: "LINE updates")
      sender = Person(id: "line", name: "LINE")
    }
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch type {
    case "message": return [.message(try message(reader.requiredObject("message")))]
    case "unsend":
      let id = try reader.requiredObject("unsend").requiredID("messageId")
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    case "postback":
      let postback = try reader.requiredObject("postback")
      var message = try system(.text)
      message.text = try postback.text("data").map { MessageText.sanitised($0) }
      message.details = ["postback": .object(postback.members)]
      return [.message(message)]
    case "memberJoined", "memberLeft":
      let isJoined = type == "memberJoined"
      let people = try people(reader.requiredObject(isJoined ? "joined" : "left"))
      let change = MembershipChange(
        conversation: conversation, joined: isJoined ? people : [], left: isJoined ? [] : people, at: at)
      return [.membership(change), .message(try system(.system))]
    case "join", "leave": return [.message(try system(.system))]
    default:
      return [.message(try system(Self.systemTypes.contains(type) ? .system : .unsupported))]
    }
  }

  private func people(_ list: JSONReader) throws(NormaliseError) -> [Person] {
    var people: [Person] = []
    for member in try list.objects("members") ?? [] {
      people.append(Person(id: try member.requiredID("userId")))
    }
    return people
  }

  // MARK: Messages

  private static let mapped: Set<String> = ["id", "type", "text", "quotedMessageId"]

  private func message(_ content: JSONReader) throws(NormaliseError) -> InboundMessage {
    let type = try content.required("type", content.text("type"))
    let id = try content.requiredID("id")
    var kind: MessageKind = .unsupported
    var text: String?
    var attachments: [Attachment] = []
    var details = content.rest(without: Self.mapped)
    // Another one answers there now.
    if let mode = try reader.text("mode"), mode != "active" { details["mode"] = .string(mode) }
    let album = try content.object("imageSet")
    switch type {
    case "text":
      kind = .text
      text = try content.text("text")
    case "image", "video", "audio":
      kind = MessageKind(rawValue: type) ?? .file
      let provider = try content.object("contentProvider")
      attachments = [
        Attachment(
          kind: Attachment.Kind(rawValue: type) ?? .file, externalID: id,
          url: WebAddress.checked(try provider?.text("originalContentUrl")),
          durationSeconds: try content.number("duration").map { $0 / 1_000 })
      ]
    case "file":
      kind = .file
      attachments = [
        Attachment(
          kind: .file, externalID: id, name: MessageText.name(try content.text("fileName")),
          sizeBytes: try content.integer("fileSize"))
      ]
    case "location":
      kind = .location
      let lines = [try content.text("title"), try content.text("address")]
      text = lines.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "\n")
    case "sticker":
      kind = .sticker
      text = try content.text("text")
      attachments = [Attachment(kind: .sticker, externalID: try content.id("stickerId"))]
    default: details = ["raw": .object(content.members)]
    }
    return InboundMessage(
      conversation: conversation, externalID: id, sender: sender, kind: kind,
      text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: attachments,
      replyTo: try content.id("quotedMessageId"), albumID: try album?.id("id"),
      details: details.isEmpty ? nil : .object(details), sentAt: at,
      order: try album?.integer("index") ?? 0)
  }

  /// What is no message there: its own id is the event's.
  private func system(_ kind: MessageKind) throws(NormaliseError) -> InboundMessage {
    let rest = reader.rest(without: Self.common)
    let name = MessageText.sanitised(type, bytesMax: 128)
    let id = try reader.id("webhookEventId") ?? "\(name):\(at.microseconds):\(sender.id)"
    return InboundMessage(
      conversation: conversation, externalID: id, sender: sender, kind: kind,
      text: kind == .system ? name : nil,
      details: kind == .unsupported
        ? ["raw": .object(rest.merging(["type": .string(name)]) { first, _ in first })]
        : .object(rest.merging(["service": .string(name)]) { first, _ in first }), sentAt: at)
  }
}
