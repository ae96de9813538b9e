import Bytes
import JSON
import Messaging

/// Reads one event of a batch of the Event Webhook.
struct SendGridEvent {
  private static let eventsMax = 5_000
  private static let known: Set<String> = [
    "spamreport", "unsubscribe", "group_unsubscribe", "group_resubscribe", "account_status_change",
  ]

  private let event: JSONReader
  private let receivedAt: Timestamp

  /// Every event of a delivery. One that cannot be read does not take the others with it.
  static func read(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    // The body is an array; what reads documents reads objects.
    let body = Array("{\"events\":".utf8) + delivery.body + Array("}".utf8)
    let reader = try JSONReader(body: body)
    guard let list = reader["events"]?.array else { throw .wrongType(path: "", expected: "an array") }
    guard list.count <= eventsMax else { throw .tooMany(path: "events", limit: eventsMax) }
    var result = Normalised()
    for (index, value) in list.enumerated() {
      do throws(NormaliseError) {
        let path = "[\(index)]"
        guard let members = value.object else { throw .wrongType(path: path, expected: "an object") }
        let event = SendGridEvent(
          event: JSONReader(members, path: path), receivedAt: delivery.receivedAt)
        result.add([try event.item()])
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  private func item() throws(NormaliseError) -> InboundItem {
    let name = try event.required("event", event.text("event"))
    let at = try event.integer("timestamp").map { Timestamp(seconds: $0).clamped } ?? receivedAt
    let mail = try EmailEvent(metadata: event, id: try messageID())
    if let mail, let status = try status(name) { return mail.status(status.0, reason: status.1, at: at) }
    let id = try event.id("sg_event_id") ?? "\(name):\(at.microseconds)"
    return EmailEvent.update(
      name, isKnown: Self.known.contains(name), event: mail, platform: "SendGrid", id: id,
      recipient: try event.text("email"), members: event.rest(without: ["sg_event_id"]), at: at)
  }

  /// The mail's own id where the event has it; else what SendGrid called it when it was handed in.
  private func messageID() throws(NormaliseError) -> String? {
    if let id = try event.id("smtp-id") { return id }
    guard let id = try event.id("sg_message_id") else { return nil }
    for mark in [".filter", ".recv"] {
      if let range = id.firstRange(of: mark) { return String(id[..<range.lowerBound]) }
    }
    return id
  }

  private func status(_ name: String) throws(NormaliseError) -> (MessageStatus, String?)? {
    switch name {
    case "processed": return (.sent, nil)
    case "deferred": return (.queued, try event.text("response"))
    case "delivered": return (.delivered, nil)
    case "open", "click": return (.read, nil)
    case "bounce", "blocked", "dropped":
      let reason = try event.text("reason").or(event.text("response"))
      let words = [event["status"]?.identifier, reason].compactMap { $0 }.filter { !$0.isEmpty }
      return (.failed, words.joined(separator: ": "))
    default: return nil
    }
  }
}
