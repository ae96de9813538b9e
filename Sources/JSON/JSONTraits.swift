/// What a text has that Foundation's parser gets wrong, found in one pass over its bytes.
///
/// The pass does not know what is inside a string, so it may see what is not there; never the other
/// way round.
struct JSONTraits {
  /// `JSONSerialization` loses a U+FEFF with which a string begins, escaped or not; the decoder keeps it.
  private(set) var mayHoldByteOrderMark = false
  private(set) var mayHaveTrailingComma = false
  private(set) var hasNUL = false

  init(of bytes: UnsafeRawBufferPointer) {
    for index in bytes.indices {
      switch bytes[index] {
      case 0: hasNUL = true
      case UInt8(ascii: ","):
        if Self.closes(bytes, behind: index) { mayHaveTrailingComma = true }
      case 0xef where index + 2 < bytes.count:
        if bytes[index + 1] == 0xbb && bytes[index + 2] == 0xbf { mayHoldByteOrderMark = true }
      case UInt8(ascii: "\\") where index + 2 < bytes.count:
        if bytes[index + 1] == UInt8(ascii: "u") && bytes[index + 2] | 0x20 == UInt8(ascii: "f") {
          mayHoldByteOrderMark = true
        }
      default: break
      }
    }
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
    for byte in bytes[(comma + 1)...] {
      switch byte {
      case 0x20, 0x09, 0x0a, 0x0d: continue
      case UInt8(ascii: "]"), UInt8(ascii: "}"): return true
      default: return false
      }
    }
    return false
  }
}
