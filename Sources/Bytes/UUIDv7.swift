/// Time-sortable identifiers: UUID version 7 (RFC 9562 section 5.7).
///
/// Pure: the clock and the randomness are passed in. Two ids made in the same millisecond keep the
/// order of `counter`, which the caller counts up.
package struct UUIDv7: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The sixteen bytes in network order.
  package let bytes: [UInt8]

  /// - Parameters:
  ///   - milliseconds: since 1970-01-01 UTC; the low 48 bits are used.
  ///   - counter: 12 bits that sort ids of one millisecond.
  ///   - random: 62 bits are used.
  package init(milliseconds: UInt64, counter: UInt16, random: UInt64) {
    var bytes = [UInt8](repeating: 0, count: 16)
    for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> UInt64(40 - 8 * index)) }
    bytes[6] = 0x70 | UInt8(truncatingIfNeeded: (counter >> 8) & 0x0f)
    bytes[7] = UInt8(truncatingIfNeeded: counter)
    for index in 0..<8 { bytes[8 + index] = UInt8(truncatingIfNeeded: random >> UInt64(56 - 8 * index)) }
    bytes[8] = 0x80 | (bytes[8] & 0x3f)
    self.bytes = bytes
  }

  /// Reads the canonical 36-character form of any UUID version, either case. nil for anything else.
  package init?(_ text: some StringProtocol) {
    let source = Array(text.utf8)
    guard source.count == 36 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16)
    var index = 0
    while index < 36 {
      if index == 8 || index == 13 || index == 18 || index == 23 {
        guard source[index] == UInt8(ascii: "-") else { return nil }
        index += 1
        continue
      }
      guard let high = Hex.value(source[index]), let low = Hex.value(source[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
      index += 2
    }
    self.bytes = bytes
  }

  /// Takes sixteen bytes as they came from a store. nil for any other number of bytes.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    self.bytes = Array(bytes)
  }

  /// When it was made, in milliseconds since 1970-01-01 UTC; of other versions it means nothing.
  package var milliseconds: UInt64 { bytes[..<6].reduce(0) { $0 << 8 | UInt64($1) } }

  package var description: String {
    var text: [UInt8] = []
    text.reserveCapacity(36)
    for (index, byte) in Hex.encode(bytes).utf8.enumerated() {
      if index == 8 || index == 12 || index == 16 || index == 20 { text.append(UInt8(ascii: "-")) }
      text.append(byte)
    }
    return String(decoding: text, as: UTF8.self)
  }

  package static func < (left: UUIDv7, right: UUIDv7) -> Bool {
    left.bytes.lexicographicallyPrecedes(right.bytes)
  }
}
