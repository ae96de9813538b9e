import JSON

/// The words of a message that has no text of its own: of its blocks, else of its attachments. Apps write so,
/// and what is shared without a comment comes so.
enum SlackLayout {
  private static let depthMax = 8
  private static let partsMax = 200
  /// Elements whose parts stand in one line.
  private static let running: Set<String> = [
    "rich_text_section", "rich_text_quote", "rich_text_preformatted",
  ]

  /// nil: there are none.
  static func words(_ message: JSONReader) -> String? {
    let blocks = lines(message["blocks"])
    return blocks.isEmpty
      ? words(ofAttachments: message["attachments"]) : blocks.joined(separator: "\n")
  }

  /// Other platforms have attachments of the same form. nil: they say nothing.
  static func words(ofAttachments list: JSONValue?) -> String? {
    let found = (list?.array ?? []).prefix(partsMax).flatMap(said)
    return found.isEmpty ? nil : found.joined(separator: "\n")
  }

  /// A line for each block that says something.
  private static func lines(_ blocks: JSONValue?) -> [String] {
    (blocks?.array ?? []).prefix(partsMax).map { words(of: $0, depth: 0) }.filter { !$0.isEmpty }
  }

  /// `fallback` is for who can show nothing else.
  private static func said(_ attachment: JSONValue) -> [String] {
    let blocks = lines(attachment["blocks"])
    if !blocks.isEmpty { return blocks }
    let texts = ["pretext", "title", "text"].compactMap { attachment[$0]?.string }
    let fields = (attachment["fields"]?.array ?? []).prefix(partsMax).map { field in
      [field["title"], field["value"]].compactMap { $0?.string }.filter { !$0.isEmpty }.joined(
        separator: ": ")
    }
    let words = (texts + fields).filter { !$0.isEmpty }
    return words.isEmpty ? [attachment["fallback"]?.string ?? ""].filter { !$0.isEmpty } : words
  }

  /// `text` is a string, or an object that has one.
  private static func words(of element: JSONValue, depth: Int) -> String {
    guard depth < depthMax else { return "" }
    let parts = ["fields", "elements"].flatMap { name in
      (element[name]?.array ?? []).prefix(partsMax).map { words(of: $0, depth: depth + 1) }
    }
    let type = element["type"]?.string ?? ""
    return ([own(element, type)] + parts).filter { !$0.isEmpty }
      .joined(separator: running.contains(type) ? "" : "\n")
  }

  private static func own(_ element: JSONValue, _ type: String) -> String {
    switch type {
    case "user": "<@\(element["user_id"]?.string ?? "")>"
    case "emoji": ":\(element["name"]?.string ?? ""):"
    default: element["text"]?.string ?? element["text"]?["text"]?.string ?? element["url"]?.string ?? ""
    }
  }
}
