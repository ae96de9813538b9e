/// Base64 in its two alphabets (RFC 4648 sections 4 and 5).
package enum Base64 {
  package enum Alphabet: Sendable {
    /// `+` and `/`, padded when written.
    case standard
    /// `-` and `_`, not padded when written.
    case url
  }

  private static let standardDigits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let urlDigits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  private static let standardValues = table(standardDigits)
  private static let urlValues = table(urlDigits)

  private static func table(_ digits: [UInt8]) -> [UInt8] {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
    return values
  }

  package static func encode(_ bytes: [UInt8], _ alphabet: Alphabet = .standard) -> String {
    var text: [UInt8] = []
    append(bytes, alphabet, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Writes the text behind other bytes, without a copy of it in between.
  package static func append(_ bytes: [UInt8], _ alphabet: Alphabet = .standard, to text: inout [UInt8]) {
    let digits = alphabet == .standard ? standardDigits : urlDigits
    let start = text.count
    text.reserveCapacity(start + encodedCount(bytes.count))
    var index = 0
    while index < bytes.count {
      let left = bytes.count - index
      let first = bytes[index]
      let second = left > 1 ? bytes[index + 1] : 0
      let third = left > 2 ? bytes[index + 2] : 0
      text.append(digits[Int(first >> 2)])
      text.append(digits[Int((first & 3) << 4 | second >> 4)])
      if left > 1 { text.append(digits[Int((second & 15) << 2 | third >> 6)]) }
      if left > 2 { text.append(digits[Int(third & 63)]) }
      index += 3
    }
    if alphabet == .standard {
      while !(text.count - start).isMultiple(of: 4) { text.append(UInt8(ascii: "=")) }
    }
  }

  /// The length of the text of so many bytes, padded.
  package static func encodedCount(_ byteCount: Int) -> Int { (byteCount + 2) / 3 * 4 }

  /// Strict: nil for any foreign character, white space, an impossible length, or spare bits that
  /// are not zero (so one value has one spelling). Padding may be present in full or left out.
  package static func decode(_ text: some StringProtocol, _ alphabet: Alphabet = .standard) -> [UInt8]? {
    var source = Array(text.utf8)
    if source.count.isMultiple(of: 4) {
      var padding = 0
      while padding < 2, source.last == UInt8(ascii: "=") {
        source.removeLast()
        padding += 1
      }
    }
    guard source.count % 4 != 1 else { return nil }
    let values = alphabet == .standard ? standardValues : urlValues
    var bytes: [UInt8] = []
    bytes.reserveCapacity(source.count / 4 * 3 + 2)
    var bits: UInt32 = 0
    var bitCount = 0
    for digit in source {
      let value = values[Int(digit)]
      guard value != 255 else { return nil }
      bits = bits << 6 | UInt32(value)
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
        bits &= (1 << UInt32(bitCount)) - 1
      }
    }
    return bits == 0 ? bytes : nil
  }
}
