import Messaging

/// The words of an HTML fragment, for platforms that send nothing else. Not for display as HTML: what is
/// left is plain text.
enum HTMLText {
  private static let entities = [
    "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{a0}", "hellip": "…",
    "ndash": "–", "mdash": "—", "lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”", "euro": "€",
  ]
  private static let blocks: Set<String> = [
    "p", "div", "li", "tr", "h1", "h2", "h3", "blockquote", "ul", "ol",
  ]
  private static let silent: Set<String> = ["style", "script", "head", "title"]
  private static let entityBytesMax = 12

  /// Breaks and the ends of blocks become lines; runs of white space one space.
  static func plain(_ html: String) -> String {
    var output: [Unicode.Scalar] = []
    var rest = Array(html.unicodeScalars)[...]
    var silence: String?
    while let scalar = rest.popFirst() {
      if scalar == "<" {
        let tag = takeTag(&rest)
        if let name = silence {
          if tag == "/" + name { silence = nil }
          continue
        }
        if silent.contains(tag) { silence = tag }
        let name = tag.hasPrefix("/") ? String(tag.dropFirst()) : tag
        if name == "br" || (tag.hasPrefix("/") && blocks.contains(name)) { newLine(&output) }
      } else if silence == nil {
        if scalar == "&" {
          for scalar in takeEntity(&rest) { append(scalar, to: &output) }
        } else {
          append(scalar, to: &output)
        }
      }
    }
    while let last = output.last, last.isSpace { output.removeLast() }
    return String(String.UnicodeScalarView(output))
  }

  /// The pictures within a fragment, in its order.
  static func images(_ html: String, max limit: Int) -> [Attachment] {
    var images: [Attachment] = []
    var rest = html[...]
    while images.count < limit, let start = rest.firstRange(of: "<img ") {
      rest = rest[start.lowerBound...]
      guard let end = rest.firstIndex(of: ">") else { break }
      if let image = image(rest[...end]) { images.append(image) }
      rest = rest[rest.index(after: end)...]
    }
    return images
  }

  /// nil: the tag names no address on the web.
  static func image(_ tag: Substring) -> Attachment? {
    WebAddress.checked(attribute("src", of: tag).map(plain)).map { url in
      Attachment(kind: .image, url: url, name: MessageText.name(attribute("alt", of: tag).map(plain)))
    }
  }

  static func attribute(_ name: String, of tag: Substring) -> String? {
    guard let start = tag.utf8.firstPlace(of: " \(name)=\"".utf8) else { return nil }
    let rest = tag[start.upperBound...]
    return rest.firstIndex(of: "\"").map { String(rest[..<$0]) }
  }

  private static func newLine(_ output: inout [Unicode.Scalar]) {
    while output.last == " " { output.removeLast() }
    if !output.isEmpty { output.append("\n") }
  }

  private static func append(_ scalar: Unicode.Scalar, to output: inout [Unicode.Scalar]) {
    if scalar == "\u{a0}" || !scalar.isSpace {
      output.append(scalar == "\u{a0}" ? " " : scalar)
    } else if let last = output.last, last != " ", last != "\n" {
      output.append(" ")
    }
  }

  /// The name of a tag in lower case, with its slash; what is behind it is skipped.
  private static func takeTag(_ rest: inout ArraySlice<Unicode.Scalar>) -> String {
    if rest.starts(with: "!--".unicodeScalars) {
      while !rest.isEmpty, !rest.starts(with: "-->".unicodeScalars) { rest.removeFirst() }
      rest = rest.dropFirst(3)
      return "!--"
    }
    var name = ""
    var isName = true
    while let scalar = rest.popFirst(), scalar != ">" {
      if scalar.isSpace || (scalar == "/" && !name.isEmpty) { isName = false }
      if isName && name.utf8.count < 16 { name.unicodeScalars.append(scalar) }
    }
    return name.lowercased()
  }

  /// What an entity stands for; an `&` that begins none stays.
  private static func takeEntity(_ rest: inout ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    guard let end = rest.prefix(entityBytesMax).firstIndex(of: ";") else { return ["&"] }
    let name = String(String.UnicodeScalarView(rest[rest.startIndex..<end]))
    var found: [Unicode.Scalar]?
    if name.hasPrefix("#x") || name.hasPrefix("#X") {
      found = UInt32(name.dropFirst(2), radix: 16).flatMap { Unicode.Scalar($0) }.map { [$0] }
    } else if name.hasPrefix("#") {
      found = UInt32(name.dropFirst()).flatMap { Unicode.Scalar($0) }.map { [$0] }
    } else {
      found = entities[name].map { Array($0.unicodeScalars) }
    }
    guard let found else { return ["&"] }
    rest = rest[(end + 1)...]
    return found.map { $0.value == 0 ? "\u{fffd}" : $0 }
  }
}
