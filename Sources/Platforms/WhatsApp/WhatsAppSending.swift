import Bytes
import JSON
import Messaging

/// Answers over the Cloud API (https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages).
/// A file is uploaded first and then sent by its id.
extension WhatsAppPlatform: SendingPlatform {
  private static let captionUnitsMax = 1_024
  private static let phoneIDField = "phoneNumberId"

  /// What may be sent as what, and how large (Cloud API, supported media types).
  private static let media: [Attachment.Kind: (types: Set<String>, bytesMax: Int64)] = [
    .image: (["image/jpeg", "image/png"], 5 << 20),
    .video: (["video/mp4", "video/3gpp"], 16 << 20),
    .audio: (["audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg"], 16 << 20),
    .sticker: (["image/webp"], 500 << 10), .file: ([], 100 << 20),
  ]

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(MetaAPI.tokenField) != nil else { return .lacking(MetaAPI.tokenField) }
    guard phone(job) != nil else { return .lacking(Self.phoneIDField) }
    switch action {
    case .message(let message): return refusal(of: message)
    case .typing(true) where job.lastInboundID == nil:
      return .content("typing is shown as an answer: the other side has to write first")
    default: return nil
    }
  }

  private func refusal(of message: OutboundMessage) -> SendRefusal? {
    if message.extras?["template"]?.object != nil || message.extras?["interactive"]?.object != nil {
      return message.files.isEmpty ? nil : .content("a template or an interactive message has no files")
    }
    switch message.kind {
    case .location where message.extras?["location"]?.object == nil:
      return .content("a location needs platform.location {latitude, longitude, name, address}")
    case .contact where message.extras?["contacts"]?.array?.isEmpty ?? true:
      return .content("a contact needs platform.contacts [{name, phones}]")
    default: break
    }
    guard let file = message.files.first else { return nil }
    guard message.files.count == 1 else { return .content("a WhatsApp message has one file") }
    let text = message.text ?? ""
    if !text.isEmpty, file.kind == .audio || file.kind == .sticker {
      return .content("\(file.kind.rawValue) has no caption: send the text as a message of its own")
    }
    if text.utf16.count > Self.captionUnitsMax {
      return SendRefusal(.textTooLong, "a caption has \(Self.captionUnitsMax) characters at most")
    }
    guard let media = Self.media[file.kind] else { return nil }
    let type = Self.type(file)
    if !media.types.isEmpty && !media.types.contains(type) {
      let types = media.types.sorted().joined(separator: ", ")
      return .content("WhatsApp takes \(types) as \(file.kind.rawValue), not \(type): send it as a file")
    }
    guard file.sizeBytes > media.bytesMax else { return nil }
    return .content("WhatsApp takes \(media.bytesMax) bytes of \(file.kind.rawValue) at most")
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    switch job.action {
    case .edit: return .impossible(displayName, "edit messages")
    case .delete: return .impossible(displayName, "delete messages")
    case .typing(false): return .done(SendReceipt())
    case .message(let message) where !message.files.isEmpty:
      return withFile(message, job, answers)
    case .message(let message): return end(job, answers.last, request: content(message, nil))
    case .react(let id, let emoji, let isSet):
      let reaction: JSONValue = ["message_id": .string(id), "emoji": .string(isSet ? emoji : "")]
      return end(job, answers.last, request: ["type": "reaction", "reaction": reaction])
    case .read(let id): return end(job, answers.last, request: nil, read: id)
    case .typing(true): return end(job, answers.last, request: nil, read: job.lastInboundID ?? "")
    }
  }

  // MARK: Steps

  private func withFile(
    _ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard let upload = answers.first, let file = message.files.first else { return upload(message, job) }
    switch MetaAPI.result(upload, isRepeatable: true, now: job.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      guard let id = result["id"]?.identifier else {
        return .failed(APIFailure("the upload was answered without an id", .later(seconds: nil)))
      }
      var media: [String: JSONValue] = ["id": .string(id)]
      media["caption"] = message.text.flatMap { $0.isEmpty ? nil : .string($0) }
      if file.kind == .file { media["filename"] = .string(file.name) }
      return end(job, answers.dropFirst().last, request: content(message, .object(media)))
    }
  }

  private func upload(_ message: OutboundMessage, _ job: SendJob) -> SendStep {
    guard let file = message.files.first else { return .impossible(displayName, "send nothing") }
    let type = Self.type(file)
    let parts = [
      APIPart("messaging_product", "whatsapp"), APIPart("type", type),
      APIPart("file", file: 0, filename: file.name, type: type),
    ]
    return .call(
      MetaAPI.call(
        "POST", path(job, "media"), job.secrets, body: .multipart(parts), timeoutSeconds: 120,
        isRepeatable: true))
  }

  /// The last call of every job, and what its answer says.
  private func end(
    _ job: SendJob, _ answer: APIAnswer?, request content: [String: JSONValue]?, read id: String? = nil
  ) -> SendStep {
    let isRepeatable = isRepeatable(job.action)
    guard let answer else {
      let body = content.map { envelope($0, job) } ?? seen(id ?? "", job)
      return .call(
        MetaAPI.call(
          "POST", path(job, "messages"), job.secrets, body: .json(body), isRepeatable: isRepeatable))
    }
    switch MetaAPI.result(answer, isRepeatable: isRepeatable, now: job.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      guard case .message = job.action else { return .done(SendReceipt()) }
      guard let id = result["messages"]?[0]?["id"]?.identifier else { return .unnamed }
      return .done(SendReceipt(messageID: id))
    }
  }

  // MARK: Documents

  private func content(_ message: OutboundMessage, _ media: JSONValue?) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    if let template = message.extras?["template"] {
      members = ["type": "template", "template": template]
    } else if let interactive = message.extras?["interactive"] {
      members = ["type": "interactive", "interactive": interactive]
    } else if let media, let file = message.files.first {
      let type = file.kind == .file ? "document" : file.kind.rawValue
      members = ["type": .string(type), type: media]
    } else if message.kind == .location, let place = message.extras?["location"] {
      members = ["type": "location", "location": place]
    } else if message.kind == .contact, let contacts = message.extras?["contacts"] {
      members = ["type": "contacts", "contacts": contacts]
    } else {
      var text: [String: JSONValue] = ["body": .string(message.text ?? "")]
      text["preview_url"] = message.extras?["preview_url"]
      members = ["type": "text", "text": .object(text)]
    }
    members["context"] = message.replyTo.map { ["message_id": .string($0)] }
    return members
  }

  private func envelope(_ content: [String: JSONValue], _ job: SendJob) -> JSONValue {
    var members = content
    members["messaging_product"] = "whatsapp"
    members["recipient_type"] = job.conversation.kind == .group ? "group" : "individual"
    let id = job.conversation.externalID
    let isUser = job.conversation.kind != .group && Self.isUserID(id)
    members[isUser ? "recipient" : "to"] = .string(id)
    if case .message = job.action { members["biz_opaque_callback_data"] = .string(job.key) }
    return .object(members)
  }

  private func seen(_ id: String, _ job: SendJob) -> JSONValue {
    var members: [String: JSONValue] = [
      "messaging_product": "whatsapp", "status": "read", "message_id": .string(id),
    ]
    if case .typing = job.action { members["typing_indicator"] = ["type": "text"] }
    return .object(members)
  }

  // MARK: Names

  private func phone(_ job: SendJob) -> String? { job.secrets.first(Self.phoneIDField) ?? job.account }

  private func path(_ job: SendJob, _ name: String) -> String {
    "\(APIRequest.element(phone(job) ?? "me"))/\(name)"
  }

  /// A business-scoped user id leads with a country: `US.1349`. Numbers have digits only.
  private static func isUserID(_ id: String) -> Bool {
    let parts = id.split(separator: ".", maxSplits: 1)
    return parts.count == 2 && parts[0].utf8.count == 2 && parts[0].utf8.allSatisfy { (65...90).contains($0) }
  }

  /// The media type without parameters: Meta compares it whole.
  private static func type(_ file: OutboundFile) -> String {
    let type = file.mimeType.lowercased().split(separator: ";").first.map(String.init) ?? ""
    return type.split(separator: " ").first.map(String.init) ?? "application/octet-stream"
  }
}
