/// Takes out of an HTML mail what its program marked as the mail that is answered, or as a signature: the
/// containers of Gmail, Outlook, Apple Mail, Thunderbird, Yahoo, Proton and others. Takes time in proportion
/// to the text.
enum QuotedHTML {
  private static let attributesMax = 1_024
  /// How far into a container the words are looked for that make it a forwarded mail.
  private static let forwardBytes = 600

  private enum Extent { case element, rest }

  /// The HTML without its quotations.
  static func new(_ html: String) -> String {
    let bytes = Array(html.utf8)
    var output: [UInt8] = []
    var index = 0
    // The container that is being left out: its tag, and how many of these are open inside.
    var container: (name: String, depth: Int)?
    while index < bytes.count {
      guard let start = bytes[index...].firstIndex(of: UInt8(ascii: "<")) else {
        if container == nil { output += bytes[index...] }
        break
      }
      if container == nil { output += bytes[index..<start] }
      let tag = Tag(bytes, at: start)
      index = tag.end
      if let open = container {
        guard tag.name == open.name else { continue }
        let depth = open.depth + (tag.isClosing ? -1 : tag.isEmpty ? 0 : 1)
        container = depth == 0 ? nil : (open.name, depth)
      } else if let extent = extent(tag), !isForward(bytes[tag.end...]) {
        if extent == .rest { break }
        if !tag.isEmpty { container = (tag.name, 1) }
      } else {
        output += bytes[start..<tag.end]
      }
    }
    return String(decoding: output, as: UTF8.self)
  }

  private struct Tag {
    /// In lower case, without the slash.
    var name = ""
    var isClosing = false
    /// It ends in `/>`, or has no content by its name.
    var isEmpty = false
    /// ASCII in lower case, cut.
    var attributes: [UInt8] = []
    /// The place behind it.
    var end: Int

    init(_ bytes: [UInt8], at start: Int) {
      if bytes[start...].starts(with: "<!--".utf8) {
        end = Self.commentEnd(bytes, start + 4)
        return
      }
      // Quotes do not count: a `>` inside a value is rare, and a quote that is never closed would hide all.
      let close = bytes[start...].firstIndex(of: UInt8(ascii: ">")) ?? bytes.count
      end = min(bytes.count, close + 1)
      var inside = bytes[(start + 1)..<max(start + 1, close)]
      isClosing = inside.first == UInt8(ascii: "/")
      if isClosing { inside = inside.dropFirst() }
      let name = inside.prefix(16).prefix {
        ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a || (48...57).contains($0)
      }
      self.name = String(decoding: name, as: UTF8.self).lowercased()
      isEmpty = inside.last == UInt8(ascii: "/") || ["br", "hr", "img", "meta"].contains(self.name)
      attributes = inside.dropFirst(name.count).prefix(QuotedHTML.attributesMax).map(QuotedHTML.lowercased)
    }

    private static func commentEnd(_ bytes: [UInt8], _ start: Int) -> Int {
      var index = start
      while index + 2 < bytes.count {
        if bytes[index] == UInt8(ascii: "-"), bytes[index + 1] == UInt8(ascii: "-"),
          bytes[index + 2] == UInt8(ascii: ">")
        {
          return index + 3
        }
        index += 1
      }
      return bytes.count
    }
  }

  /// Elements that hold a quotation or a signature.
  private static let classes = [
    "gmail_quote", "gmail_extra", "gmail_signature", "moz-cite-prefix", "moz-signature", "yahoo_quoted",
    "protonmail_quote", "tutanota_quote", "zmail_extra", "outlookmessageheader",
    "ms-outlook-mobile-signature", "protonmail_signature_block",
  ]
  /// Elements behind which there is only the quotation.
  private static let endings = ["divrplyfwdmsg", "appendonsend", "olk_src_body_section", "stopspelling"]

  private static func extent(_ tag: Tag) -> Extent? {
    guard !tag.isClosing, ["div", "blockquote", "span", "section", "hr", "table", "p"].contains(tag.name),
      !tag.attributes.isEmpty
    else { return nil }
    func holds(_ mark: String) -> Bool { tag.attributes.firstPlace(of: mark.utf8) != nil }
    if endings.contains(where: holds) { return .rest }
    if tag.name == "blockquote", holds("type=\"cite\"") || holds("type='cite'") { return .element }
    return classes.contains(where: holds) ? .element : nil
  }

  private static func isForward(_ rest: ArraySlice<UInt8>) -> Bool {
    rest.prefix(forwardBytes).map(lowercased).firstPlace(of: "forwarded message".utf8) != nil
  }

  private static func lowercased(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
  }
}
