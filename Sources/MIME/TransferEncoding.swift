/// How the bytes of a body were made fit to travel (RFC 2045 section 6). Decoding is lenient, as mail has
/// to be: what is not of the encoding is passed over or kept as it is, and nothing is refused.
package enum TransferEncoding: Sendable, Equatable {
  /// 7bit, 8bit, binary, and whatever is not known.
  case identity
  case quotedPrintable
  case base64

  /// - Parameter name: the value of a `Content-Transfer-Encoding` field.
  package init(_ name: String?) {
    let text = ASCII.trimmed(Array((name ?? "").utf8)[...]).map(ASCII.lowercased)
    switch String(decoding: text.prefix { $0 != UInt8(ascii: ";") && !ASCII.isSpace($0) }, as: UTF8.self) {
    case "quoted-printable": self = .quotedPrintable
    case "base64": self = .base64
    default: self = .identity
    }
  }

  package func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    switch self {
    case .identity: Array(bytes)
    case .quotedPrintable: Self.quotedPrintable(bytes)
    case .base64: Self.base64(bytes)
    }
  }

  private static func quotedPrintable(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count)
    // Blanks at the end of a line were added on the way; they are kept back until something follows.
    var blanks = 0
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if ASCII.isBlank(byte) {
        output.append(byte)
        blanks += 1
        index += 1
        continue
      }
      if byte == ASCII.carriageReturn || byte == ASCII.lineFeed {
        output.removeLast(blanks)
        output.append(byte)
        index += 1
      } else if byte == ASCII.equals {
        index = unescape(bytes, from: index, into: &output)
      } else {
        output.append(byte)
        index += 1
      }
      blanks = 0
    }
    output.removeLast(blanks)
    return output
  }

  /// - Returns: the place behind the escape or the soft line break at `index`.
  private static func unescape(
    _ bytes: ArraySlice<UInt8>, from index: Int, into output: inout [UInt8]
  ) -> Int {
    let rest = bytes[(index + 1)...]
    if rest.count >= 2, let high = ASCII.hexValue(bytes[index + 1]),
      let low = ASCII.hexValue(bytes[index + 2])
    {
      output.append(high << 4 | low)
      return index + 3
    }
    var end = index + 1
    while end < bytes.endIndex, ASCII.isBlank(bytes[end]) { end += 1 }
    if end == bytes.endIndex { return end }
    if bytes[end] == ASCII.lineFeed { return end + 1 }
    if bytes[end] == ASCII.carriageReturn {
      return end + 1 < bytes.endIndex && bytes[end + 1] == ASCII.lineFeed ? end + 2 : end + 1
    }
    output.append(ASCII.equals)
    return index + 1
  }

  private static let digitValues: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for (value, digit) in digits.utf8.enumerated() { values[Int(digit)] = UInt8(value) }
    return values
  }()

  /// Foreign characters are passed over; padding ends a group, and more may follow.
  private static func base64(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count / 4 * 3)
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for byte in bytes {
      if byte == ASCII.equals {
        bits = 0
        bitCount = 0
        continue
      }
      let value = digitValues[Int(byte)]
      guard value != 255 else { continue }
      bits = bits << 6 | UInt32(value)
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        output.append(UInt8(truncatingIfNeeded: bits >> bitCount))
        bits &= (1 << bitCount) - 1
      }
    }
    return output
  }
}
