import Bytes
import JSON
import Messaging

/// Answers by push messages, with a retry key: LINE does one of them once. Files are fetched by LINE.
extension LINEPlatform: SendingPlatform {
  private static let messagesMax = 5
  private static let imageBytesMax: Int64 = 10 << 20
  private static let mediaBytesMax: Int64 = 200 << 20
  private static let urlBytesMax = 2_000
  /// How long the sign of writing stays; it goes by itself when a message comes.
  private static let typingSeconds: Int64 = 20

  func isRepeatable(_ action: OutboundAction) -> Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(LINEAPI.tokenField) != nil || Self.canRenew(job.secrets) else {
      return .lacking(LINEAPI.tokenField)
    }
    switch action {
    case .message(let message): return refusal(of: message, quote: Self.quoteToken(message, job))
    case .read(let id) where Self.readToken(id, job) == nil:
      return .content("the message came without the token by which LINE marks it as read")
    case .typing where job.conversation.kind != .direct:
      return SendRefusal(.notSupported, "LINE shows typing to one person only")
    default: return nil
    }
  }

  /// Messages of the other side come with one, those that were sent do not.
  private static func quoteToken(_ message: OutboundMessage, _ job: SendJob) -> JSONValue? {
    if let given = message.extras?["quoteToken"]?.string { return .string(given) }
    guard let target = message.replyTo else { return nil }
    let token =
      job.subjectDetails?["quoteToken"]?.string
      ?? (target == job.lastInboundID ? job.lastInboundDetails?["quoteToken"]?.string : nil)
    return token.map { .string($0) }
  }

  /// LINE marks everything up to the message that the token came with.
  private static func readToken(_ id: String, _ job: SendJob) -> JSONValue? {
    let name = "markAsReadToken"
    let token =
      job.subjectDetails?[name]?.string
      ?? (id == job.lastInboundID ? job.lastInboundDetails?[name]?.string : nil)
    return token.map { .string($0) }
  }

  private func refusal(of message: OutboundMessage, quote: JSONValue?) -> SendRefusal? {
    let extras = message.extras
    if let own = extras?["messages"]?.array {
      return (1...Self.messagesMax).contains(own.count) && message.files.isEmpty
        ? nil : .content("platform.messages has 1 to \(Self.messagesMax) messages, and no files beside")
    }
    if message.replyTo != nil && quote == nil {
      return .content("LINE quotes messages that came with a quoteToken; platform.quoteToken can name one")
    }
    switch message.kind {
    case .sticker where extras?["sticker"]?.object == nil:
      return .content("a sticker needs platform.sticker {packageId, stickerId}")
    case .location where extras?["location"]?.object == nil:
      return .content("a location needs platform.location {title, address, latitude, longitude}")
    case .sticker, .location: return message.files.isEmpty ? nil : .content("it has no files")
    default: break
    }
    let hasText = !(message.text ?? "").isEmpty
    if !hasText && message.files.isEmpty { return .content("the message is empty") }
    if message.files.count + (hasText ? 1 : 0) > Self.messagesMax {
      return .content("LINE takes \(Self.messagesMax) parts at most, the text among them")
    }
    for file in message.files { if let refusal = refusal(of: file, extras) { return refusal } }
    return nil
  }

  private func refusal(of file: OutboundFile, _ extras: JSONValue?) -> SendRefusal? {
    guard let url = file.publicURL else { return .unreachable("LINE") }
    guard url.hasPrefix("https://"), url.utf8.count <= Self.urlBytesMax else {
      return .content("LINE fetches files over https only")
    }
    switch file.kind {
    case .image where !["image/jpeg", "image/png"].contains(file.mimeType):
      return .content("LINE takes image/jpeg and image/png, not \(file.mimeType)")
    case .image where file.sizeBytes > Self.imageBytesMax:
      return .content("LINE takes images of 10 MB at most")
    case .video where extras?["previewImageUrl"]?.string == nil:
      return .content("a video needs platform.previewImageUrl, a picture of it")
    case .audio where extras?["duration"]?.integer == nil:
      return .content("audio needs platform.duration, its length in milliseconds")
    case .file, .sticker: return SendRefusal(.kindNotSupported, "LINE takes images, videos and audio only")
    default: return file.sizeBytes > Self.mediaBytesMax ? .content("LINE takes files of 200 MB at most") : nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else { return request(job) }
    // 409: an attempt before was taken, and the answer tells of its messages.
    guard answer.isSuccess || answer.status == 409 else {
      return .failed(LINEAPI.failure(answer, canRenew: Self.canRenew(job.secrets), now: job.now))
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    let id = answer.json?["sentMessages"]?[0]?["id"]?.identifier
    // Asked again, LINE tells what it sent.
    guard id != nil || answer.status == 409 else { return .failed(.unreadable(isRepeatable: true)) }
    return .done(SendReceipt(messageID: id))
  }

  private func request(_ job: SendJob) -> SendStep {
    switch job.action {
    case .message(let message):
      var members: [String: JSONValue] = [
        "to": .string(job.conversation.externalID),
        "messages": .array(messages(message, quote: Self.quoteToken(message, job))),
      ]
      for name in ["notificationDisabled", "customAggregationUnits"] {
        members[name] = message.extras?[name]
      }
      let key = LINEAPI.retryKey(job.key)
      return .call(LINEAPI.call("/v2/bot/message/push", .object(members), job, retryKey: key))
    case .typing(true):
      let body: JSONValue = [
        "chatId": .string(job.conversation.externalID), "loadingSeconds": .integer(Self.typingSeconds),
      ]
      return .call(LINEAPI.call("/v2/bot/chat/loading/start", body, job))
    case .typing(false): return .done(SendReceipt())
    case .edit: return .impossible(displayName, "edit messages")
    case .delete: return .impossible(displayName, "delete messages")
    case .react: return .impossible(displayName, "take reactions")
    case .read(let id):
      guard let token = Self.readToken(id, job) else {
        return .impossible(displayName, "mark messages as read without their token")
      }
      return .call(LINEAPI.call("/v2/bot/chat/markAsRead", ["markAsReadToken": token], job))
    }
  }

  // MARK: Messages

  private func messages(_ message: OutboundMessage, quote: JSONValue?) -> [JSONValue] {
    let extras = message.extras
    if let own = extras?["messages"]?.array { return own }
    switch message.kind {
    case .sticker: return [Self.typed("sticker", extras?["sticker"], extras, quote)]
    case .location: return [Self.typed("location", extras?["location"], extras, nil)]
    default: break
    }
    var list: [JSONValue] = []
    if let text = message.text, !text.isEmpty {
      list.append(Self.typed("text", ["text": .string(text)], extras, quote))
    }
    return list + message.files.map { Self.file($0, extras) }
  }

  private static func typed(
    _ type: String, _ content: JSONValue?, _ extras: JSONValue?, _ quote: JSONValue?
  ) -> JSONValue {
    var members = content?.object ?? [:]
    members["type"] = .string(type)
    members["quoteToken"] = quote
    members["quickReply"] = extras?["quickReply"]
    return .object(members)
  }

  private static func file(_ file: OutboundFile, _ extras: JSONValue?) -> JSONValue {
    let url = JSONValue.string(file.publicURL ?? "")
    switch file.kind {
    case .video:
      return [
        "type": "video", "originalContentUrl": url, "previewImageUrl": extras?["previewImageUrl"] ?? url,
      ]
    case .audio: return ["type": "audio", "originalContentUrl": url, "duration": extras?["duration"] ?? 0]
    case .image, .file, .sticker:
      return [
        "type": "image", "originalContentUrl": url, "previewImageUrl": extras?["previewImageUrl"] ?? url,
      ]
    }
  }
}
