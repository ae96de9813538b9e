import Bytes

/// Mailbox names between people and the wire: modified UTF-7 (RFC 3501 section 5.1.3), where ASCII stands for
/// itself, `&` for `&-`, and the rest is UTF-16 in base64 with `,` for `/`.
package enum IMAPMailboxName {
  private static let ampersand = UInt8(ascii: "&")

  /// The wire's form of a name, ASCII only.
  package static func encode(_ name: String) -> String {
    var encoded = ""
    var pending: [UInt8] = []
    func flush() {
      guard !pending.isEmpty else { return }
      let digits = Base64.encode(pending).replacing("/", with: ",").replacing("=", with: "")
      encoded += "&\(digits)-"
      pending = []
    }
    for scalar in name.unicodeScalars {
      if (0x20...0x7e).contains(scalar.value) {
        flush()
        encoded += scalar == "&" ? "&-" : String(scalar)
      } else {
        for unit in String(scalar).utf16 {
          pending += [UInt8(unit >> 8), UInt8(truncatingIfNeeded: unit)]
        }
      }
    }
    flush()
    return encoded
  }

  /// nil when the text is not modified UTF-7, or says something in a second spelling.
  package static func decode(_ text: String) -> String? {
    var name = String.UnicodeScalarView()
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard (0x20...0x7e).contains(byte) else { return nil }
      guard byte == ampersand else {
        name.append(Unicode.Scalar(byte))
        continue
      }
      guard let end = rest.firstIndex(of: UInt8(ascii: "-")) else { return nil }
      if end == rest.startIndex {
        name.append("&")
      } else {
        guard let scalars = decodeRun(rest[..<end]) else { return nil }
        name.append(contentsOf: scalars)
      }
      rest = rest[(end + 1)...]
    }
    let decoded = String(name)
    return encode(decoded) == text ? decoded : nil
  }

  private static func decodeRun(_ digits: ArraySlice<UInt8>) -> String.UnicodeScalarView? {
    guard !digits.contains(UInt8(ascii: "/")) else { return nil }
    let standard = String(decoding: digits, as: UTF8.self).replacing(",", with: "/")
    guard let bytes = Base64.decode(standard), bytes.count.isMultiple(of: 2) else { return nil }
    let units = stride(from: 0, to: bytes.count, by: 2).map {
      UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
    }
    return String(validating: units, as: UTF16.self)?.unicodeScalars
  }
}
