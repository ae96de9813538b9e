import Messaging

/// The uploads in a message's Markdown, `[name](/user_uploads/...)`: they are its files. One that stands in a
/// line of its own is no part of the text; within a sentence its name stays. What stands between fences is
/// quoted or code and is left as it is.
struct ZulipUploads {
  private static let mark = "](/user_uploads/"
  private static let folder = "/user_uploads/"
  private static let filesMax = 100

  private(set) var text: String?
  private(set) var files: [Attachment] = []

  /// What the message is.
  var kind: MessageKind { MediaKind.message(files) }

  init(_ markdown: String?) {
    guard let markdown, markdown.holds(Self.mark) else {
      text = markdown.flatMap { $0.isEmpty ? nil : $0 }
      return
    }
    var lines: [String] = []
    var fence: Substring?
    for line in markdown.split(separator: "\n", omittingEmptySubsequences: false) {
      if let open = fence {
        if line == open { fence = nil }
        lines.append(String(line))
        continue
      }
      fence = Self.fence(line)
      let known = files.count
      let (words, names) = read(line)
      let isAlone = files.count > known && words.allSatisfy(\.isWhitespace)
      if !isAlone { lines.append(names) }
    }
    while lines.last?.allSatisfy(\.isWhitespace) == true { lines.removeLast() }
    let joined = lines.joined(separator: "\n")
    text = joined.isEmpty ? nil : joined
  }

  /// What opens a block, at least three marks, which a line of the same ends.
  private static func fence(_ line: Substring) -> Substring? {
    guard let mark = line.first, mark == "`" || mark == "~" else { return nil }
    let marks = line.prefix { $0 == mark }
    return marks.count >= 3 ? marks : nil
  }

  /// - Returns: the line without its uploads, and with their names instead.
  private mutating func read(_ line: Substring) -> (words: String, names: String) {
    var words = ""
    var names = ""
    var rest = line
    while files.count < Self.filesMax, let place = rest.utf8.firstPlace(of: Self.mark.utf8),
      let close = rest[place.upperBound...].firstIndex(of: ")"),
      let open = rest[..<place.lowerBound].lastIndex(of: "[")
    {
      let name = String(rest[rest.index(after: open)..<place.lowerBound])
      let path = Self.folder + rest[place.upperBound..<close]
      // Pictures may have a mark of their own: ![name](...).
      var before = rest[..<open]
      if before.last == "!" { before.removeLast() }
      words += before
      names += before + name
      let file = path.split(separator: "/").last.map(String.init) ?? name
      files.append(
        Attachment(
          kind: MediaKind.attachment(named: file), externalID: MessageText.sanitised(path, bytesMax: 1_024),
          name: MessageText.name(name.isEmpty ? file : name)))
      rest = rest[rest.index(after: close)...]
    }
    return (words + rest, names + rest)
  }
}
