import Bytes
package import Messaging
import Platforms

/// Files that users bring to send them.
package struct Uploads: Sendable {
  package let store: HubStore
  package let files: any FileStore
  package let ids: IDSource

  /// - Throws: `Problem` for an upload that is not the user's.
  func files(_ drafts: [MessageDraft.File], by user: UserKey) async throws -> [OutboundFile] {
    var found: [OutboundFile] = []
    for draft in drafts {
      switch draft {
      case .upload(let id):
        guard let file = try await store.upload(id, of: user) else {
          throw Problem.invalid("there is no upload \(id)", field: "attachments")
        }
        found.append(file)
      case .url(let url, let name, let type):
        found.append(Self.file(url, name, type))
      }
    }
    return found
  }

  private static func file(_ url: String, _ name: String?, _ type: String?) -> OutboundFile {
    let path = url.split(separator: "?").first.map(String.init) ?? url
    let last = path.split(separator: "/").last.map(String.init) ?? "file"
    let mime = type ?? MediaType.guess(name ?? last)
    return OutboundFile(
      kind: MediaType.kind(mime), name: MessageText.name(name ?? last) ?? "file", mimeType: mime,
      sizeBytes: 0,
      storageKey: "", publicURL: url)
  }

  /// Keeps a file until it is sent. - Returns: its id.
  func keep(_ bytes: [UInt8], name: String, type: String, by user: UserKey) async throws -> UUIDv7 {
    let id = ids.next()
    let key = "uploads/\(id)"
    try await files.write(key, bytes)
    let file = OutboundFile(
      kind: MediaType.kind(type), name: name, mimeType: type, sizeBytes: Int64(bytes.count), storageKey: key)
    try await store.saveUpload(id, file, by: user)
    return id
  }
}

/// Media types (RFC 6838) as far as the hub has to know them.
package enum MediaType {
  private static let byExtension: [String: String] = [
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "mp3": "audio/mpeg",
    "m4a": "audio/mp4", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav",
    "pdf": "application/pdf", "txt": "text/plain", "csv": "text/csv", "zip": "application/zip",
    "json": "application/json", "vcf": "text/vcard",
  ]

  package static func guess(_ name: String) -> String {
    let ending = name.split(separator: ".").last.map { $0.lowercased() } ?? ""
    return byExtension[ending] ?? "application/octet-stream"
  }

  package static func kind(_ type: String) -> Attachment.Kind {
    switch type.split(separator: "/").first {
    case "image": .image
    case "video": .video
    case "audio": .audio
    default: .file
    }
  }
}
