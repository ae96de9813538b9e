import Foundation

/// What a text has that Foundation's parser gets wrong, found by looking for single bytes, which the C
/// library does faster than any loop.
///
/// Nothing here knows what is inside a string, so it may see what is not there; never the other way round.
struct JSONTraits {
  /// `JSONSerialization` loses a U+FEFF with which a string begins, escaped or not; the decoder keeps it.
  let mayHoldByteOrderMark: Bool
  let mayHaveTrailingComma: Bool
  let hasNUL: Bool

  init(of bytes: UnsafeRawBufferPointer) {
    hasNUL = Self.has(0, in: bytes)
    // There are fewer closing brackets than commas.
    mayHaveTrailingComma = "]}".utf8.contains { bracket in
      Self.has(bracket, in: bytes) { bytes[..<$0].last { !Self.isSpace($0) } == UInt8(ascii: ",") }
    }
    mayHoldByteOrderMark =
      Self.has(0xef, in: bytes) { bytes[$0...].starts(with: [0xef, 0xbb, 0xbf]) }
      || Self.has(UInt8(ascii: "\\"), in: bytes) { place in
        bytes[place...].starts(with: "\\uf".utf8) || bytes[place...].starts(with: "\\uF".utf8)
      }
  }

  /// Whether `\u0000` may be in a text. An escaped backslash may stand before it.
  static func mayHoldEscapedNUL(_ bytes: UnsafeRawBufferPointer) -> Bool {
    has(UInt8(ascii: "\\"), in: bytes) { bytes[$0...].starts(with: "\\u0000".utf8) }
  }

  /// Whether a byte is in a text, at a place that fits.
  private static func has(
    _ byte: UInt8, in bytes: UnsafeRawBufferPointer, where fits: (Int) -> Bool = { _ in true }
  ) -> Bool {
    guard let start = bytes.baseAddress else { return false }
    var index = 0
    while let found = memchr(start + index, Int32(byte), bytes.count - index) {
      index = UnsafeRawPointer(found) - start
      if fits(index) { return true }
      index += 1
    }
    return false
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
  }

  /// Whether a comma outside of strings stands before a closing bracket.
  static func hasTrailingComma(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var isInString = false
    var index = 0
    while index < bytes.count {
      switch (bytes[index], isInString) {
      case (UInt8(ascii: "\\"), true): index += 1
      case (UInt8(ascii: "\""), _): isInString.toggle()
      case (UInt8(ascii: ","), false) where closes(bytes, behind: index): return true
      default: break
      }
      index += 1
    }
    return false
  }

  /// Whether a closing bracket is the next thing behind a comma.
  private static func closes(_ bytes: UnsafeRawBufferPointer, behind comma: Int) -> Bool {
    let next = bytes[(comma + 1)...].first { !isSpace($0) }
    return next == UInt8(ascii: "]") || next == UInt8(ascii: "}")
  }
}
