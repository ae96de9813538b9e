import Bytes
import JSON
import Messaging

/// Customer service messages and templates
/// (https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html). Files
/// are stored first. WeChat names templates only: other messages have no id, and nothing tells of them.
extension WeChatPlatform: SendingPlatform {
  private static let imageBytesMax: Int64 = 10 << 20
  private static let voiceBytesMax: Int64 = 2 << 20
  private static let videoBytesMax: Int64 = 10 << 20

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    for field in [WeChatAPI.appField, WeChatAPI.secretField] where job.secrets.first(field) == nil {
      return .lacking(field)
    }
    switch action {
    case .typing: return nil
    case .message(let message): return refusal(of: message)
    case .edit, .delete, .react, .read: return .oneWay(displayName, action)
    }
  }

  private func refusal(of message: OutboundMessage) -> SendRefusal? {
    if message.extras?["template"]?.object != nil { return nil }
    if let type = message.extras?["msgtype"]?.string {
      return message.extras?[type]?.object == nil ? .content("platform.\(type) is missing") : nil
    }
    let text = message.text ?? ""
    guard let file = message.files.first else {
      return text.isEmpty ? .content("the message is empty") : nil
    }
    guard message.files.count == 1 else { return .content("a WeChat message has one file") }
    let limit: Int64
    switch file.kind {
    case .image: limit = Self.imageBytesMax
    case .audio: limit = Self.voiceBytesMax
    case .video: limit = Self.videoBytesMax
    case .file, .sticker:
      return SendRefusal(.kindNotSupported, "WeChat takes pictures, voices and videos only")
    }
    if !text.isEmpty && file.kind != .video { return .content("only a video has a text with it") }
    return file.sizeBytes > limit
      ? .content("WeChat takes \(limit >> 20) MB of \(file.kind.rawValue) at most") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    switch job.action {
    case .message(let message): return send(message, job, answers)
    case .typing(let isTyping):
      let body: JSONValue = [
        "touser": .string(job.conversation.externalID), "command": isTyping ? "Typing" : "CancelTyping",
      ]
      guard let answer = answers.last else {
        return .call(
          WeChatAPI.call("message/custom/typing", job, body: .json(body), isRepeatable: true))
      }
      return end(answer, job, isRepeatable: true)
    case .edit, .delete, .react, .read:
      return .impossible(displayName, "\(job.action.name) messages")
    }
  }

  private func end(_ answer: APIAnswer, _ job: SendJob, isRepeatable: Bool) -> SendStep {
    switch WeChatAPI.result(answer, isRepeatable: isRepeatable, now: job.now) {
    case .failure(let failure): .failed(failure)
    // Only a template has one.
    case .success(let json): .done(SendReceipt(messageID: json["msgid"]?.identifier))
    }
  }

  // MARK: Messages

  private func send(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    var media: String?
    if let file = message.files.first, message.extras?["template"] == nil {
      guard let answer = rest.popFirst() else { return .call(upload(file, job)) }
      switch WeChatAPI.result(answer, isRepeatable: true, now: job.now) {
      case .failure(let failure): return .failed(failure)
      case .success(let json):
        guard let id = json["media_id"]?.string else { return .failed(.unreadable(isRepeatable: true)) }
        media = id
      }
    }
    guard let answer = rest.last else { return .call(request(message, media, job)) }
    return end(answer, job, isRepeatable: false)
  }

  private func upload(_ file: OutboundFile, _ job: SendJob) -> APIRequest {
    WeChatAPI.call(
      "media/upload", job, query: [("type", Self.type(file))],
      body: .multipart([APIPart("media", file: 0, filename: file.name, type: file.mimeType)]),
      timeoutSeconds: 120, isRepeatable: true)
  }

  private func request(_ message: OutboundMessage, _ media: String?, _ job: SendJob) -> APIRequest {
    var members: [String: JSONValue] = ["touser": .string(job.conversation.externalID)]
    if let template = message.extras?["template"]?.object {
      members.merge(template) { own, _ in own }
      // For ten minutes WeChat sends one of a person and this once: when a doubted one is sent again by hand.
      members["client_msg_id"] = members["client_msg_id"] ?? .string(job.key)
      return WeChatAPI.call(
        "message/template/send", job, body: .json(.object(members)), isRepeatable: false)
    }
    members["customservice"] = message.extras?["customservice"]
    let (type, content) = Self.content(message, media)
    members["msgtype"] = .string(type)
    members[type] = content
    return WeChatAPI.call(
      "message/custom/send", job, body: .json(.object(members)), isRepeatable: false)
  }

  private static func content(_ message: OutboundMessage, _ media: String?) -> (String, JSONValue) {
    guard let file = message.files.first, let media else {
      if let type = message.extras?["msgtype"]?.string, let content = message.extras?[type] {
        return (type, content)
      }
      return ("text", ["content": .string(message.text ?? "")])
    }
    var content: [String: JSONValue] = ["media_id": .string(media)]
    if file.kind == .video {
      for name in ["thumb_media_id", "title"] { content[name] = message.extras?[name] }
      content["description"] = message.text.flatMap { $0.isEmpty ? nil : .string($0) }
    }
    return (type(file), .object(content))
  }

  private static func type(_ file: OutboundFile) -> String {
    switch file.kind {
    case .audio: "voice"
    case .video: "video"
    case .image, .file, .sticker: "image"
    }
  }
}
