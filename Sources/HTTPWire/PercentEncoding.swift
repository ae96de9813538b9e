import Bytes

/// Percent-encoding of URLs (RFC 3986 section 2.1).
package enum PercentEncoding {
  /// Decodes once. nil for an incomplete or foreign `%` sequence, for bytes that are not UTF-8 and
  /// for NUL: none of these has an honest use in a path or a query.
  ///
  /// - Parameter plusIsSpace: as in form encoding; a path keeps its `+`.
  package static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
    decode(Array(text.utf8)[...], plusIsSpace: plusIsSpace)
  }

  static func decode(_ source: ArraySlice<UInt8>, plusIsSpace: Bool) -> String? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(source.count)
    var isASCII = true
    var index = source.startIndex
    while index < source.endIndex {
      var byte = source[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < source.endIndex, let high = Hex.value(source[index + 1]),
          let low = Hex.value(source[index + 2])
        else { return nil }
        byte = high << 4 | low
        index += 2
      } else if byte == UInt8(ascii: "+"), plusIsSpace {
        byte = 0x20
      }
      guard byte != 0 else { return nil }
      isASCII = isASCII && byte < 0x80
      bytes.append(byte)
      index += 1
    }
    // What is ASCII needs no second look.
    return isASCII ? String(decoding: bytes, as: UTF8.self) : String(validating: bytes, as: UTF8.self)
  }

  /// Encodes every byte that is not unreserved (RFC 3986 section 2.3), so the result may stand in a
  /// path segment, a query name or a query value.
  package static func encode(_ text: some StringProtocol) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "_"), UInt8(ascii: "~"):
        bytes.append(byte)
      default:
        bytes.append(UInt8(ascii: "%"))
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 15)])
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
