import Bytes
import JSON
import Messaging

/// Answers over the Web API. Text goes as mrkdwn (`SlackText`). Files are uploaded one by one and then shared
/// in one message, whose time is asked for.
extension SlackPlatform: SendingPlatform {
  /// Seconds before each question for the message that shares a file: Slack makes it after its answer.
  private static let lookupSeconds: [Double] = [0.5, 1, 2, 3, 4, 5]
  private static let filesMax = 10
  /// `chat.update` takes less than `chat.postMessage`, counted after escaping.
  private static let editBytesMax = 4_000

  /// The app's own messages come back as events, and with their metadata when they are polled.
  var echoes: Bool { true }
  var answersMakeThreads: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(SlackAPI.tokenField) != nil || Self.canRenew(job.secrets) else {
      return .lacking(SlackAPI.tokenField)
    }
    switch action {
    case .message(let message):
      if message.files.count > Self.filesMax { return .content("Slack takes \(Self.filesMax) files at most") }
      let isEmpty = (message.text ?? "").isEmpty && message.files.isEmpty
      let hasBlocks = ["blocks", "attachments"].contains { message.extras?[$0]?.array != nil }
      return isEmpty && !hasBlocks ? .content("the message is empty") : nil
    case .edit(let edit) where SlackText.escaped(edit.text).utf8.count > Self.editBytesMax:
      return SendRefusal(.textTooLong, "Slack takes \(Self.editBytesMax) bytes of UTF-8 in an edit")
    case .react(_, let emoji, _) where SlackEmoji.name(emoji) == nil:
      return .content("Slack knows no name of \(emoji): give one, such as :eyes:")
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if case .message(let message) = job.action, !message.files.isEmpty {
      return withFiles(message, job, answers)
    }
    guard let answer = answers.last else { return request(job) }
    switch result(answer, job) {
    case .failure(let failure): return after(failure, job)
    case .success(let result):
      guard case .message = job.action else { return .done(SendReceipt()) }
      guard let time = result["ts"]?.string else { return .unnamed }
      return .done(SendReceipt(messageID: time, sentAt: SlackEvent.time(time)))
    }
  }

  private func result(
    _ answer: APIAnswer, _ job: SendJob, isRepeatable: Bool? = nil
  ) -> Result<JSONValue, APIFailure> {
    SlackAPI.result(
      answer, isRepeatable: isRepeatable ?? self.isRepeatable(job.action), now: job.now,
      canRenew: Self.canRenew(job.secrets))
  }

  /// Some refusals say that all is as it should be.
  private func after(_ failure: APIFailure, _ job: SendJob) -> SendStep {
    switch (job.action, failure.reason) {
    case (.delete, "message_not_found"), (.react(_, _, true), "already_reacted"),
      (.react(_, _, false), "no_reaction"):
      return .done(SendReceipt())
    default: return .failed(failure)
    }
  }

  // MARK: Calls

  private func request(_ job: SendJob) -> SendStep {
    var members: [String: JSONValue] = ["channel": .string(job.conversation.externalID)]
    let method: String
    switch job.action {
    case .message(let message):
      method = "chat.postMessage"
      members.merge(content(message, job)) { _, new in new }
    case .edit(let edit):
      method = "chat.update"
      members["ts"] = .string(edit.messageID)
      members["text"] = .string(SlackText.escaped(edit.text))
    case .delete(let id):
      method = "chat.delete"
      members["ts"] = .string(id)
    case .react(let id, let emoji, let isSet):
      method = isSet ? "reactions.add" : "reactions.remove"
      members["timestamp"] = .string(id)
      members["name"] = .string(SlackEmoji.name(emoji) ?? emoji)
    case .read(let id):
      method = "conversations.mark"
      members["ts"] = .string(id)
    case .typing: return .impossible(displayName, "show typing")
    }
    let isRepeatable = isRepeatable(job.action)
    return .call(
      SlackAPI.call(method, .object(members), job.secrets, token: job.token, isRepeatable: isRepeatable))
  }

  private func content(_ message: OutboundMessage, _ job: SendJob) -> [String: JSONValue] {
    var members: [String: JSONValue] = [
      "metadata": [
        "event_type": .string(SlackAPI.eventType), "event_payload": ["key": .string(job.key)],
      ]
    ]
    members["text"] = message.text.map { .string(SlackText.escaped($0)) }
    members["thread_ts"] = Self.thread(message).map { .string($0) }
    for name in ["blocks", "attachments", "unfurl_links", "unfurl_media", "mrkdwn", "reply_broadcast"] {
      members[name] = message.extras?[name]
    }
    return members
  }

