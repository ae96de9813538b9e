/// Checks UTF-8 as it arrives, in any cuts (RFC 3629 section 4).
///
/// Between two parts it remembers how many bytes of a character are still due, and between which
/// bounds the next one must lie: that alone refuses overlong forms, surrogates and what lies beyond
/// U+10FFFF at the first byte that makes them so.
package struct UTF8Validator: Sendable, Equatable {
  private var due: UInt8 = 0
  private var low: UInt8 = 0x80
  private var high: UInt8 = 0xbf

  package init() {}

  /// Whether no character is left unfinished.
  package var isComplete: Bool { due == 0 }

  /// false when these bytes cannot continue what came before. Then the validator is spent.
  package mutating func accept(_ bytes: some Collection<UInt8>) -> Bool {
    if let result = bytes.withContiguousStorageIfAvailable({ accept(contiguous: $0) }) { return result }
    return Array(bytes).withUnsafeBufferPointer { accept(contiguous: $0) }
  }

  private mutating func accept(contiguous bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var index = 0
    while index < bytes.count {
      if due == 0 {
        index = endOfASCII(bytes, from: index)
        guard index < bytes.count else { return true }
        guard begin(bytes[index]) else { return false }
      } else {
        let byte = bytes[index]
        guard byte >= low && byte <= high else { return false }
        due -= 1
        low = 0x80
        high = 0xbf
      }
      index += 1
    }
    return true
  }

  /// The index of the first byte that is not ASCII: most text is, and eight bytes are looked at at once.
  private func endOfASCII(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    let raw = UnsafeRawBufferPointer(bytes)
    var index = start
    while index + 8 <= raw.count,
      raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
    {
      index += 8
    }
    while index < raw.count, raw[index] < 0x80 { index += 1 }
    return index
  }

  /// Takes the first byte of a character that is not ASCII.
  private mutating func begin(_ byte: UInt8) -> Bool {
    switch byte {
    case 0xc2...0xdf: due = 1
    case 0xe0: (due, low) = (2, 0xa0)
    case 0xed: (due, high) = (2, 0x9f)
    case 0xe1...0xef: due = 2
    case 0xf0: (due, low) = (3, 0x90)
    case 0xf1...0xf3: due = 3
    case 0xf4: (due, high) = (3, 0x8f)
    default: return false
    }
    return true
  }
}
