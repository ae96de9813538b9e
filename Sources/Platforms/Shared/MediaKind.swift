import Messaging

/// What a file is, by its media type (RFC 6838).
enum MediaKind {
  static func attachment(_ type: String?) -> Attachment.Kind {
    let type = type?.lowercased() ?? ""
    if type.hasPrefix("image/") { return .image }
    if type.hasPrefix("video/") { return .video }
    if type.hasPrefix("audio/") { return .audio }
    return .file
  }

  /// What a message is that has these files: as its first one, or text when there are none.
  static func message(_ attachments: [Attachment]) -> MessageKind {
    guard let first = attachments.first else { return .text }
    return MessageKind(rawValue: first.kind.rawValue) ?? .file
  }
}
