import Bytes
import JSON
import Messaging

/// Answers of an official account
/// (https://developers.zalo.me/docs/official-account/tin-nhan/tin-tu-van/gui-tin-tu-van-dang-van-ban). Files
/// are stored first. What was sent comes back as an event.
extension ZaloPlatform: SendingPlatform {
  private static let imageBytesMax: Int64 = 1 << 20
  private static let fileBytesMax: Int64 = 5 << 20

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(ZaloAPI.accessField) != nil || ZaloAPI.hasGrant(job.secrets) else {
      return .lacking("\(ZaloAPI.refreshField) or no \(ZaloAPI.appSecretField)")
    }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    if message.extras?["attachment"]?.object != nil { return nil }
    if message.kind == .sticker {
      return message.extras?["sticker"]?.identifier == nil || !message.files.isEmpty
        ? .content("a sticker needs platform.sticker, its id, and no file") : nil
    }
    guard let file = message.files.first else {
      return (message.text ?? "").isEmpty ? .content("the message is empty") : nil
    }
    guard message.files.count == 1 else { return .content("a Zalo message has one file") }
    return refusal(of: file, hasText: !(message.text ?? "").isEmpty)
  }

  private func refusal(of file: OutboundFile, hasText: Bool) -> SendRefusal? {
    switch Self.form(file) {
    case .image: return Self.tooLarge(file, Self.imageBytesMax)
    case .gif: return Self.tooLarge(file, Self.fileBytesMax)
    case .file:
      if hasText { return .content("only a picture has a text with it") }
      return Self.tooLarge(file, Self.fileBytesMax)
    case nil: return .content("Zalo takes JPEG, PNG, GIF, PDF and Word files")
    }
  }

  private static func tooLarge(_ file: OutboundFile, _ limit: Int64) -> SendRefusal? {
    file.sizeBytes > limit ? .content("Zalo takes \(limit >> 20) MB of this kind at most") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    var rest = answers[...]
    var stored: JSONValue?
    if let file = message.files.first, let form = Self.form(file), message.extras?["attachment"] == nil {
      guard let answer = rest.popFirst() else { return .call(upload(file, form, job)) }
      switch ZaloAPI.result(answer, job.secrets, isRepeatable: true, now: job.now) {
      case .failure(let failure): return .failed(failure)
      case .success(let data):
        stored = data[form == .file ? "token" : "attachment_id"]
        if stored == nil { return .failed(.unreadable(isRepeatable: true)) }
      }
    }
    guard let answer = rest.last else { return .call(request(message, stored, job)) }
    switch ZaloAPI.result(answer, job.secrets, isRepeatable: false, now: job.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let data):
      guard let id = data["message_id"]?.identifier else { return .unnamed }
      return .done(SendReceipt(messageID: id))
    }
  }

  // MARK: Files

  private enum Form: String {
    case image, gif, file
  }

  private static func form(_ file: OutboundFile) -> Form? {
    switch file.mimeType {
    case "image/jpeg", "image/png": .image
    case "image/gif": .gif
    case "application/pdf", "application/msword",
      "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
      .file
    default: nil
    }
  }

  private func upload(_ file: OutboundFile, _ form: Form, _ job: SendJob) -> APIRequest {
    ZaloAPI.call(
      "v2.0/oa/upload/\(form.rawValue)",
      .multipart([APIPart("file", file: 0, filename: file.name, type: file.mimeType)]), job,
      isRepeatable: true)
  }

  // MARK: Messages

  private func request(_ message: OutboundMessage, _ stored: JSONValue?, _ job: SendJob) -> APIRequest {
    let isGroup = job.conversation.kind == .group
    var content: [String: JSONValue] = [:]
    content["text"] = message.text.flatMap { $0.isEmpty ? nil : .string($0) }
    content["quote_message_id"] = message.replyTo.map { .string($0) }
    content["attachment"] = message.extras?["attachment"] ?? Self.attachment(message, stored)
    let recipient = [isGroup ? "group_id" : "user_id": JSONValue.string(job.conversation.externalID)]
    return ZaloAPI.call(
      isGroup ? "v3.0/oa/group/message" : "v3.0/oa/message/cs",
      .json(["recipient": .object(recipient), "message": .object(content)]), job, isRepeatable: false)
  }

  private static func attachment(_ message: OutboundMessage, _ stored: JSONValue?) -> JSONValue? {
    if message.kind == .sticker, let sticker = message.extras?["sticker"] {
      return media(["media_type": "sticker", "attachment_id": sticker])
    }
    guard let stored, let form = message.files.first.flatMap({ form($0) }) else { return nil }
    if form == .file { return ["type": "file", "payload": ["token": stored]] }
    return media(["media_type": .string(form.rawValue), "attachment_id": stored])
  }

  private static func media(_ element: JSONValue) -> JSONValue {
    ["type": "template", "payload": ["template_type": "media", "elements": [element]]]
  }
}
