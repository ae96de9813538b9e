import Bytes
import JSON
import Messaging

/// What a user wants to send, as a request or a client event says it, checked for its form.
///
/// `{text?, kind?, replyTo?, threadId?, attachments?: [{uploadId} or {url, name?, mimeType?}], platform?}`.
/// Without `kind` it is that of the first attachment, or text.
struct MessageDraft: Sendable {
  static let members: Set<String> = ["text", "kind", "replyTo", "threadId", "attachments", "platform"]
  static let filesMax = 10
  private static let sendable: Set<MessageKind> = [
    .text, .image, .video, .audio, .file, .sticker, .location, .contact, .poll,
  ]

  /// A file by the id of an upload, or by an address.
  enum File: Sendable {
    case upload(UUIDv7)
    case url(String, name: String?, mimeType: String?)
  }

  let text: String?
  let kind: MessageKind?
  let replyTo: UUIDv7?
  let threadID: String?
  let files: [File]
  let extras: JSONValue?

  init(_ fields: RequestFields) throws(Problem) {
    text = try fields.text("text", bytesMax: MessageText.bytesMax)
    replyTo = try fields.id("replyTo")
    threadID = try fields.text("threadId", bytesMax: MessageText.nameBytesMax)
    extras = try Self.extras(fields)
    files = try Self.files(fields)
    if let word = try fields.text("kind") {
      guard let kind = MessageKind(rawValue: word), Self.sendable.contains(kind) else {
        throw .invalid(
          "'kind' is one of \(Self.sendable.map(\.rawValue).sorted().joined(separator: ", "))", field: "kind")
      }
      self.kind = kind
    } else {
      kind = nil
    }
    guard text != nil || !files.isEmpty || extras != nil else {
      throw .invalid("there is nothing to send: 'text', 'attachments' or 'platform' is needed", field: "text")
    }
  }

  private static func extras(_ fields: RequestFields) throws(Problem) -> JSONValue? {
    let value = fields.value("platform")
    guard !value.isNull else { return nil }
    guard value.object != nil else { throw .invalid("'platform' has to be an object", field: "platform") }
    return value
  }

  private static func files(_ fields: RequestFields) throws(Problem) -> [File] {
    let value = fields.value("attachments")
    guard !value.isNull else { return [] }
    guard let entries = value.array, entries.count <= filesMax else {
      throw .invalid("'attachments' has to be a list of at most \(filesMax)", field: "attachments")
    }
    var files: [File] = []
    for entry in entries {
      if let id = entry["uploadId"]?.string.flatMap({ UUIDv7($0) }) {
        files.append(.upload(id))
      } else if let url = entry["url"]?.string, url.hasPrefix("https://") || url.hasPrefix("http://") {
        files.append(.url(url, name: entry["name"]?.string, mimeType: entry["mimeType"]?.string))
      } else {
        throw .invalid("an attachment is {uploadId} or {url}", field: "attachments")
      }
    }
    return files
  }
}
