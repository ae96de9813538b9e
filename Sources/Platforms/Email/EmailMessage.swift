import Bytes
import MIME

/// A mail as it was read, from its MIME form or from the fields of a provider. What it means in a hub is
/// decided by `EmailItems`.
struct EmailMessage: Sendable {
  /// A file that came with it.
  struct File: Sendable {
    /// Names its place in the delivery: see `EmailPart`. nil when there is only a URL.
    var part: String?
    var url: String?
    var name: String?
    var type: String?
    var sizeBytes: Int64?
    /// As HTML refers to it, without `cid:`.
    var contentID: String?
  }

  var headers = MailHeaders()
  var from: MailAddress?
  var to: [MailAddress] = []
  var cc: [MailAddress] = []
  var replyTo: [MailAddress] = []
  var subject: String?
  /// nil: the header has none that can be read.
  var date: Timestamp?
  var text: String?
  var html: String?
  /// Names the HTML's place in the delivery.
  var htmlPart: String?
  var files: [File] = []
  var report: MailReport?
  /// The addresses that the mail was brought to, by its envelope.
  var recipients: [String] = []

  /// From what the header says.
  init(headers: MailHeaders) {
    self.headers = headers
    from = MailAddress.list(headers["From"] ?? headers["Sender"] ?? headers["Return-Path"] ?? "").first
    to = headers.all("To").flatMap { MailAddress.list($0) }
    cc = headers.all("Cc").flatMap { MailAddress.list($0) }
    replyTo = MailAddress.list(headers["Reply-To"] ?? "")
    subject = headers["Subject"].map { EncodedWord.decode($0) }
    date = headers["Date"].flatMap { MailDate.parse($0) }
  }

  /// From the whole message.
  init(_ entity: MIMEEntity) {
    self.init(headers: entity.headers)
    var reader = EmailBodyReader()
    reader.read(entity)
    text = reader.texts.isEmpty ? nil : reader.texts.joined(separator: "\n")
    html = reader.htmls.isEmpty ? nil : reader.htmls.joined(separator: "\n")
    htmlPart = reader.htmlSection.map { EmailPart.section($0) }
    files = reader.files
    report = reader.report
  }
}

/// Walks the parts of a message: which are its text, which its files (RFC 2046, 2183, 2387, 6522).
private struct EmailBodyReader {
  private static let filesMax = 100

  private(set) var texts: [String] = []
  private(set) var htmls: [String] = []
  private(set) var htmlSection: String?
  private(set) var files: [EmailMessage.File] = []
  private(set) var report: MailReport?

  mutating func read(_ entity: MIMEEntity) {
    switch entity.content {
    case .multipart(let parts) where entity.contentType.value == "multipart/alternative":
      readAlternative(parts)
    case .multipart(let parts) where entity.contentType.value == "multipart/report":
      report = MailReport(parts)
      // The first part is for people; the others are the report.
      for part in report == nil ? parts[...] : parts.prefix(1) { read(part) }
    case .multipart(let parts):
      for part in parts { read(part) }
    case .message(let parts):
      add(entity, name: parts.first?.headers["Subject"].map { EncodedWord.decode($0) + ".eml" })
    case .leaf:
      readLeaf(entity)
    }
  }

  /// Forms of one content: the plain and the HTML one are kept apart, of each the first.
  private mutating func readAlternative(_ parts: [MIMEEntity]) {
    var chosen = EmailBodyReader()
    for part in parts {
      var form = EmailBodyReader()
      form.read(part)
      if chosen.texts.isEmpty { chosen.texts = form.texts }
      if chosen.htmls.isEmpty {
        chosen.htmls = form.htmls
        chosen.htmlSection = form.htmlSection
      }
      chosen.files += form.files
      chosen.report = chosen.report ?? form.report
    }
    texts += chosen.texts
    htmls += chosen.htmls
    htmlSection = htmlSection ?? chosen.htmlSection
    files = Array((files + chosen.files).prefix(Self.filesMax))
    report = report ?? chosen.report
  }

  private mutating func readLeaf(_ entity: MIMEEntity) {
    let isShown = entity.disposition?.value != "attachment" && entity.filename == nil
    switch entity.contentType.value {
    case "text/plain" where isShown, "" where isShown, "text" where isShown:
      texts.append(FlowedText.unwrapped(entity.text, entity.contentType))
    case "text/html" where isShown:
      htmls.append(entity.text)
      htmlSection = htmlSection ?? entity.section
    default: add(entity, name: nil)
    }
  }

  private mutating func add(_ entity: MIMEEntity, name: String?) {
    guard files.count < Self.filesMax else { return }
    var size: Int64?
    if case .leaf = entity.content { size = Int64(entity.bytes.count) }
    files.append(
      EmailMessage.File(
        part: EmailPart.section(entity.section), name: entity.filename ?? name,
        type: entity.contentType.value, sizeBytes: size, contentID: entity.contentID))
  }
}

/// Text whose lines were broken for the way (RFC 3676).
enum FlowedText {
  static func unwrapped(_ text: String, _ type: ParameterizedValue) -> String {
    guard type["format"]?.lowercased() == "flowed" else { return text }
    let deletesSpace = type["delsp"]?.lowercased() == "yes"
    var output: [UInt8] = []
    var isFirst = true
    var openDepth: Int?
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let depth = line.prefix { $0 == UInt8(ascii: ">") }.count
      var content = line.dropFirst(depth)
      // A space in front was put there so that nothing else is read out of the line.
      if content.first == UInt8(ascii: " ") { content = content.dropFirst() }
      let isSignature = content.elementsEqual("-- ".utf8)
      if openDepth != depth || isSignature {
        if !isFirst { output.append(UInt8(ascii: "\n")) }
        output += line.prefix(depth)
        if depth > 0 { output.append(UInt8(ascii: " ")) }
      }
      isFirst = false
      let isOpen = content.last == UInt8(ascii: " ") && !isSignature
      output += isOpen && deletesSpace ? content.dropLast() : content
      openDepth = isOpen ? depth : nil
    }
    return String(decoding: output, as: UTF8.self)
  }
}
