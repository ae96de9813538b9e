/// The W3C trace context of a request: which trace it belongs to and which span called.
/// https://www.w3.org/TR/trace-context/#traceparent-header
package struct TraceContext: Sendable, Equatable {
  /// 32 lower-case hexadecimal digits, not all zero.
  package let traceID: String
  /// 16 lower-case hexadecimal digits, not all zero.
  package let parentID: String
  package let isSampled: Bool

  /// Reads a `traceparent` header. nil when it is malformed: the request then starts a new trace.
  /// Versions above 00 may carry more behind the flags, which is not read.
  package init?(traceparent text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 55, bytes.count <= 512, bytes[2] == 45, bytes[35] == 45, bytes[52] == 45,
      let version = Self.hex(bytes[0..<2]), version != "ff",
      version == "00" ? bytes.count == 55 : bytes.count == 55 || bytes[55] == 45,
      let traceID = Self.hex(bytes[3..<35]), traceID.contains(where: { $0 != "0" }),
      let parentID = Self.hex(bytes[36..<52]), parentID.contains(where: { $0 != "0" }),
      let flags = Self.hex(bytes[53..<55]).flatMap({ UInt8($0, radix: 16) })
    else { return nil }
    self.traceID = traceID
    self.parentID = parentID
    isSampled = flags & 1 == 1
  }

  private static func hex(_ bytes: ArraySlice<UInt8>) -> String? {
    guard bytes.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The name of one request in logs and answers.
package struct RequestID: Sendable, Hashable, CustomStringConvertible {
  package let description: String

  /// Takes over an `X-Request-Id` header: 1 to 128 letters, digits and `._-`. nil for anything else.
  package init?(header text: some StringProtocol) {
    guard (1...128).contains(text.utf8.count),
      text.utf8.allSatisfy({ byte in
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
          || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
      })
    else { return nil }
    description = String(text)
  }

  /// A new one; the randomness is passed in.
  package init(random: UInt64) {
    let digits = String(random, radix: 16)
    description = String(repeating: "0", count: 16 - digits.count) + digits
  }
}
