/// A field value with parameters: `text/plain; charset=utf-8` (RFC 2045 section 5.1), those of RFC 2231
/// among them: `filename*=UTF-8''caf%C3%A9.txt`, `filename*0="very "; filename*1="long"`.
package struct ParameterizedValue: Sendable, Equatable {
  private static let parametersMax = 64
  private static let sectionsMax = 64

  /// What is before the parameters, in lower case.
  package let value: String
  /// By lower-case name; decoded. Of several of a name the first.
  package private(set) var parameters: [String: String] = [:]

  package subscript(name: String) -> String? { parameters[name] }

  /// - Parameter text: as it stands in a header, unfolded.
  package init(_ text: String) {
    var reader = Reader(bytes: Array(text.utf8))
    value = String(decoding: reader.untilSemicolon().map(ASCII.lowercased), as: UTF8.self)
    reader.index += 1
    var extended: [String: [Section]] = [:]
    for _ in 0..<Self.parametersMax {
      guard let (name, value) = reader.parameter() else { break }
      if let star = name.firstIndex(of: UInt8(ascii: "*")) {
        let base = String(decoding: name[..<star], as: UTF8.self)
        if let section = Section(marks: name[(star + 1)...], value: value) {
          extended[base, default: []].append(section)
        }
      } else {
        let name = String(decoding: name, as: UTF8.self)
        if parameters[name] == nil {
          parameters[name] = EncodedWord.decode(Charset.unicodeOrWestern(value))
        }
      }
    }
    // What RFC 2231 says wins: the plain form beside it is for readers that do not know it.
    for (name, sections) in extended {
      if let text = Self.joined(sections.prefix(Self.sectionsMax)) { parameters[name] = text }
    }
  }

  /// A piece of a long or encoded parameter.
  private struct Section {
    var number = 0
    var isEncoded = false
    let value: [UInt8]

    /// - Parameter marks: what follows the first asterisk: `` , `0`, `0*`.
    init?(marks: ArraySlice<UInt8>, value: [UInt8]) {
      self.value = value
      guard !marks.isEmpty else {
        isEncoded = true
        return
      }
      isEncoded = marks.last == UInt8(ascii: "*")
      let digits = isEncoded ? marks.dropLast() : marks
      guard let number = Int(String(decoding: digits, as: UTF8.self)), number >= 0 else { return nil }
      self.number = number
    }
  }

  /// nil when the first piece is missing. Pieces behind a hole are left out.
  private static func joined(_ sections: some Collection<Section>) -> String? {
    var charset: String?
    var bytes: [UInt8] = []
    for (number, section) in sections.sorted(by: { $0.number < $1.number }).enumerated() {
      guard section.number == number else { break }
      guard section.isEncoded else {
        bytes += section.value
        continue
      }
      var value = section.value[...]
      if number == 0 {
        let parts = value.split(
          separator: UInt8(ascii: "'"), maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3 {
          charset = String(decoding: parts[0], as: UTF8.self)
          value = parts[2]
        }
      }
      bytes += percentDecoded(value)
    }
    guard sections.contains(where: { $0.number == 0 }) else { return nil }
    return Charset.decode(bytes, charset)
  }

  static func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    var index = bytes.startIndex
    while index < bytes.endIndex {
      if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.endIndex,
        let high = ASCII.hexValue(bytes[index + 1]), let low = ASCII.hexValue(bytes[index + 2])
      {
        output.append(high << 4 | low)
        index += 3
      } else {
        output.append(bytes[index])
        index += 1
      }
    }
    return output
  }

  private struct Reader {
    /// Room for a name or value of common length.
    private static let commonBytes = 48

    let bytes: [UInt8]
    var index = 0

    private static func room() -> [UInt8] {
      var output: [UInt8] = []
      output.reserveCapacity(commonBytes)
      return output
    }

    /// What stands before the next semicolon or the end, trimmed; comments are passed over.
    mutating func untilSemicolon() -> [UInt8] {
      var output = Self.room()
      while index < bytes.count, bytes[index] != UInt8(ascii: ";") {
        if bytes[index] == UInt8(ascii: "(") {
          skipComment()
        } else {
          output.append(bytes[index])
          index += 1
        }
      }
      return Array(ASCII.trimmed(output[...]))
    }

    /// The name in lower case and the value without its quotes. nil at the end.
    mutating func parameter() -> (name: [UInt8], value: [UInt8])? {
      while index < bytes.count {
        var name = Self.room()
        while index < bytes.count, bytes[index] != ASCII.equals, bytes[index] != UInt8(ascii: ";") {
          if bytes[index] == UInt8(ascii: "(") {
            skipComment()
          } else {
            name.append(ASCII.lowercased(bytes[index]))
            index += 1
          }
        }
        guard index < bytes.count, bytes[index] == ASCII.equals else {
          // A word without a value says nothing.
          index += 1
          continue
        }
        index += 1
        while index < bytes.count, ASCII.isSpace(bytes[index]) { index += 1 }
        let isQuoted = index < bytes.count && bytes[index] == ASCII.quote
        let value = isQuoted ? quoted() : untilSemicolon()
        if isQuoted { _ = untilSemicolon() }
        index += 1
        return (Array(ASCII.trimmed(name[...])), value)
      }
      return nil
    }

    private mutating func quoted() -> [UInt8] {
      var output = Self.room()
      index += 1
      while index < bytes.count, bytes[index] != ASCII.quote {
        // Windows puts paths in here: a backslash only escapes what needs it.
        if bytes[index] == ASCII.backslash, index + 1 < bytes.count,
          bytes[index + 1] == ASCII.quote || bytes[index + 1] == ASCII.backslash
        {
          index += 1
        }
        output.append(bytes[index])
        index += 1
      }
      index += 1
      return output
    }

    private mutating func skipComment() {
      var depth = 0
      while index < bytes.count {
        switch bytes[index] {
        case ASCII.backslash: index += 1
        case UInt8(ascii: "("): depth += 1
        case UInt8(ascii: ")"): depth -= 1
        default: break
        }
        index += 1
        if depth == 0 { return }
      }
    }
  }
}