  /// Slack names a thread by its first message, and wants no other of it.
  private static func thread(_ message: OutboundMessage) -> String? {
    message.threadID ?? message.replyThreadID ?? message.replyTo
  }

  // MARK: Files

  /// Two answers for each file, one for sharing them, the rest for the message's time.
  private func withFiles(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var ids: [String] = []
    for (index, file) in message.files.enumerated() {
      guard answers.count > 2 * index else { return .call(place(file, job)) }
      switch result(answers[2 * index], job, isRepeatable: true) {
      case .failure(let failure): return .failed(failure)
      case .success(let place):
        guard let id = place["file_id"]?.identifier, let url = WebAddress.checked(place["upload_url"]?.string)
        else { return .failed(APIFailure("Slack names no place for the file", .later(seconds: nil))) }
        ids.append(id)
        guard answers.count > 2 * index + 1 else {
          let body = APIRequest.Body.file(index, type: "application/octet-stream")
          return .call(APIRequest("POST", url, body: body, timeoutSeconds: 120, isRepeatable: true))
        }
      }
      let upload = answers[2 * index + 1]
      if !upload.isSuccess { return .failed(APIFailure(upload, isRepeatable: true, now: job.now)) }
    }
    return share(ids, message, job, Array(answers.dropFirst(2 * ids.count)))
  }

  private func place(_ file: OutboundFile, _ job: SendJob) -> APIRequest {
    APIRequest(
      "POST", SlackAPI.url("files.getUploadURLExternal", job.secrets),
      body: .form([APIField("filename", file.name), APIField("length", String(file.sizeBytes))]),
      isRepeatable: true
    ).bearer(job.token ?? job.secrets.first(SlackAPI.tokenField) ?? "")
  }

  private func share(
    _ ids: [String], _ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard let first = answers.first else {
      let files = zip(ids, message.files).map { id, file -> JSONValue in
        ["id": .string(id), "title": .string(file.name)]
      }
      var members: [String: JSONValue] = [
        "files": .array(files), "channel_id": .string(job.conversation.externalID),
      ]
      members["initial_comment"] = message.text.flatMap { text in
        text.isEmpty ? nil : .string(SlackText.escaped(text))
      }
      members["thread_ts"] = Self.thread(message).map { .string($0) }
      return .call(
        SlackAPI.call("files.completeUploadExternal", .object(members), job.secrets, token: job.token))
    }
    if case .failure(let failure) = result(first, job) { return .failed(failure) }
    for answer in answers {
      let file = answer.json?["file"] ?? answer.json?["files"]?[0]
      guard let time = Self.time(of: file, in: job.conversation.externalID) else { continue }
      return .done(SendReceipt(messageID: time, sentAt: SlackEvent.time(time)))
    }
    // It is shared; only its message is not known by then, or may not be looked up. Meanwhile its event
    // comes.
    guard answers.count <= Self.lookupSeconds.count, let id = ids.first, answers.last?.isSuccess == true
    else {
      return .done(SendReceipt())
    }
    let seconds = Self.lookupSeconds[answers.count - 1]
    return .call(
      SlackAPI.read("files.info", [("file", id)], job.secrets, token: job.token).after(seconds: seconds))
  }

  /// The message that shares a file in a channel.
  private static func time(of file: JSONValue?, in channel: String) -> String? {
    for side in ["public", "private"] {
      if let time = file?["shares"]?[side]?[channel]?[0]?["ts"]?.string { return time }
    }
    return nil
  }
}

/// Slack's names of emoji: what stands between colons, and of the common ones that are given as such.
enum SlackEmoji {
  /// Where Slack has another name than the rest.
  private static let own = [
    "🤔": "thinking_face", "🤣": "rolling_on_the_floor_laughing", "➕": "heavy_plus_sign",
    "🙄": "face_with_rolling_eyes",
  ]
  private static let signs = Dictionary(own.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })

  /// The name, without colons, of a sign or of a name, with its tone of skin (`+1::skin-tone-2`); nil: the
  /// sign has none here.
  static func name(_ emoji: String) -> String? {
    if let name = own[emoji] ?? EmojiName.name(emoji) { return name }
    let inner = emoji.hasPrefix(":") && emoji.hasSuffix(":") ? String(emoji.dropFirst().dropLast()) : emoji
    let isName = inner.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (97...122).contains(byte) || "_-+':".utf8.contains(byte)
    }
    return isName && !inner.isEmpty && inner.utf8.count <= 100 ? inner : nil
  }

  /// The sign of a name, or the name in colons.
  static func sign(_ name: String) -> String { signs[name] ?? EmojiName.sign(name) }
}
