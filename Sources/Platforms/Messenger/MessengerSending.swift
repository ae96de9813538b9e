import Bytes
import JSON
import Messaging

/// Writes as a Facebook page or as an Instagram account; the two share the Send API
/// (https://developers.facebook.com/docs/messenger-platform/reference/send-api).
struct MessengerSender {
  let isInstagram: Bool

  private static let fileBytesMax: Int64 = 25 << 20
  private static let instagramTextBytesMax = 1_000

  private var name: String { isInstagram ? "Instagram" : "Messenger" }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(MetaAPI.tokenField) != nil else { return .lacking(MetaAPI.tokenField) }
    guard case .message(let message) = action else { return nil }
    let text = message.text ?? ""
    if isInstagram && text.utf8.count > Self.instagramTextBytesMax {
      return SendRefusal(.textTooLong, "Instagram takes \(Self.instagramTextBytesMax) bytes of UTF-8 at most")
    }
    let hasExtra = message.extras?["attachment"]?.object != nil
    guard let file = message.files.first else {
      return text.isEmpty && !hasExtra ? .content("the message is empty") : nil
    }
    if message.files.count > 1 || !text.isEmpty || hasExtra {
      return .content("\(name) takes one file or a text in a message, not both")
    }
    if file.sizeBytes > Self.fileBytesMax {
      return .content("\(name) takes \(Self.fileBytesMax) bytes at most")
    }
    return isInstagram && file.publicURL == nil ? .unreachable(name) : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer], isRepeatable: Bool) -> SendStep {
    guard let answer = answers.last else { return request(job, isRepeatable: isRepeatable) }
    switch MetaAPI.result(answer, isRepeatable: isRepeatable, now: job.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      guard case .message = job.action else { return .done(SendReceipt()) }
      guard let id = result["message_id"]?.identifier else { return .unnamed }
      return .done(SendReceipt(messageID: id))
    }
  }

  private func request(_ job: SendJob, isRepeatable: Bool) -> SendStep {
    switch job.action {
    case .message(let message): return .call(self.message(message, job))
    case .edit: return .impossible(name, "edit messages")
    case .delete: return .impossible(name, "delete messages")
    case .react(let id, let emoji, let isSet):
      var payload: [String: JSONValue] = ["message_id": .string(id)]
      if isSet { payload["reaction"] = .string(isInstagram ? Self.reaction(emoji) : emoji) }
      return action(isSet ? "react" : "unreact", payload: .object(payload), job)
    case .read: return action("mark_seen", job)
    case .typing(let isTyping): return action(isTyping ? "typing_on" : "typing_off", job)
    }
  }

  /// Instagram knows the heart by a name.
  private static func reaction(_ emoji: String) -> String {
    ["❤", "❤️", "♥️"].contains(emoji) ? "love" : emoji
  }

  private func recipient(_ job: SendJob) -> JSONValue { ["id": .string(job.conversation.externalID)] }

  /// The token says which Instagram account it is, whichever of the two hosts is asked.
  private func path(_ job: SendJob) -> String {
    isInstagram
      ? "me/messages" : APIRequest.element(MessengerPlatform.page(job.secrets, job.account)) + "/messages"
  }

  private func action(_ name: String, payload: JSONValue? = nil, _ job: SendJob) -> SendStep {
    var members: [String: JSONValue] = ["recipient": recipient(job), "sender_action": .string(name)]
    members["payload"] = payload
    return .call(
      MetaAPI.call("POST", path(job), job.secrets, body: .json(.object(members)), isRepeatable: true))
  }

  // MARK: Messages

  private func message(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    var content: [String: JSONValue] = [:]
    // The page's echo repeats it.
    if !isInstagram { content["metadata"] = .string(job.key) }
    content["quick_replies"] = message.extras?["quick_replies"]
    var upload: Int?
    if let attachment = message.extras?["attachment"] {
      content["attachment"] = attachment
    } else if let file = message.files.first {
      let payload: JSONValue = isInstagram ? ["url": .string(file.publicURL ?? "")] : ["is_reusable": false]
      content["attachment"] = ["type": .string(Self.type(file)), "payload": payload]
      if !isInstagram { upload = 0 }
    } else {
      content["text"] = .string(message.text ?? "")
    }
    var members: [String: JSONValue] = ["recipient": recipient(job), "message": .object(content)]
    let tag = message.extras?["tag"]?.string
    members["messaging_type"] = tag == nil ? "RESPONSE" : "MESSAGE_TAG"
    members["tag"] = tag.map { .string($0) }
    members["reply_to"] = message.replyTo.map { ["mid": .string($0)] }
    guard let upload, let file = message.files.first else {
      return MetaAPI.call("POST", path(job), job.secrets, body: .json(.object(members)))
    }
    var parts = members.sorted { $0.key < $1.key }.map { APIPart($0.key, Self.field($0.value)) }
    parts.append(APIPart("filedata", file: upload, filename: file.name, type: file.mimeType))
    return MetaAPI.call("POST", path(job), job.secrets, body: .multipart(parts), timeoutSeconds: 120)
  }

  private static func field(_ value: JSONValue) -> String {
    value.string ?? String(decoding: value.encoded(), as: UTF8.self)
  }

  private static func type(_ file: OutboundFile) -> String {
    switch file.kind {
    case .image, .sticker: "image"
    case .video: "video"
    case .audio: "audio"
    case .file: "file"
    }
  }
}

extension MessengerPlatform: SendingPlatform {
  private static let sender = MessengerSender(isInstagram: false)

  /// Where the page is subscribed to `message_echoes`.
  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    Self.sender.refusal(of: action, job)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    Self.sender.next(job, after: answers, isRepeatable: isRepeatable(job.action))
  }
}
