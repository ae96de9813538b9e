import MIME

/// What a machine reports about a mail that was sent: that it was delivered or not (RFC 3464), or that it
/// was seen (RFC 8098).
struct MailReport: Sendable {
  struct Recipient: Sendable, Equatable {
    let address: String?
    /// `failed`, `delayed`, `delivered`, `relayed`, `expanded`, or `displayed`.
    let action: String
    /// Why, in the words of the server.
    let reason: String?
  }

  private static let recipientsMax = 100

  private(set) var recipients: [Recipient] = []
  /// The thread of the mail that is reported about, as far as the report names it.
  private(set) var original: EmailThread?
  /// The mail's id where only that is named.
  private(set) var originalID: String?

  /// - Parameter parts: those of a `multipart/report`. nil: none of them is a report.
  init?(_ parts: [MIMEEntity]) {
    var isReport = false
    for part in parts {
      switch part.contentType.value {
      case "message/delivery-status", "message/global-delivery-status":
        isReport = true
        readDelivery(part.bytes)
      case "message/disposition-notification", "message/global-disposition-notification":
        isReport = true
        readDisposition(part.bytes)
      case "text/rfc822-headers", "message/rfc822-headers":
        original = EmailThread(MailHeaders(parsing: part.bytes[...]))
      case "message/rfc822", "message/global":
        let headers = part.children.first?.headers ?? MailHeaders(parsing: part.bytes[...])
        original = EmailThread(headers)
      default: break
      }
    }
    guard isReport else { return nil }
  }

  /// The mail that is reported about: its conversation, and its own id.
  var subject: (conversation: String, message: String)? {
    guard let message = original?.message ?? originalID else { return nil }
    return (original?.root ?? message, message)
  }

  /// Fields about the message, then those of each recipient, an empty line before each.
  private mutating func readDelivery(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty, recipients.count < Self.recipientsMax {
      let fields = MailHeaders(parsing: rest, body: &rest)
      guard let action = fields["Action"]?.lowercased() else { continue }
      let address = (fields["Final-Recipient"] ?? fields["Original-Recipient"]).map { Self.typed($0) }
      let words = [fields["Status"], fields["Diagnostic-Code"].map { Self.typed($0) }]
      let reason = words.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ": ")
      recipients.append(
        Recipient(address: address, action: action, reason: reason.isEmpty ? nil : reason))
    }
  }

  private mutating func readDisposition(_ bytes: [UInt8]) {
    let fields = MailHeaders(parsing: bytes[...])
    originalID = fields["Original-Message-ID"].flatMap { MessageID.list($0).first }.map {
      EmailThread.bounded($0)
    }
    guard let disposition = fields["Disposition"]?.lowercased() else { return }
    let words = disposition.split(separator: ";", maxSplits: 1).last?.split { " /\t".contains($0) } ?? []
    guard let action = words.first else { return }
    recipients.append(
      Recipient(
        address: fields["Final-Recipient"].map { Self.typed($0) }, action: String(action), reason: nil))
  }

  /// What follows the type: `rfc822; ana@example.com`.
  private static func typed(_ value: String) -> String {
    let parts = value.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false)
    return String((parts.last ?? "").drop(while: \.isWhitespace))
  }
}
