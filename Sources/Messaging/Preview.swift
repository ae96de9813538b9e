/// The line of text that a list of conversations shows for a message.
package enum Preview {
  package static let charactersMax = 140

  /// The text in one line, or words for what has none. Never empty.
  package static func text(for message: InboundMessage) -> String {
    text(kind: message.kind, text: message.text, attachments: message.attachments)
  }

  package static func text(kind: MessageKind, text: String?, attachments: [Attachment]) -> String {
    if let text, let line = oneLine(text) {
      return kind == .text || kind == .system ? line : prefixed(kind, line)
    }
    if kind == .file, let name = attachments.first?.name.flatMap({ oneLine($0) }) {
      return prefixed(kind, name)
    }
    return placeholder(kind)
  }

  private static func prefixed(_ kind: MessageKind, _ line: String) -> String {
    shortened("\(placeholder(kind)): \(line)")
  }

  private static func placeholder(_ kind: MessageKind) -> String {
    switch kind {
    case .text: "Message"
    case .image: "Photo"
    case .video: "Video"
    case .audio: "Audio"
    case .file: "File"
    case .sticker: "Sticker"
    case .location: "Location"
    case .contact: "Contact"
    case .call: "Call"
    case .poll: "Poll"
    case .system: "Notice"
    case .unsupported: "Unsupported message"
    }
  }

  /// Runs of white space and control characters become one space. nil when nothing is left.
  private static func oneLine(_ text: String) -> String? {
    var line = ""
    var count = 0
    var hasGap = false
    // Looks no further than it can show.
    for character in text.prefix(charactersMax * 8) {
      if character.isWhitespace
        || character.unicodeScalars.allSatisfy({ $0.value < 0x20 || $0.value == 0x7f })
      {
        hasGap = count > 0
        continue
      }
      if hasGap {
        line.append(" ")
        count += 1
        hasGap = false
      }
      line.append(character)
      count += 1
      if count > charactersMax { break }
    }
    return line.isEmpty ? nil : shortened(line)
  }

  private static func shortened(_ line: String) -> String {
    line.count > charactersMax ? line.prefix(charactersMax - 1) + "…" : line
  }
}
