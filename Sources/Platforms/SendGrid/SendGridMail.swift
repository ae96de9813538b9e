import JSON
import MIME
import Messaging

/// Reads a mail of Inbound Parse: in fields, or whole as MIME in the field `email`.
struct SendGridMail {
  static let rawField = "email"
  private static let mapped: Set<String> = [
    "headers", "from", "to", "cc", "subject", "text", "html", "envelope", "charsets", "attachments",
    "attachment-info", "content-ids", "email", "spam_report",
  ]

  private let form: EmailForm
  private let delivery: WebhookDelivery

  init(_ form: EmailForm, _ delivery: WebhookDelivery) {
    self.form = form
    self.delivery = delivery
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let envelope = form.document("envelope")
    var mail = form.message(Self.rawField).map { EmailMessage(MIMEEntity(parsing: $0)) } ?? parsed()
    mail.recipients = (envelope?["to"]?.array ?? []).prefix(100).compactMap(\.string)
    if mail.from == nil { mail.from = envelope?["from"]?.string.flatMap { MailAddress.list($0).first } }
    guard mail.from != nil || mail.subject != nil || mail.text != nil || mail.html != nil else {
      throw .missing(path: "from")
    }
    let rest = form.fields.rest(without: Self.mapped).filter { $0.value != "" }
    let items = EmailItems(
      mail, own: delivery.secrets[EmailAccount.addressField], fallbackID: nil,
      receivedAt: delivery.receivedAt)
    return items.items(details: rest.isEmpty ? [:] : ["sendgrid": .object(rest)])
  }

  private func parsed() -> EmailMessage {
    func text(_ name: String) -> String? { form.fields[name]?.string }
    let raw = form.message("headers") ?? []
    var mail = EmailMessage(headers: MailHeaders(parsing: raw[...]))
    mail.from = MailAddress.list(text("from") ?? "").first ?? mail.from
    if mail.to.isEmpty { mail.to = MailAddress.list(text("to") ?? "") }
    if mail.cc.isEmpty { mail.cc = MailAddress.list(text("cc") ?? "") }
    mail.subject = text("subject").map { EncodedWord.decode($0) } ?? mail.subject
    mail.text = text("text").map { MIMEEntity.unixLines($0) }
    mail.html = text("html")
    if mail.html != nil { mail.htmlPart = EmailPart.field("html") }
    mail.files = files
    return mail
  }

  /// What `attachment-info` says of each field goes before what the field says itself.
  private var files: [EmailMessage.File] {
    let info = form.document("attachment-info")
    return form.attachments(contentIDs: EmailForm.contentIDs(form.document("content-ids"))).map { file in
      var file = file
      guard let field = file.part.flatMap({ EmailPart.field(of: $0) }), let said = info?[field] else {
        return file
      }
      file.name = said["filename"]?.string ?? said["name"]?.string ?? file.name
      file.type = said["type"]?.string ?? file.type
      file.contentID = said["content-id"]?.string ?? file.contentID
      return file
    }
  }
}
