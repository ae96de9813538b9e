/// A message's bytes as DATA carries them (RFC 5321 section 4.5.2): lines end with CRLF and nothing else, a
/// dot at the start of a line is doubled, and the end is a dot on a line of its own.
///
/// Lone CR and LF become line ends, because servers disagree about them, and a message must not end where
/// somebody who wrote its text wants it to.
package struct DotStuffing: Sendable {
  private var isAtLineStart = true
  private var endsWithCR = false

  package init() {}

  /// The next bytes for the wire.
  package mutating func write(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var written: [UInt8] = []
    written.reserveCapacity(bytes.count + bytes.count / 32 + 4)
    for byte in bytes {
      if endsWithCR {
        endsWithCR = false
        if byte == UInt8(ascii: "\n") { continue }
      }
      switch byte {
      case UInt8(ascii: "\r"), UInt8(ascii: "\n"):
        written.append(UInt8(ascii: "\r"))
        written.append(UInt8(ascii: "\n"))
        isAtLineStart = true
        endsWithCR = byte == UInt8(ascii: "\r")
      default:
        if isAtLineStart, byte == UInt8(ascii: ".") { written.append(byte) }
        written.append(byte)
        isAtLineStart = false
      }
    }
    return written
  }

  /// The end: the last line's, then the dot.
  package mutating func finish() -> [UInt8] {
    defer { self = DotStuffing() }
    return Array((isAtLineStart ? ".\r\n" : "\r\n.\r\n").utf8)
  }
}
