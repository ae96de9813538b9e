import Bytes
import JSON
import Messaging

/// Reads a request of Programmable Messaging: a message that came in, or how far one that was sent got.
///
/// The other side's address is the conversation, as Twilio writes it (`whatsapp:+1555...` for WhatsApp).
/// Twilio gives no time: that of receipt stands in.
struct TwilioMessage {
  private static let mediaMax = 100
  private static let mapped: Set<String> = [
    "MessageSid", "SmsSid", "SmsMessageSid", "AccountSid", "From", "Body", "NumMedia", "SmsStatus",
    "ApiVersion", "ProfileName", "OriginalRepliedMessageSid",
  ]

  private let reader: JSONReader
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) {
    self.reader = reader
    self.receivedAt = receivedAt
  }

  func item() throws(NormaliseError) -> InboundItem {
    let id = try reader.id("MessageSid").or(reader.id("SmsSid")).or(reader.id("SmsMessageSid"))
    let sid = try reader.required("MessageSid", id)
    let status = try reader.text("MessageStatus").or(reader.text("SmsStatus"))
    if let status, status != "received" { return .status(try self.status(status, sid)) }
    return .message(try message(sid))
  }

  private func status(_ name: String, _ sid: String) throws(NormaliseError) -> StatusChange {
    guard let status = Self.status(name) else {
      throw .wrongValue(path: "MessageStatus", expected: "a status this version knows")
    }
    let other = try reader.id("To") ?? "unknown"
    return StatusChange(
      conversation: ConversationRef(externalID: other, kind: .direct), externalID: sid, status: status,
      reason: status == .failed ? Self.reason(reader) : nil, at: receivedAt)
  }

  static func status(_ name: String) -> MessageStatus? {
    switch name {
    case "accepted", "scheduled", "queued", "sending": .queued
    case "sent": .sent
    case "delivered": .delivered
    case "read": .read
    case "undelivered", "failed", "canceled": .failed
    default: nil
    }
  }

  static func reason(_ reader: JSONReader) -> String? {
    let words = reader["ChannelStatusMessage"]?.string ?? reader["ErrorMessage"]?.string
    let code = reader["ErrorCode"]?.identifier
    return MessageText.name([code, words].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ": "))
  }

  private func message(_ sid: String) throws(NormaliseError) -> InboundMessage {
    let from = try reader.requiredID("From")
    let name = try MessageText.name(reader.text("ProfileName"))
    var left = Self.mapped
    var attachments: [Attachment] = []
    let count = Int(try reader.id("NumMedia") ?? "0") ?? 0
    for number in 0..<max(0, min(count, Self.mediaMax)) {
      let url = "MediaUrl\(number)"
      let kind = "MediaContentType\(number)"
      left.formUnion([url, kind])
      let type = MessageText.name(try reader.text(kind))
      attachments.append(
        Attachment(
          kind: MediaKind.attachment(type), url: WebAddress.checked(try reader.text(url)), mimeType: type))
    }
    var kind = MediaKind.message(attachments)
    var text = try reader.text("Body")
    if reader.has("Latitude") && reader.has("Longitude") {
      kind = .location
      if text ?? "" == "" { text = try reader.text("Label").or(reader.text("Address")) }
    }
    if text ?? "" == "" { text = try reader.text("ButtonText").or(reader.text("ListTitle")) }
    let details = reader.rest(without: left)
    return InboundMessage(
      conversation: ConversationRef(externalID: from, kind: .direct, title: name), externalID: sid,
      sender: Person(id: from, name: name), kind: kind,
      text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: attachments,
      replyTo: try reader.id("OriginalRepliedMessageSid"),
      details: details.isEmpty ? nil : .object(details), sentAt: receivedAt)
  }
}
