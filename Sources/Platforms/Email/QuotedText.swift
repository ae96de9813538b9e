/// Parts the words that somebody wrote from what their mail program put below them: the mail that they
/// answer, and a signature.
///
/// Mail programs mark a quotation in many ways and none is a standard, so this errs on the side of keeping:
/// where the answer stands between pieces of the quotation, or nothing else is left, all of it is new.
/// Forwarded mail is what was sent, not a quotation. Takes time in proportion to the text.
enum QuotedText {
  private static let signatureLinesMax = 20
  /// Whoever wrote more than this quoted nothing.
  private static let searchedLinesMax = 5_000

  /// The new words, without white space around them.
  static func new(_ text: String) -> String {
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    let kept = withoutSignature(withoutQuotation(lines))
    let words = joined(kept)
    return words.isEmpty ? trimmed(text) : words
  }

  private static func joined(_ lines: some Sequence<Substring>) -> String {
    trimmed(lines.joined(separator: "\n"))
  }

  /// Without white space around it.
  static func trimmed(_ text: String) -> String {
    var rest = text[...]
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest.drop(while: \.isWhitespace))
  }

  // MARK: Quotation

  private static func withoutQuotation(_ lines: [Substring]) -> [Substring] {
    for index in lines.indices.prefix(searchedLinesMax) {
      let line = lines[index]
      if QuotationMark.isForward(line) { return lines }
      if isQuoted(line) { return aroundQuoted(lines, from: index, quoteFrom: index) }
      if QuotationMark.isSeparator(line) || QuotationMark.isHeader(lines[index...].prefix(8)) {
        return Array(lines[..<index])
      }
      if let count = QuotationMark.attributionLines(lines[index...].prefix(QuotationMark.linesMax)) {
        let next = lines[(index + count)...].firstIndex { !isBlank($0) } ?? lines.endIndex
        if next < lines.endIndex, isQuoted(lines[next]) {
          return aroundQuoted(lines, from: index, quoteFrom: next)
        }
        return Array(lines[..<index])
      }
    }
    return lines
  }

  /// The words above or below one block of `>` lines; all lines where words and quotation alternate.
  private static func aroundQuoted(
    _ lines: [Substring], from start: Int, quoteFrom quote: Int
  ) -> [Substring] {
    let above = lines[..<start]
    let end = lines[quote...].firstIndex { !isQuoted($0) && !isBlank($0) } ?? lines.endIndex
    let below = lines[end...]
    if below.isEmpty || isSignature(below) { return Array(above) }
    let isOneBlock = !below.contains(where: isQuoted)
    return isOneBlock && above.allSatisfy(isBlank) ? Array(below) : lines
  }

  private static func isQuoted(_ line: Substring) -> Bool { line.utf8.first == UInt8(ascii: ">") }

  private static func isBlank(_ line: Substring) -> Bool { line.unicodeScalars.allSatisfy(\.isSpace) }

  // MARK: Signature

  /// Whether lines are a signature and nothing else.
  private static func isSignature(_ lines: ArraySlice<Substring>) -> Bool {
    guard let first = lines.first(where: { !isBlank($0) }) else { return true }
    return isMark(first) || QuotationMark.isDevice(first)
  }

  private static func isMark(_ line: Substring) -> Bool { line == "-- " || line == "--" }

  private static func withoutSignature(_ lines: [Substring]) -> [Substring] {
    var kept = lines[...]
    if let mark = kept.lastIndex(where: isMark), kept.count - mark <= signatureLinesMax {
      kept = kept[..<mark]
    }
    while let last = kept.last, isBlank(last) { kept.removeLast() }
    if let last = kept.last, QuotationMark.isDevice(last) { kept.removeLast() }
    return Array(kept)
  }
}
