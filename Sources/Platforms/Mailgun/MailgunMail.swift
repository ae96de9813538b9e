import JSON
import MIME
import Messaging

/// Reads a mail that a route forwarded: in fields, or whole as MIME when the route's URL ends in `mime`.
struct MailgunMail {
  static let rawField = "body-mime"
  /// Everything else of the form stays in the details.
  private static let mapped: Set<String> = [
    "recipient", "sender", "from", "From", "To", "Cc", "subject", "Subject", "Date", "Message-Id",
    "In-Reply-To",
    "References", "Reply-To", "body-plain", "body-html", "stripped-text", "stripped-html",
    "stripped-signature", "message-headers", "attachment-count", "attachments", "content-id-map", "timestamp",
    "token", "signature", "body-mime", "Content-Type", "Mime-Version", "Received", "Return-Path",
    "Auto-Submitted", "Precedence", "List-Id", "Sender",
  ]
  /// Fields that are header fields when `message-headers` does not have them.
  private static let headerFields = [
    "From", "To", "Cc", "Subject", "Date", "Message-Id", "In-Reply-To", "References", "Reply-To", "Sender",
    "Auto-Submitted", "Precedence", "List-Id",
  ]
  private static let filesMax = 100

  private let form: EmailForm
  private let delivery: WebhookDelivery

  init(_ form: EmailForm, _ delivery: WebhookDelivery) {
    self.form = form
    self.delivery = delivery
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    var mail = form.message(Self.rawField).map { EmailMessage(MIMEEntity(parsing: $0)) } ?? parsed()
    mail.recipients =
      (form.fields["recipient"]?.string).map { $0.split(separator: ",").map(Self.trimmed) } ?? []
    if mail.from == nil { mail.from = MailAddress.list(form.fields["sender"]?.string ?? "").first }
    guard mail.from != nil || mail.subject != nil || mail.text != nil || mail.html != nil else {
      throw .missing(path: "from")
    }
    let rest = form.fields.rest(without: Self.mapped).filter { !$0.key.hasPrefix("X-") && $0.value != "" }
    let items = EmailItems(
      mail, own: delivery.secrets[EmailAccount.addressField], fallbackID: nil,
      receivedAt: delivery.receivedAt)
    return items.items(details: rest.isEmpty ? [:] : ["mailgun": .object(rest)])
  }

  private static func trimmed(_ text: Substring) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  private func parsed() -> EmailMessage {
    var mail = EmailMessage(headers: headers)
    mail.text = form.fields["body-plain"]?.string.map { MIMEEntity.unixLines($0) }
    mail.html = form.fields["body-html"]?.string
    if mail.html != nil { mail.htmlPart = EmailPart.field("body-html") }
    mail.files =
      form.attachments(contentIDs: EmailForm.contentIDs(form.document("content-id-map"))) + storedFiles
    if mail.subject == nil { mail.subject = form.fields["subject"]?.string.map { EncodedWord.decode($0) } }
    if mail.from == nil { mail.from = MailAddress.list(form.fields["from"]?.string ?? "").first }
    return mail
  }

  /// `message-headers` is a list of pairs; what it leaves out may stand in fields of its own.
  private var headers: MailHeaders {
    var fields: [MailHeaders.Field] = []
    for pair in form.document("message-headers")?.array ?? [] {
      guard let name = pair[0]?.string, let value = pair[1]?.string else { continue }
      fields.append(MailHeaders.Field(name, value))
    }
    let known = Set(fields.map { $0.name.lowercased() })
    for name in Self.headerFields where !known.contains(name.lowercased()) {
      if let value = form.fields[name]?.string { fields.append(MailHeaders.Field(name, value)) }
    }
    return MailHeaders(fields)
  }

  /// Files of a mail that Mailgun stores: to be fetched with the account's key.
  private var storedFiles: [EmailMessage.File] {
    (form.document("attachments")?.array ?? []).prefix(Self.filesMax).map { file in
      EmailMessage.File(
        url: file["url"]?.string, name: file["name"]?.string, type: file["content-type"]?.string,
        sizeBytes: file["size"]?.integer)
    }
  }
}
