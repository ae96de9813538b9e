import Bytes
import JSON
import Messaging

/// Reads a webhook about a mail that was sent.
struct PostmarkEvent {
  /// Where Postmark makes the `Message-ID` of a mail: from its own id.
  private static let domain = "mtasv.net"
  private static let known: Set<String> = [
    "Bounce", "SpamComplaint", "SubscriptionChange", "SMTPApiError", "Delivery", "Open", "Click",
  ]
  /// Types of bounces that are none: somebody is away, or wants something.
  private static let answers: Set<String> = [
    "AutoResponder", "AddressChange", "Subscribe", "Unsubscribe", "ChallengeVerification", "OpenRelayTest",
    "VirusNotification", "SpamComplaint",
  ]

  private let body: JSONReader
  private let receivedAt: Timestamp

  init(_ body: JSONReader, receivedAt: Timestamp) {
    self.body = body
    self.receivedAt = receivedAt
  }

  func item(_ type: String) throws(NormaliseError) -> InboundItem {
    let at = try time()
    let own = try body.id("MessageID").map { "\($0)@\(Self.domain)" }
    let mail = try EmailEvent(metadata: try body.object("Metadata"), id: own)
    if let mail, let status = try status(type) {
      return mail.status(status.0, reason: status.1, at: at)
    }
    let id = try body.id("ID").or(body.id("MessageID")) ?? ""
    let kind = type == "Bounce" ? try body.text("Type") ?? type : type
    return EmailEvent.update(
      kind, isKnown: Self.known.contains(type), event: mail, platform: "Postmark",
      id: "\(kind):\(id):\(at.microseconds)", recipient: try body.text("Email").or(body.text("Recipient")),
      members: body.rest(without: ["Content"]), at: at)
  }

  private func time() throws(NormaliseError) -> Timestamp {
    for name in ["DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt"] {
      guard let text = try body.text(name) else { continue }
      guard let time = Timestamp(rfc3339: text) else {
        throw .wrongValue(path: name, expected: "an ISO 8601 time")
      }
      return time.clamped
    }
    return receivedAt
  }

  private func status(_ type: String) throws(NormaliseError) -> (MessageStatus, String?)? {
    switch type {
    case "Delivery": return (.delivered, nil)
    case "Open", "Click": return (.read, nil)
    case "Bounce":
      let kind = try body.text("Type") ?? ""
      if Self.answers.contains(kind) { return nil }
      // Postmark goes on trying: nothing is decided yet.
      let isFinal = kind != "Transient"
      return (isFinal ? .failed : .queued, try reason(kind))
    case "SMTPApiError": return (.failed, try reason(type))
    default: return nil
    }
  }

  private func reason(_ kind: String) throws(NormaliseError) -> String? {
    let details = try body.text("Details").flatMap { $0.isEmpty ? nil : $0 }
    let words = try details.or(body.text("Description"))
    return [kind, words ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
  }
}
