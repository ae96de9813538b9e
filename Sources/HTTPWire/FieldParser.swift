/// Reads field lines (RFC 9112 section 5), strictly: nothing is repaired, because what two readers
/// repair differently is what request smuggling is made of.
enum FieldParser {
  /// - Parameters:
  ///   - section: bytes whose every LF follows a CR, ending with an empty line.
  ///   - start: where the first field line begins.
  static func parse(
    _ section: [UInt8], from start: Int, fieldsMax: Int
  ) throws(HTTPParseError) -> HTTPHeaders {
    try section.withUnsafeBufferPointer { (bytes) throws(HTTPParseError) -> HTTPHeaders in
      var headers = HTTPHeaders()
      headers.reserve(12)
      var index = start
      while bytes[index] != UInt8(ascii: "\r") || bytes[index + 1] != UInt8(ascii: "\n") {
        guard headers.count < fieldsMax else { throw .fieldsTooMany(limit: fieldsMax) }
        let colon = try nameEnd(bytes, from: index)
        let lineEnd = try valueEnd(bytes, from: colon + 1)
        let value = trimmingBlanks(bytes[(colon + 1)..<lineEnd])
        headers.add(text(bytes[index..<colon]), text(value))
        index = lineEnd + 2
      }
      return headers
    }
  }

  /// The place of the colon. Only token bytes may stand before it, so a space there is refused
  /// (RFC 9112 section 5.1), and so is a folded line, which begins with one (5.2).
  private static func nameEnd(
    _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) throws(HTTPParseError) -> Int {
    if bytes[start] == 0x20 || bytes[start] == 0x09 { throw .lineFolded }
    var index = start
    while isTokenByte(bytes[index]) { index += 1 }
    guard index > start, bytes[index] == UInt8(ascii: ":") else { throw .fieldNameMalformed }
    return index
  }

  /// The place of the CRLF. A CR alone, NUL and every other control byte but a tab are refused.
  private static func valueEnd(
    _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) throws(HTTPParseError) -> Int {
    var index = start
    while isFieldValueByte(bytes[index]) { index += 1 }
    guard bytes[index] == UInt8(ascii: "\r"), bytes[index + 1] == UInt8(ascii: "\n") else {
      throw .fieldValueMalformed
    }
    return index
  }

  private static func text(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> String {
    String(decoding: UnsafeBufferPointer(rebasing: bytes), as: UTF8.self)
  }
}

/// `tchar` of RFC 9110 section 5.6.2.
func isTokenByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"),
    UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
    UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"),
    UInt8(ascii: "|"), UInt8(ascii: "~"):
    true
  default:
    false
  }
}

/// What may stand in a field value: visible bytes, space, tab, and bytes above ASCII
/// (RFC 9110 section 5.5).
func isFieldValueByte(_ byte: UInt8) -> Bool {
  byte >= 0x20 ? byte != 0x7f : byte == 0x09
}
