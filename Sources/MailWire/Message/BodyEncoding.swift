import Bytes

/// How a text or a file travels (RFC 2045 section 6).
enum BodyEncoding: String {
  case sevenBit = "7bit"
  case eightBit = "8bit"
  case quotedPrintable = "quoted-printable"
  case base64 = "base64"

  /// The one that fits a text whose lines end with CRLF. A line of 998 bytes is the longest that may be sent
  /// as it is. `=_` begins the boundaries between parts, and only an encoding can rule it out.
  static func fitting(_ text: [UInt8], allows8Bit: Bool) -> BodyEncoding {
    var lineBytes = 0
    var highBytes = 0
    var isPlain = true
    var last: UInt8 = 0
    for byte in text {
      switch byte {
      case UInt8(ascii: "\r"): break
      case UInt8(ascii: "\n"): lineBytes = -1
      case 0..<9, 11..<32, 127: isPlain = false
      case 128...: highBytes += 1
      default: if byte == UInt8(ascii: "_"), last == UInt8(ascii: "=") { isPlain = false }
      }
      lineBytes += 1
      if lineBytes > 900 { isPlain = false }
      last = byte
    }
    if isPlain, highBytes == 0 { return .sevenBit }
    if isPlain, allows8Bit { return .eightBit }
    // Quoted-printable triples what it has to quote, base64 adds a third to everything.
    return highBytes * 6 > text.count ? .base64 : .quotedPrintable
  }

  func encode(_ bytes: [UInt8]) -> [UInt8] {
    switch self {
    case .sevenBit, .eightBit: bytes
    case .quotedPrintable: Self.encodeQuotedPrintable(bytes)
    case .base64: Self.encodeBase64(bytes)
    }
  }

  /// Every line end of a text as CRLF.
  static func lines(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count + 64)
    var last: UInt8 = 0
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\r"): bytes += [13, 10]
      case UInt8(ascii: "\n"): if last != UInt8(ascii: "\r") { bytes += [13, 10] }
      default: bytes.append(byte)
      }
      last = byte
    }
    return bytes
  }

  private static let hexDigits = Array("0123456789ABCDEF".utf8)

  private static func encodeQuotedPrintable(_ bytes: [UInt8]) -> [UInt8] {
    var encoded: [UInt8] = []
    encoded.reserveCapacity(bytes.count * 3 / 2)
    var column = 0
    for (index, byte) in bytes.enumerated() {
      if byte == 13 { continue }
      if byte == 10 {
        encoded += [13, 10]
        column = 0
        continue
      }
      let next = index + 1 < bytes.count ? bytes[index + 1] : 13
      let isBlankAtEnd = (byte == 32 || byte == 9) && next == 13
      let isPlain = (byte == 9 || (32...126).contains(byte)) && byte != UInt8(ascii: "=") && !isBlankAtEnd
      let width = isPlain ? 1 : 3
      if column + width > 75 {
        encoded += [UInt8(ascii: "="), 13, 10]
        column = 0
      }
      if isPlain {
        encoded.append(byte)
      } else {
        encoded += [UInt8(ascii: "="), hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
      }
      column += width
    }
    return encoded
  }

  private static func encodeBase64(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array(Base64.encode(bytes).utf8)
    var encoded: [UInt8] = []
    encoded.reserveCapacity(digits.count + digits.count / 38 + 2)
    for start in stride(from: 0, to: digits.count, by: 76) {
      if start > 0 { encoded += [13, 10] }
      encoded.append(contentsOf: digits[start..<min(start + 76, digits.count)])
    }
    return encoded
  }
}
