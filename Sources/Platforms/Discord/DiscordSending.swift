import Bytes
import JSON
import Messaging

/// Answers over the REST API as the bot. A message's nonce makes Discord do it once, for some minutes.
extension DiscordPlatform: SendingPlatform {
  private static let filesMax = 10
  private static let unknownMessage: Int64 = 10_008

  /// Seconds after a message was asked for during which it may be sent again: Discord remembers a nonce for a
  /// few minutes, and the last try comes some time after it was decided on.
  private static let nonceSeconds: Int64 = 60

  /// Not messages: a node that died may be followed after Discord has forgotten the nonce.
  func isRepeatable(_ action: OutboundAction) -> Bool {
    if case .message = action { false } else { true }
  }

  /// Whether this call can be made again.
  private static func isRepeatable(_ job: SendJob) -> Bool {
    guard case .message = job.action else { return true }
    guard let asked = UUIDv7(job.key)?.milliseconds else { return false }
    return job.now.microseconds / 1_000 - Int64(asked) < nonceSeconds * 1_000
  }

  /// The bot's messages are among those that are polled.
  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(DiscordAPI.tokenField) != nil else { return .lacking(DiscordAPI.tokenField) }
    guard case .message(let message) = action else { return nil }
    if message.files.count > Self.filesMax { return .content("Discord takes \(Self.filesMax) files at most") }
    if message.kind == .poll && message.extras?["poll"]?.object == nil {
      return .content("a poll needs platform.poll {question, answers}")
    }
    if message.kind == .sticker && message.extras?["sticker_ids"]?.array == nil && message.files.isEmpty {
      return .content("a sticker needs platform.sticker_ids, or a file")
    }
    let others = ["embeds", "components", "sticker_ids", "poll"]
    let isEmpty = (message.text ?? "").isEmpty && message.files.isEmpty
    return isEmpty && !others.contains { message.extras?[$0] != nil } ? .content("the message is empty") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else { return request(job) }
    if let failure = DiscordAPI.failure(answer, isRepeatable: Self.isRepeatable(job), now: job.now) {
      switch job.action {
      case .delete where DiscordAPI.code(answer) == Self.unknownMessage: return .done(SendReceipt())
      default: return .failed(failure)
      }
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    guard let id = answer.json?["id"]?.identifier else {
      return .failed(.unreadable(isRepeatable: Self.isRepeatable(job)))
    }
    let time = answer.json?["timestamp"]?.string.flatMap { Timestamp(rfc3339: $0)?.clamped }
    return .done(SendReceipt(messageID: id, sentAt: time ?? DiscordMessage.time(ofID: id)))
  }

  // MARK: Calls

  private func request(_ job: SendJob) -> SendStep {
    let channel = APIRequest.element(job.conversation.externalID)
    let messages = "channels/\(channel)/messages"
    switch job.action {
    case .message(let message): return .call(self.message(message, job))
    case .edit(let edit):
      return call(
        "PATCH", "\(messages)/\(APIRequest.element(edit.messageID))", job, ["content": .string(edit.text)])
    case .delete(let id): return call("DELETE", "\(messages)/\(APIRequest.element(id))", job, nil)
    case .react(let id, let emoji, let isSet):
      let reaction = "reactions/\(APIRequest.element(Self.reaction(emoji)))/@me"
      return call(
        isSet ? "PUT" : "DELETE", "\(messages)/\(APIRequest.element(id))/\(reaction)", job, nil)
    case .typing(true): return call("POST", "channels/\(channel)/typing", job, nil)
    case .typing(false): return .done(SendReceipt())
    case .read: return .impossible(displayName, "mark messages as read")
    }
  }

  private func call(_ method: String, _ path: String, _ job: SendJob, _ body: JSONValue?) -> SendStep {
    .call(
      DiscordAPI.call(
        method, path, job.secrets, body: body.map { .json($0) } ?? .none, isRepeatable: true))
  }

  /// Custom emoji are `<:name:id>` in texts and `name:id` here.
  private static func reaction(_ emoji: String) -> String {
    guard emoji.hasPrefix("<"), emoji.hasSuffix(">") else { return emoji }
    let parts = emoji.dropFirst().dropLast().split(separator: ":")
    return parts.count >= 2 ? parts.suffix(2).joined(separator: ":") : emoji
  }

  private static let extras = ["embeds", "components", "sticker_ids", "poll", "flags", "tts"]

  private func message(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    var members: [String: JSONValue] = [
      "nonce": .string(DiscordAPI.nonce(job.key)), "enforce_nonce": true,
      // Nobody calls everybody by accident.
      "allowed_mentions": message.extras?["allowed_mentions"] ?? ["parse": ["users"], "replied_user": true],
    ]
    members["content"] = message.text.flatMap { $0.isEmpty ? nil : .string($0) }
    members["message_reference"] = message.replyTo.map {
      ["message_id": .string($0), "fail_if_not_exists": false]
    }
    for name in Self.extras { members[name] = message.extras?[name] }
    // A thread is a channel.
    let channel = message.threadID ?? job.conversation.externalID
    let path = "channels/\(APIRequest.element(channel))/messages"
    guard !message.files.isEmpty else {
      return DiscordAPI.call(
        "POST", path, job.secrets, body: .json(.object(members)),
        isRepeatable: Self.isRepeatable(job))
    }
    members["attachments"] = .array(
      message.files.enumerated().map { index, file in
        ["id": .integer(Int64(index)), "filename": .string(file.name)]
      })
    let json = String(decoding: JSONValue.object(members).encoded(), as: UTF8.self)
    var parts = [APIPart("payload_json", json, type: "application/json")]
    for (index, file) in message.files.enumerated() {
      parts.append(APIPart("files[\(index)]", file: index, filename: file.name, type: file.mimeType))
    }
    return DiscordAPI.call(
      "POST", path, job.secrets, body: .multipart(parts), timeoutSeconds: 120,
      isRepeatable: Self.isRepeatable(job))
  }
}
