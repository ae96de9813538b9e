import JSON
import Messaging

/// What a `chatMessage` says: text, pictures in the text, and files. Cards, and attachments that are no file,
/// stay as they are.
struct GraphContent {
  private static let attachmentsMax = 100

  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  /// As it came, where it came as HTML.
  private(set) var html: String?
  private(set) var attachments: [Attachment] = []
  private(set) var others: [JSONValue] = []
  /// The id of the message that is quoted.
  private(set) var quoted: String?

  init(_ reader: JSONReader) throws(NormaliseError) {
    for entry in try reader.objects("attachments", max: Self.attachmentsMax) ?? [] {
      if let file = try TeamsContent.file(entry) {
        attachments.append(file)
      } else {
        others.append(.object(entry.members))
        quoted = try quoted.or(TeamsContent.quoted(entry))
      }
    }
    let body = try reader.object("body")
    let raw = try body?.text("content") ?? ""
    if try body?.text("contentType") == "html" {
      let read = Self.read(raw)
      text = HTMLText.plain(read.html)
      attachments += read.images.prefix(Self.attachmentsMax)
      html = MessageText.sanitised(raw)
    } else {
      text = raw
    }
    text = text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }
    kind = MediaKind.message(attachments)
  }

  /// Mentions become `@name`, emoji their sign; pictures are taken out.
  private static func read(_ html: String) -> (html: String, images: [Attachment]) {
    var output = ""
    var images: [Attachment] = []
    var rest = html[...]
    while let start = rest.firstIndex(of: "<") {
      output += rest[..<start]
      rest = rest[start...]
      guard let end = rest.firstIndex(of: ">") else { break }
      let tag = rest[...end]
      rest = rest[rest.index(after: end)...]
      if tag.hasPrefix("<at ") {
        output += "@"
      } else if tag.hasPrefix("<emoji "), let sign = HTMLText.attribute("alt", of: tag) {
        output += sign
      } else if tag.hasPrefix("<img ") {
        let isEmoji = HTMLText.attribute("itemtype", of: tag)?.hasSuffix("/Emoji") ?? false
        if isEmoji, let sign = HTMLText.attribute("alt", of: tag) {
          output += sign
        } else if let image = HTMLText.image(tag) {
          images.append(image)
        }
      } else {
        output += tag
      }
    }
    return (output + rest, images)
  }
}
