import JSON
import MIME
import Messaging

/// A provider's form, urlencoded or multipart: its fields as an object of texts, and its files.
struct EmailForm {
  let fields: JSONReader
  /// Those parts that have a file's name.
  let files: [MultipartForm.Part]
  private let form: MultipartForm?

  init(_ body: [UInt8], contentType: String?) throws(NormaliseError) {
    guard MultipartForm.isNamed(by: contentType) else {
      fields = try FormBody.reader(body)
      files = []
      form = nil
      return
    }
    guard let form = try? MultipartForm(body, contentType: contentType) else {
      throw .wrongBody(expected: "a form")
    }
    // SendGrid says beside the fields in which character set each is.
    let charsets = (form["charsets"]?.text()).flatMap { try? JSONValue(parsing: $0.utf8) }
    var members: [String: JSONValue] = [:]
    for part in form.parts where part.filename == nil && members[part.name] == nil {
      let name = MessageText.sanitised(part.name, bytesMax: .max)
      let text = part.text(charset: charsets?[part.name]?.string)
      members[name] = .string(MessageText.sanitised(text, bytesMax: .max))
    }
    fields = JSONReader(members)
    files = form.parts.filter { $0.filename != nil }
    self.form = form
  }

  /// The raw message in a field, as it came.
  func message(_ name: String) -> [UInt8]? {
    if let part = form?[name] { return Array(part.content) }
    return fields[name]?.string.map { Array($0.utf8) }
  }

  /// What a field that holds a JSON document says; nil: it is missing or holds none.
  func document(_ name: String) -> JSONValue? {
    fields[name]?.string.flatMap { try? JSONValue(parsing: $0.utf8) }
  }

  /// The bytes that an attachment's id names: a field, or a part of the raw message in `message`.
  func bytes(of id: String, message name: String) -> [UInt8]? {
    if let field = EmailPart.field(of: id) {
      return message(field)
    }
    return message(name).flatMap { EmailPart.bytes(of: id, inMessage: $0) }
  }

  /// The form's files.
  /// - Parameter contentIDs: by the field's name.
  func attachments(contentIDs: [String: String]) -> [EmailMessage.File] {
    files.prefix(100).map { part in
      EmailMessage.File(
        part: EmailPart.field(part.name), name: part.filename,
        type: part.contentType?.value, sizeBytes: Int64(part.content.count),
        contentID: contentIDs[part.name])
    }
  }

  /// Content ids by field, out of `{"<id>": "attachment-1"}`.
  static func contentIDs(_ document: JSONValue?) -> [String: String] {
    var ids: [String: String] = [:]
    for (id, field) in (document?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      guard let field = field.string, ids[field] == nil else { continue }
      ids[field] = MessageID.list("<\(id.trimmingPrefix("<").prefix { $0 != ">" })>").first ?? id
    }
    return ids
  }
}
