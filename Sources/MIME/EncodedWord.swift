/// Encoded words in header fields: `=?UTF-8?Q?Caf=C3=A9?=` (RFC 2047).
package enum EncodedWord {
  private static let charsetBytesMax = 64

  /// The text with its encoded words decoded. What is none stays as it is. White space between two words
  /// is not part of the text, and a character may be split between words of one character set.
  package static func decode(_ text: String) -> String {
    let bytes = Array(text.utf8)
    guard bytes.contains(ASCII.equals) else { return text }
    var output = ""
    var plain = 0
    var index = 0
    var pending: (charset: String, bytes: [UInt8])?
    func flush() {
      if let word = pending { output += Charset.decode(word.bytes, word.charset) }
      pending = nil
    }
    while index < bytes.count {
      guard bytes[index] == ASCII.equals, let word = read(bytes, at: index) else {
        index += 1
        continue
      }
      let gap = bytes[plain..<index]
      if pending == nil || !gap.allSatisfy(ASCII.isSpace) {
        flush()
        output += String(decoding: gap, as: UTF8.self)
      }
      if let open = pending, ASCII.equalsIgnoringCase(open.charset, word.charset) {
        pending?.bytes += word.content
      } else {
        flush()
        pending = (word.charset, word.content)
      }
      index = word.end
      plain = index
    }
    flush()
    return output + String(decoding: bytes[plain...], as: UTF8.self)
  }

  private struct Word {
    let charset: String
    let content: [UInt8]
    let end: Int
  }

  /// The word that begins at `start`; nil: there is none.
  private static func read(_ bytes: [UInt8], at start: Int) -> Word? {
    let mark = UInt8(ascii: "?")
    guard start + 1 < bytes.count, bytes[start + 1] == mark else { return nil }
    let name = bytes[(start + 2)...].prefix(charsetBytesMax).prefix {
      $0 != mark && !ASCII.isSpace($0) && $0 != ASCII.equals
    }
    let encoding = name.endIndex + 1
    guard !name.isEmpty, encoding + 1 < bytes.count, bytes[name.endIndex] == mark,
      bytes[encoding + 1] == mark
    else { return nil }
    // A Q word ends at the first `?=`; neither form has a question mark inside, nor a line's end.
    let text = bytes[(encoding + 2)...].prefix { $0 != mark && $0 != ASCII.lineFeed }
    let end = text.endIndex + 2
    guard end <= bytes.count, bytes[text.endIndex] == mark, bytes[text.endIndex + 1] == ASCII.equals else {
      return nil
    }
    let content: [UInt8]
    switch ASCII.lowercased(bytes[encoding]) {
    case UInt8(ascii: "q"): content = unquoted(text)
    case UInt8(ascii: "b"): content = TransferEncoding.base64.decode(text)
    default: return nil
    }
    return Word(charset: String(decoding: name, as: UTF8.self), content: content, end: end)
  }

  private static func unquoted(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      let byte = text[index]
      if byte == ASCII.equals, index + 2 < text.endIndex, let high = ASCII.hexValue(text[index + 1]),
        let low = ASCII.hexValue(text[index + 2])
      {
        output.append(high << 4 | low)
        index += 3
      } else {
        output.append(byte == UInt8(ascii: "_") ? ASCII.space : byte)
        index += 1
      }
    }
    return output
  }
}
