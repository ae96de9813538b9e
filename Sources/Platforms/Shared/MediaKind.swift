import Messaging

/// What a file is, by its media type (RFC 6838) or, where there is none, by its name.
enum MediaKind {
  private static let endings: [String: Attachment.Kind] = [
    "png": .image, "jpg": .image, "jpeg": .image, "gif": .image, "webp": .image, "heic": .image,
    "bmp": .image,
    "avif": .image, "mp4": .video, "webm": .video, "mov": .video, "m4v": .video, "mp3": .audio, "m4a": .audio,
    "ogg": .audio, "oga": .audio, "opus": .audio, "wav": .audio, "aac": .audio,
  ]

  static func attachment(named name: String) -> Attachment.Kind {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.dropFirst().last.flatMap { endings[$0.lowercased()] } ?? .file
  }

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
