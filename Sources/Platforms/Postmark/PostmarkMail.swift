import JSON
import MIME
import Messaging

/// Reads a mail that came in: its members, or the raw message where Postmark is told to include it.
struct PostmarkMail {
  private static let rawMember = "RawEmail"
  private static let filesMax = 100
  private static let mapped: Set<String> = [
    "FromName", "From", "FromFull", "To", "ToFull", "Cc", "CcFull", "Bcc", "BccFull", "OriginalRecipient",
    "Subject", "MessageID", "ReplyTo", "Date", "TextBody", "HtmlBody", "StrippedTextReply", "Headers",
    "Attachments", "RawEmail", "RecordType",
  ]

  private let body: JSONReader
  private let delivery: WebhookDelivery

  init(_ body: JSONReader, _ delivery: WebhookDelivery) {
    self.body = body
    self.delivery = delivery
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let raw = try body.text(Self.rawMember).flatMap { $0.isEmpty ? nil : $0 }
    var mail: EmailMessage
    if let raw {
      mail = EmailMessage(MIMEEntity(parsing: Array(raw.utf8)))
    } else {
      mail = try parsed()
    }
    let recipient = try body.text("OriginalRecipient") ?? ""
    mail.recipients = recipient.isEmpty ? [] : [recipient]
    let rest = body.rest(without: Self.mapped).filter { $0.value != "" }
    let items = EmailItems(
      mail, own: delivery.secrets[EmailAccount.addressField], fallbackID: try body.requiredID("MessageID"),
      receivedAt: delivery.receivedAt)
    return items.items(details: rest.isEmpty ? [:] : ["postmark": .object(rest)])
  }

  private func parsed() throws(NormaliseError) -> EmailMessage {
    var mail = EmailMessage(headers: try headers())
    let plain = MailAddress.list(try body.text("From") ?? "").first ?? mail.from
    mail.from = try Self.address(body.object("FromFull")) ?? plain
    mail.to = try addresses("ToFull", "To")
    mail.cc = try addresses("CcFull", "Cc")
    if let answer = try body.text("ReplyTo"), !answer.isEmpty { mail.replyTo = MailAddress.list(answer) }
    mail.subject = try body.text("Subject") ?? mail.subject
    mail.date = try body.text("Date").flatMap { MailDate.parse($0) } ?? mail.date
    mail.text = try body.text("TextBody").map { MIMEEntity.unixLines($0) }
    mail.html = try body.text("HtmlBody").flatMap { $0.isEmpty ? nil : $0 }
    if mail.html != nil { mail.htmlPart = EmailPart.field("HtmlBody") }
    mail.files = try files()
    return mail
  }

  private func headers() throws(NormaliseError) -> MailHeaders {
    var fields: [MailHeaders.Field] = []
    for header in try body.objects("Headers", max: 10_000) ?? [] {
      guard let name = try header.text("Name"), let value = try header.text("Value") else { continue }
      fields.append(MailHeaders.Field(name, value))
    }
    return MailHeaders(fields)
  }

  private static func address(_ full: JSONReader?) throws(NormaliseError) -> MailAddress? {
    guard let full, let address = try full.text("Email"), !address.isEmpty else { return nil }
    let name = try full.text("Name") ?? ""
    return MailAddress(name: name.isEmpty ? nil : name, address: address)
  }

  private func addresses(_ full: String, _ plain: String) throws(NormaliseError) -> [MailAddress] {
    guard let list = try body.objects(full) else {
      let text = try body.text(plain)
      return MailAddress.list(text ?? "")
    }
    var found: [MailAddress] = []
    for entry in list {
      if let address = try Self.address(entry) { found.append(address) }
    }
    return found
  }

  private func files() throws(NormaliseError) -> [EmailMessage.File] {
    var files: [EmailMessage.File] = []
    for (index, file) in (try body.objects("Attachments") ?? []).prefix(Self.filesMax).enumerated() {
      let id = try file.text("ContentID") ?? ""
      files.append(
        EmailMessage.File(
          part: EmailPart.field("Attachments/\(index)"), name: try file.text("Name"),
          type: try file.text("ContentType"), sizeBytes: try file.integer("ContentLength"),
          contentID: id.isEmpty ? nil : MessageID.list(id).first ?? id))
    }
    return files
  }

  /// The bytes of a part of a delivery.
  static func file(_ id: String, in body: JSONReader) -> [UInt8]? {
    guard let field = EmailPart.field(of: id) else {
      return body[rawMember]?.string.flatMap { EmailPart.bytes(of: id, inMessage: Array($0.utf8)) }
    }
    if field == "HtmlBody" { return body[field]?.string.map { Array($0.utf8) } }
    let place = field.split(separator: "/")
    guard place.count == 2, place[0] == "Attachments", let index = Int(place[1]), index >= 0,
      let content = body["Attachments"]?[index]?["Content"]?.string
    else { return nil }
    return TransferEncoding.base64.decode(Array(content.utf8)[...])
  }
}
