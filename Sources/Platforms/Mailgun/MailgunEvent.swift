import Bytes
import JSON
import Messaging

/// Reads an event about a mail that was sent.
struct MailgunEvent {
  private static let known: Set<String> = [
    "complained", "unsubscribed", "stored", "list_member_uploaded", "list_member_upload_error",
    "list_uploaded",
  ]

  private let body: JSONReader
  private let receivedAt: Timestamp

  init(_ body: JSONReader, receivedAt: Timestamp) {
    self.body = body
    self.receivedAt = receivedAt
  }

  func item() throws(NormaliseError) -> InboundItem {
    let event = try body.requiredObject("event-data")
    let name = try event.required("event", event.text("event"))
    let at = try event.number("timestamp").map { Self.time($0) } ?? receivedAt
    let headers = try event.object("message")?.object("headers")
    let mail = try EmailEvent(metadata: try event.object("user-variables"), id: try headers?.id("message-id"))
    if let mail, let status = try Self.status(name, event) {
      return mail.status(status.0, reason: status.1, at: at)
    }
    let id = try event.id("id") ?? "\(name):\(at.microseconds)"
    return EmailEvent.update(
      name, isKnown: Self.known.contains(name) || Self.statuses.contains(name), event: mail,
      platform: "Mailgun", id: id, recipient: try event.text("recipient"),
      members: event.rest(without: ["id"]), at: at)
  }

  private static let statuses: Set<String> = [
    "accepted", "delivered", "opened", "clicked", "failed", "rejected",
  ]

  private static func time(_ seconds: Double) -> Timestamp {
    let microseconds = (seconds * 1_000_000).rounded()
    return Timestamp(microseconds: Int64(exactly: microseconds) ?? (seconds < 0 ? .min : .max)).clamped
  }

  /// A temporary failure is tried again: nothing is decided yet.
  private static func status(
    _ name: String, _ event: JSONReader
  ) throws(NormaliseError) -> (MessageStatus, String?)? {
    switch name {
    case "accepted": return (.queued, nil)
    case "delivered": return (.delivered, nil)
    case "opened", "clicked": return (.read, nil)
    case "rejected": return (.failed, try event.object("reject")?.text("reason"))
    case "failed":
      let isPermanent = try event.text("severity") != "temporary"
      return (isPermanent ? .failed : .queued, try reason(event))
    default: return nil
    }
  }

  private static func reason(_ event: JSONReader) throws(NormaliseError) -> String? {
    let status = try event.object("delivery-status")
    let message = try status?.text("message").flatMap { $0.isEmpty ? nil : $0 }
    let words = try message.or(status?.text("description")).flatMap { $0.isEmpty ? nil : $0 }
    let text = try words.or(event.text("reason"))
    return [status?["code"]?.identifier, text].compactMap { $0 }.joined(separator: ": ")
  }
}
