/// Makes text from outside fit to store: deterministic, so that the same delivery gives the same rows.
package enum MessageText {
  /// Bytes of UTF-8 that one text keeps.
  package static let bytesMax = 256 << 10
  /// Bytes of an id, a name or a title.
  package static let nameBytesMax = 1_024

  /// U+0000, which PostgreSQL cannot hold, becomes U+FFFD. Longer text is cut between characters and
  /// ends in an ellipsis.
  package static func sanitised(_ text: String, bytesMax limit: Int = bytesMax) -> String {
    let hasNull = text.utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? text.utf8.contains(0)
    guard hasNull || text.utf8.count > limit else { return text }
    let clean =
      hasNull
      ? String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value == 0 ? "\u{fffd}" : $0 })) : text
    return cut(clean, bytesMax: limit)
  }

  /// For titles and names: as `sanitised`, and nil when nothing is left.
  package static func name(_ text: String?) -> String? {
    guard let text, !text.isEmpty else { return nil }
    return sanitised(text, bytesMax: nameBytesMax)
  }

  private static func cut(_ text: String, bytesMax limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    let ellipsis = "…"
    var end = text.utf8.index(text.utf8.startIndex, offsetBy: max(0, limit - ellipsis.utf8.count))
    while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil {
      end = text.utf8.index(before: end)
    }
    return String(text.unicodeScalars[..<end]) + ellipsis
  }
}
