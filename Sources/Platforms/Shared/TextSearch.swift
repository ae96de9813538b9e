extension Collection<UInt8> {
  /// Where some bytes stand first; nil: nowhere. None are nowhere.
  ///
  /// For the UTF-8 of texts: the standard library's own search compares characters as people see them, which
  /// no platform's mark needs, and costs a hundred times as much.
  func firstPlace(of wanted: some Collection<UInt8>) -> Range<Index>? {
    guard let first = wanted.first else { return nil }
    var rest = self[...]
    while let start = rest.firstIndex(of: first) {
      rest = rest[start...]
      if rest.starts(with: wanted) { return start..<index(start, offsetBy: wanted.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}

extension StringProtocol {
  /// See `firstPlace`.
  func holds(_ part: String) -> Bool { utf8.firstPlace(of: part.utf8) != nil }

  /// With another text for each occurrence of a part that is not empty.
  func replacing(each part: String, by other: String) -> String {
    var output = ""
    var rest = self[...]
    while let place = rest.utf8.firstPlace(of: part.utf8) {
      output += rest[..<place.lowerBound]
      output += other
      rest = rest[place.upperBound...]
    }
    return output + rest
  }
}

extension StringProtocol {
  /// With one space for each run of white space, and none around the text.
  var singleSpaced: String {
    var words = String.UnicodeScalarView()
    var hasGap = false
    for scalar in unicodeScalars {
      if scalar.isSpace {
        hasGap = !words.isEmpty
      } else {
        if hasGap { words.append(" ") }
        hasGap = false
        words.append(scalar)
      }
    }
    return String(words)
  }
}

extension Unicode.Scalar {
  /// White space as Unicode has it; what ASCII has is found without Unicode's tables.
  var isSpace: Bool {
    isASCII ? self == " " || ("\t"..."\r").contains(self) : properties.isWhitespace
  }
}
