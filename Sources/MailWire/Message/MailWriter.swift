import Bytes

/// Makes a message of a draft (RFC 5322, 2045 to 2047, 2231).
///
/// Nothing that a draft says can begin a header field or a part of its own: header text loses its control
/// characters, addresses and ids are checked, and boundaries hold `=_`, which no encoded part does.
package struct MailWriter {
  /// More of a thread's ids than this are not repeated: the first, and the latest.
  private static let referencesMax = 30

  private let draft: MailDraft
  private let token: String
  private let allows8Bit: Bool
  private var boundaries = 0

  /// - Parameters:
  ///   - token: random letters and digits, for the boundaries.
  ///   - allows8Bit: text outside ASCII may stand as it is; the server must offer 8BITMIME then.
  /// - Throws: when an address or the message's own id is none.
  package static func write(
    _ draft: MailDraft, token: String, allows8Bit: Bool = false
  ) throws(MailDraftError) -> WrittenMail {
    try check(draft)
    let safe = token.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }.prefix(40)
    var writer = MailWriter(draft: draft, token: String(safe), allows8Bit: allows8Bit)
    let body = writer.whole()
    let bytes = writer.header() + body
    return WrittenMail(bytes: bytes, is8Bit: bytes.contains { $0 >= 0x80 })
  }

  private static func check(_ draft: MailDraft) throws(MailDraftError) {
    for address in [draft.from] + [draft.replyTo].compactMap({ $0 }) + draft.to + draft.cc {
      guard MailAddress.isSayable(address.address) else { throw .addressMalformed(address.address) }
    }
    guard isID(draft.messageID) else { throw .messageIDMalformed(draft.messageID) }
  }

  /// Whether it can stand between angle brackets. Old mail has ids without `@`.
  private static func isID(_ id: String) -> Bool {
    !id.isEmpty && id.utf8.count <= 900
      && id.utf8.allSatisfy {
        (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">")
      }
  }

  /// The id without the angle brackets that it may come with. nil when it is none.
  private static func bareID(_ text: String) -> String? {
    var id = text[...]
    if id.hasPrefix("<"), id.hasSuffix(">") { id = id.dropFirst().dropLast() }
    return isID(String(id)) ? String(id) : nil
  }

  private func header() -> [UInt8] {
    var header = HeaderWriter()
    header.field("Date", [MailDate.format(draft.date)])
    header.field("From", [draft.from])
    if let replyTo = draft.replyTo { header.field("Reply-To", [replyTo]) }
    header.field("To", draft.to)
    header.field("Cc", draft.cc)
    header.field("Subject", HeaderText.unstructured(draft.subject))
    header.field("Message-ID", ["<\(draft.messageID)>"])
    if let answered = draft.inReplyTo.flatMap(Self.bareID) { header.field("In-Reply-To", ["<\(answered)>"]) }
    var references = draft.references.compactMap(Self.bareID)
    if references.count > Self.referencesMax {
      references = Array(references.prefix(1) + references.suffix(Self.referencesMax - 1))
    }
    header.field("References", references.map { "<\($0)>" })
    if draft.isAutomatic { header.field("Auto-Submitted", ["auto-generated"]) }
    header.field("MIME-Version", ["1.0"])
    return header.bytes
  }

  // MARK: Parts

  /// The message's own part: its content fields, an empty line and its body.
  private mutating func whole() -> [UInt8] {
    let text = textParts()
    guard !draft.attachments.isEmpty else { return text }
    return multipart("mixed", [text] + draft.attachments.map(attachment))
  }

  private mutating func textParts() -> [UInt8] {
    let plain = part("text/plain", draft.text)
    guard let html = draft.html else { return plain }
    return multipart("alternative", [plain, part("text/html", html)])
  }

  private func part(_ mediaType: String, _ text: String) -> [UInt8] {
    let bytes = BodyEncoding.lines(text)
    let encoding = BodyEncoding.fitting(bytes, allows8Bit: allows8Bit)
    var header = HeaderWriter()
    header.field("Content-Type", ["\(mediaType);", "charset=utf-8"])
    header.field("Content-Transfer-Encoding", [encoding.rawValue])
    header.endHeader()
    return header.bytes + encoding.encode(bytes) + [13, 10]
  }

  private func attachment(_ attachment: MailAttachment) -> [UInt8] {
    var header = HeaderWriter()
    header.field(
      "Content-Type",
      ["\(Self.mediaType(attachment.mediaType));"] + HeaderText.parameter("name", attachment.name))
    header.field("Content-Transfer-Encoding", [BodyEncoding.base64.rawValue])
    header.field("Content-Disposition", ["attachment;"] + HeaderText.parameter("filename", attachment.name))
    header.endHeader()
    return header.bytes + BodyEncoding.base64.encode(attachment.bytes) + [13, 10]
  }

  /// Messages and multiparts must not travel in base64 (RFC 2046 section 5), so they go as plain bytes too.
  private static func mediaType(_ text: String) -> String {
    let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false)
    let isType =
      parts.count == 2
      && parts.allSatisfy { part in
        (1...64).contains(part.count)
          && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "!#$&-^_.+".contains($0)) }
      }
    guard isType, parts[0] != "message", parts[0] != "multipart" else { return "application/octet-stream" }
    return text.lowercased()
  }

  private mutating func multipart(_ subtype: String, _ parts: [[UInt8]]) -> [UInt8] {
    boundaries += 1
    let boundary = "=_\(boundaries)_\(token)"
    var header = HeaderWriter()
    header.field("Content-Type", ["multipart/\(subtype);", "boundary=\"\(boundary)\""])
    header.endHeader()
    var bytes = header.bytes
    bytes.reserveCapacity(parts.reduce(256) { $0 + $1.count + 80 })
    for part in parts {
      bytes.append(contentsOf: "--\(boundary)\r\n".utf8)
      bytes.append(contentsOf: part)
    }
    bytes.append(contentsOf: "--\(boundary)--\r\n".utf8)
    return bytes
  }
}
