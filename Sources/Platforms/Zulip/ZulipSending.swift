import Bytes
import JSON
import Messaging

/// Writes messages: to a channel under a topic, which is the message's thread, or to people. What is answered
/// is quoted, as Zulip's own apps do it.
extension ZulipPlatform: SendingPlatform {
  private static let filesMax = 10
  /// Where no topic is given.
  private static let noTopic = "(no topic)"

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard ZulipAPI.canCall(job.secrets) else {
      let fields = [ZulipAPI.serverField, ZulipAPI.emailField, ZulipAPI.keyField]
      return SendRefusal(.missingCredentials, "sending needs \(fields.joined(separator: ", "))")
    }
    switch action {
    case .message(let message) where message.files.count > Self.filesMax:
      return SendRefusal(.invalidContent, "a message has \(Self.filesMax) files at most")
    case .react(_, let emoji, _) where ZulipEmoji.name(emoji) == nil:
      return EmojiName.refusal(emoji, displayName)
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last {
      let isStep = answers.count <= Self.steps(before: job.action)
      switch ZulipAPI.result(answer, isRepeatable: isStep || isRepeatable(job.action), now: job.now) {
      case .failure(let failure): return after(failure, answer, job)
      case .success: break
      }
    }
    switch job.action {
    case .message(let message): return said(message, job, answers)
    case .edit(let edit):
      let path = "messages/\(APIRequest.element(edit.messageID))"
      return single("PATCH", path, [("content", edit.text)], job, answers)
    case .delete(let id): return single("DELETE", "messages/\(APIRequest.element(id))", nil, job, answers)
    case .react(let id, let emoji, let isSet):
      let path = "messages/\(APIRequest.element(id))/reactions"
      let name = ZulipEmoji.name(emoji) ?? emoji
      guard isSet else {
        return single("DELETE", path + "?" + "emoji_name=\(APIRequest.element(name))", nil, job, answers)
      }
      return single("POST", path, [("emoji_name", name)], job, answers)
    case .read(let id):
      let form: [(String, String?)] = [("messages", "[\(id)]"), ("op", "add"), ("flag", "read")]
      return single("POST", "messages/flags", form, job, answers)
    case .typing(let isTyping): return single("POST", "typing", typing(isTyping, job), job, answers)
    }
  }

  /// Calls that come before the one that makes the message.
  private static func steps(before action: OutboundAction) -> Int {
    guard case .message(let message) = action else { return 0 }
    return message.files.count + (message.replyTo == nil ? 0 : 1)
  }

  /// Some refusals say that all is as it should be.
  private func after(_ failure: APIFailure, _ answer: APIAnswer, _ job: SendJob) -> SendStep {
    switch (job.action, answer.json?["code"]?.string) {
    case (.react(_, _, true), "REACTION_ALREADY_EXISTS"), (.react(_, _, false), "REACTION_DOES_NOT_EXIST"):
      .done(SendReceipt())
    default: .failed(failure)
    }
  }

  private func single(
    _ method: String, _ path: String, _ form: [(String, String?)]?, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard answers.isEmpty else { return .done(SendReceipt()) }
    return .call(ZulipAPI.call(method, path, job.secrets, form: form, isRepeatable: true))
  }

  // MARK: Places

  /// The ids of a direct conversation's people; nil: it is a channel.
  private static func people(_ conversation: String) -> [JSONValue]? {
    guard conversation.hasPrefix("direct:") else { return nil }
    return conversation.dropFirst(7).split(separator: ",").compactMap { Int64($0) }.map { .integer($0) }
  }

  private static func channel(_ conversation: String) -> JSONValue {
    if let id = Int64(conversation) { return .integer(id) }
    return .string(conversation.hasPrefix("stream:") ? String(conversation.dropFirst(7)) : conversation)
  }

  private func typing(_ isTyping: Bool, _ job: SendJob) -> [(String, String?)] {
    let operation = isTyping ? "start" : "stop"
    guard let people = Self.people(job.conversation.externalID) else {
      return [
        ("op", operation), ("type", "stream"), ("stream_id", job.conversation.externalID),
        ("topic", job.lastInboundThreadID.flatMap { $0.isEmpty ? nil : $0 } ?? Self.noTopic),
      ]
    }
    return [("op", operation), ("to", ZulipAPI.json(.array(people)))]
  }

  // MARK: Messages

  /// The files, then what is quoted, then the message.
  private func said(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    guard answers.count >= message.files.count else { return .call(upload(message, answers.count, job)) }
    var links: [String] = []
    for (file, answer) in zip(message.files, answers) {
      guard let address = answer.json?["url"]?.string ?? answer.json?["uri"]?.string else {
        return .failed(.unreadable("address of a file"))
      }
      links.append(ZulipText.link(file.name, address))
    }
    var rest = answers.dropFirst(message.files.count)
    var parts = ([message.text].compactMap { $0 } + links).filter { !$0.isEmpty }
    var topic = message.threadID ?? message.extras?["topic"]?.string
    if let target = message.replyTo {
      guard let answer = rest.popFirst() else {
        let path = "messages/\(APIRequest.element(target))"
        return .call(ZulipAPI.call("GET", path, job.secrets, query: [("apply_markdown", "false")]))
      }
      let quoted = answer.json?["message"]
      topic = topic ?? quoted?["subject"]?.string
      parts.insert(
        ZulipText.quote(quoted, target, server: job.secrets.server(ZulipAPI.serverField) ?? ""), at: 0)
    }
    // Many organizations want every message under a topic: without another it is the one last spoken of.
    topic = topic ?? job.lastInboundThreadID
    guard let answer = rest.popFirst() else {
      return .call(send(parts.joined(separator: "\n"), topic, job))
    }
    guard let id = answer.json?["id"]?.identifier else {
      return .failed(.unreadable("message's id", isRepeatable: false))
    }
    return .done(SendReceipt(messageID: id))
  }

  private func send(_ content: String, _ topic: String?, _ job: SendJob) -> APIRequest {
    // The names that every server knows; newer ones call them `direct` and `channel`.
    guard let people = Self.people(job.conversation.externalID) else {
      let form: [(String, String?)] = [
        ("type", "stream"), ("to", ZulipAPI.json(Self.channel(job.conversation.externalID))),
        ("topic", topic.flatMap { $0.isEmpty ? nil : $0 } ?? Self.noTopic), ("content", content),
      ]
      return ZulipAPI.call("POST", "messages", job.secrets, form: form)
    }
    let form: [(String, String?)] = [
      ("type", "private"), ("to", ZulipAPI.json(.array(people))), ("content", content),
    ]
    return ZulipAPI.call("POST", "messages", job.secrets, form: form)
  }

  private func upload(_ message: OutboundMessage, _ index: Int, _ job: SendJob) -> APIRequest {
    let file = message.files[index]
    let part = APIPart("filename", file: index, filename: file.name, type: file.mimeType)
    let request = APIRequest(
      "POST", ZulipAPI.address("user_uploads", job.secrets), body: .multipart([part]), timeoutSeconds: 120,
      isRepeatable: true)
    return ZulipAPI.authorised(request, job.secrets)
  }
}
