import JSON
import Messaging

/// What a message says: text and files. Cards, and attachments that are no file, stay as they are.
struct TeamsContent {
  private static let attachmentsMax = 100
  private static let download = "application/vnd.microsoft.teams.file.download.info"

  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  /// Attachments that are no file, for `details`.
  private(set) var others: [JSONValue] = []
  /// The id of the message that is quoted.
  private(set) var quoted: String?

  init(_ reader: JSONReader) throws(NormaliseError) {
    text = try Self.text(reader)
    for entry in try reader.objects("attachments", max: Self.attachmentsMax) ?? [] {
      if let file = try Self.file(entry) {
        attachments.append(file)
      } else {
        others.append(.object(entry.members))
        quoted = try quoted.or(Self.quoted(entry))
      }
    }
    if text == nil, attachments.isEmpty { readForm() }
    if let first = attachments.first, let kind = MessageKind(rawValue: first.kind.rawValue) {
      self.kind = kind
    }
  }

  /// Moving pictures and stickers are in the HTML form alone.
  private mutating func readForm() {
    guard let html = others.first(where: { $0["contentType"] == "text/html" })?["content"]?.string else {
      return
    }
    attachments = HTMLText.images(html, max: Self.attachmentsMax)
    let words = HTMLText.plain(html)
    text = words.isEmpty ? nil : MessageText.sanitised(words)
  }

  // MARK: Text

  /// Without the mention of the account itself; others are written as `@name`.
  private static func text(_ reader: JSONReader) throws(NormaliseError) -> String? {
    guard let raw = try reader.text("text") else { return nil }
    var text = raw
    if let account = try reader.object("recipient")?.id("id") {
      for entity in try reader.objects("entities") ?? [] {
        guard try entity.text("type") == "mention", let mark = try entity.text("text"), !mark.isEmpty,
          try entity.object("mentioned")?.id("id") == account
        else { continue }
        text = text.replacing(each: mark, by: "")
      }
    } else if raw.hasPrefix("<at>"), let end = raw.utf8.firstPlace(of: "</at>".utf8) {
      // A webhook is called by its name, and has no id.
      text = String(raw[end.upperBound...])
    }
    text = text.replacing(each: "<at>", by: "@").replacing(each: "</at>", by: "")
    // Teams leaves it behind mentions in what it calls plain text.
    text = text.replacing(each: "&nbsp;", by: " ")
    let trimmed = trimmed(text)
    return trimmed.isEmpty ? nil : MessageText.sanitised(trimmed)
  }

  private static func trimmed(_ text: String) -> String {
    var rest = text[...]
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
  }

  /// What a card submitted, as text: the text itself, or the values as JSON.
  static func submitted(_ value: JSONValue?) throws(NormaliseError) -> String? {
    switch value {
    case nil, .null?: return nil
    case .string(let text)?: return text.isEmpty ? nil : MessageText.sanitised(text)
    case let value?: return MessageText.sanitised(String(decoding: value.encoded(), as: UTF8.self))
    }
  }

  // MARK: Attachments

  /// nil: no file.
  static func file(_ entry: JSONReader) throws(NormaliseError) -> Attachment? {
    let type = try entry.text("contentType") ?? ""
    let name = MessageText.name(try entry.text("name"))
    if type == download {
      let content = try entry.object("content")
      // Pictures of a personal chat come so as well.
      let type = try content?.text("fileType") ?? ""
      return Attachment(
        kind: MediaKind.attachment(named: type.isEmpty ? name ?? "" : ".\(type)"),
        externalID: try content?.id("uniqueId"),
        url: WebAddress.checked(
          try (content?.text("downloadUrl")).or(entry.text("contentUrl"))), name: name)
    }
    guard let url = WebAddress.checked(try entry.text("contentUrl")) else { return nil }
    let kinds: [(String, Attachment.Kind)] = [("image/", .image), ("video/", .video), ("audio/", .audio)]
    if let (_, kind) = kinds.first(where: { type.hasPrefix($0.0) }) {
      let isPattern = type.hasSuffix("/*")
      return Attachment(
        kind: kind, externalID: try entry.id("id"), url: url, name: name,
        mimeType: isPattern ? nil : MessageText.name(type))
    }
    let isFile = type == "reference" || (!type.hasPrefix("application/vnd.microsoft.") && type.contains("/"))
    guard isFile else { return nil }
    return Attachment(
      kind: .file, externalID: try entry.id("id"), url: url, name: name,
      mimeType: type == "reference" ? nil : MessageText.name(type))
  }

  /// A quote names its message by the attachment's id.
  static func quoted(_ entry: JSONReader) throws(NormaliseError) -> String? {
    guard try entry.text("contentType") == "messageReference" else { return nil }
    if let id = try entry.id("id") { return id }
    guard case .string(let text)? = entry["content"], let content = try? JSONValue(parsing: text.utf8) else {
      return nil
    }
    return content["messageId"]?.identifier.flatMap {
      $0.isEmpty || $0.utf8.count > MessageText.nameBytesMax ? nil : $0
    }
  }
}
