/// Somebody's address (RFC 5322 section 3.4).
package struct MailAddress: Sendable, Hashable {
  /// What is shown for it; nil: nothing was said.
  package let name: String?
  /// `local@domain`, in the letter case in which it was written.
  package let address: String

  package init(name: String?, address: String) {
    self.name = name
    self.address = address
  }

  /// Addresses of one field that are read.
  package static let countMax = 1_000

  /// The addresses of a field such as `To`: display names, groups, comments, quoted strings and encoded
  /// words. What is no address is passed over.
  package static func list(_ value: String) -> [MailAddress] {
    var parser = MailAddressParser(bytes: Array(value.utf8))
    return parser.addresses()
  }
}

/// Reads address lists, leniently: once through the bytes.
private struct MailAddressParser {
  let bytes: [UInt8]
  private var index = 0
  private var found: [MailAddress] = []
  /// Words before an angle bracket, or the address itself.
  private var words: [[UInt8]] = []
  /// Whether white space parts the last word from what follows.
  private var hasGap = false
  /// Of the last word: its last byte, whether it has an `@`, and whether `[IPv6:...` is open.
  private var lastByte: UInt8?
  private var hasAt = false
  private var isLiteral = false
  private var comment: [UInt8] = []
  private var angle: [UInt8]?

  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  mutating func addresses() -> [MailAddress] {
    while index < bytes.count, found.count < MailAddress.countMax {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: ","), UInt8(ascii: ";"):
        finish()
        index += 1
      case ASCII.colon where angle == nil && !isLiteral:
        // The name of a group.
        clear()
        index += 1
      case UInt8(ascii: "("): readComment()
      case ASCII.quote: readQuoted()
      case UInt8(ascii: "<"): readAngle()
      default:
        if ASCII.isSpace(byte) {
          hasGap = true
        } else {
          append(byte)
        }
        index += 1
      }
    }
    finish()
    return found
  }

  private mutating func append(_ byte: UInt8) {
    // White space around `@` and `.` is not part of an address, and parts nothing.
    let joins = byte == UInt8(ascii: "@") || byte == UInt8(ascii: ".")
    let isOpen = lastByte == UInt8(ascii: "@") || lastByte == UInt8(ascii: ".") && hasAt
    if words.isEmpty || (hasGap && !joins && !isOpen) { beginWord() }
    words[words.count - 1].append(byte)
    lastByte = byte
    if byte == UInt8(ascii: "@") { hasAt = true }
    if byte == UInt8(ascii: "[") { isLiteral = true }
    if byte == UInt8(ascii: "]") { isLiteral = false }
    hasGap = false
  }

  private mutating func beginWord() {
    words.append([])
    lastByte = nil
    hasAt = false
    isLiteral = false
  }

  private mutating func readComment() {
    var depth = 0
    var text: [UInt8] = []
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      if byte == ASCII.backslash, index < bytes.count {
        text.append(bytes[index])
        index += 1
        continue
      }
      if byte == UInt8(ascii: ")") {
        depth -= 1
        if depth == 0 { break }
      }
      if depth > 0 { text.append(byte) }
      if byte == UInt8(ascii: "(") { depth += 1 }
    }
    if comment.isEmpty { comment = text }
    hasGap = true
  }

  private mutating func readQuoted() {
    var text: [UInt8] = []
    index += 1
    while index < bytes.count, bytes[index] != ASCII.quote {
      if bytes[index] == ASCII.backslash, index + 1 < bytes.count { index += 1 }
      text.append(bytes[index])
      index += 1
    }
    index += 1
    // `"john doe"@example.com`: the quotes are part of the address.
    if index < bytes.count, bytes[index] == UInt8(ascii: "@") {
      text = [ASCII.quote] + text + [ASCII.quote]
    }
    if words.isEmpty || hasGap { beginWord() }
    words[words.count - 1] += text
    lastByte = ASCII.quote
    hasGap = false
  }

  private mutating func readAngle() {
    var text: [UInt8] = []
    index += 1
    while index < bytes.count, bytes[index] != UInt8(ascii: ">") {
      // A bracket that is never closed ends where the next address may begin.
      if bytes[index] == UInt8(ascii: "<") { break }
      if !ASCII.isSpace(bytes[index]) { text.append(bytes[index]) }
      index += 1
    }
    if index < bytes.count, bytes[index] == UInt8(ascii: ">") { index += 1 }
    // Routes are obsolete: `<@relay:ana@example.com>`.
    if text.first == UInt8(ascii: "@"), let colon = text.firstIndex(of: ASCII.colon) {
      text = Array(text[(colon + 1)...])
    }
    angle = text
  }

  private mutating func finish() {
    defer { clear() }
    let spoken = String(decoding: Array(words.joined(separator: [ASCII.space])), as: UTF8.self)
    if let angle {
      add(angle, name: spoken.isEmpty ? String(decoding: comment, as: UTF8.self) : spoken)
    } else if let place = words.firstIndex(where: { $0.contains(UInt8(ascii: "@")) }) {
      var rest = words
      let address = rest.remove(at: place)
      let other = String(decoding: Array(rest.joined(separator: [ASCII.space])), as: UTF8.self)
      add(address, name: comment.isEmpty ? other : String(decoding: comment, as: UTF8.self))
    }
  }

  private mutating func add(_ address: [UInt8], name: String) {
    guard let at = address.lastIndex(of: UInt8(ascii: "@")), at > 0, at + 1 < address.count,
      address.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
    else { return }
    let shown = EncodedWord.decode(name).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    let plain =
      shown.hasPrefix("'") && shown.hasSuffix("'") && shown.count > 1
      ? String(shown.dropFirst().dropLast()) : shown
    let text = String(decoding: address, as: UTF8.self)
    found.append(MailAddress(name: plain.isEmpty || plain == text ? nil : plain, address: text))
  }

  private mutating func clear() {
    words = []
    comment = []
    angle = nil
    hasGap = false
    lastByte = nil
    hasAt = false
    isLiteral = false
  }
}
