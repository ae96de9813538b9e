/// Text in the form that Slack's methods take
/// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
enum SlackText {
  private static let entities = ["&amp;", "&lt;", "&gt;"].map { Array($0.utf8) }
  private static let schemes = ["http:", "https:", "mailto:", "tel:", "slack:"].map { Array($0.utf8) }
  private static let sequenceBytesMax = 4_096

  /// With what Slack would take for marks of its own and is none, such as `x<y`, written out. Marks stay, and
  /// so do characters that are written out already: `<@U1>`, `<https://a.example|here>`, `&amp;`.
  static func escaped(_ text: String) -> String {
    guard text.utf8.contains(where: { "&<>".utf8.contains($0) }) else { return text }
    var output: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.first {
      if let mark = mark(rest) {
        output += mark
        rest = rest.dropFirst(mark.count)
        continue
      }
      switch byte {
      case UInt8(ascii: "&"): output += "&amp;".utf8
      case UInt8(ascii: "<"): output += "&lt;".utf8
      case UInt8(ascii: ">"): output += "&gt;".utf8
      default: output.append(byte)
      }
      rest = rest.dropFirst()
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// With the characters that were written out.
  static func unescaped(_ text: String) -> String {
    text.replacing(each: "&lt;", by: "<").replacing(each: "&gt;", by: ">").replacing(each: "&amp;", by: "&")
  }

  /// The entity, mention or link that a text begins with; nil: it begins with none.
  private static func mark(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    if text.first == UInt8(ascii: "&") {
      return entities.first { text.starts(with: $0) }.map { text.prefix($0.count) }
    }
    guard text.first == UInt8(ascii: "<") else { return nil }
    let end = text.dropFirst().prefix(sequenceBytesMax).firstIndex { "<>\n".utf8.contains($0) }
    guard let end, text[end] == UInt8(ascii: ">") else { return nil }
    let inner = text[(text.startIndex + 1)..<end]
    return isSequence(inner) ? text[...end] : nil
  }

  private static func isSequence(_ inner: ArraySlice<UInt8>) -> Bool {
    let name = inner.dropFirst().prefix { $0 != UInt8(ascii: "|") }
    switch inner.first {
    case UInt8(ascii: "@"), UInt8(ascii: "#"):
      return name.count > 1
        && name.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
    case UInt8(ascii: "!"):
      return name.first.map { (97...122).contains($0) } ?? false
    default: return schemes.contains { inner.count > $0.count && inner.starts(with: $0) }
    }
  }
}
