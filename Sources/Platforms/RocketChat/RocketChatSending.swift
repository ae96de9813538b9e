import Bytes
import JSON
import Messaging

/// Writes messages. A message without files is given its id by the hub: one that comes twice is not made
/// twice, and when the server says no, whether it is there already is asked by that id.
extension RocketChatPlatform: SendingPlatform {
  var echoes: Bool { true }
  var answersMakeThreads: Bool { true }

  func isRepeatable(_ action: OutboundAction) -> Bool {
    if case .message(let message) = action { message.files.isEmpty } else { true }
  }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard RocketChatAPI.canCall(job.secrets) else {
      let fields = [RocketChatAPI.serverField, RocketChatAPI.tokenField, RocketChatAPI.userField]
      return SendRefusal(.missingCredentials, "sending needs \(fields.joined(separator: ", "))")
    }
    switch action {
    case .message(let message) where message.files.count > 1:
      return SendRefusal(.invalidContent, "a message has one file")
    case .react(_, let emoji, _): return EmojiName.refusal(emoji, displayName)
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    switch job.action {
    case .message(let message):
      return message.files.isEmpty ? text(message, job, answers) : file(message, job, answers)
    case .edit(let edit):
      return single(
        "chat.update", ["msgId": .string(edit.messageID), "text": .string(edit.text)], job, answers)
    case .delete(let id): return single("chat.delete", ["msgId": .string(id), "asUser": true], job, answers)
    case .react(let id, let emoji, let isSet):
      let body: [String: JSONValue] = [
        "messageId": .string(id), "emoji": .string(":\(EmojiName.name(emoji) ?? emoji):"),
        "shouldReact": .bool(isSet),
      ]
      return single("chat.react", body, job, answers, namesRoom: false)
    case .read:
      let body: [String: JSONValue] = ["rid": .string(job.conversation.externalID)]
      return single("subscriptions.read", body, job, answers, namesRoom: false)
    // It is told over the server's WebSocket only.
    case .typing: return .failed(APIFailure("typing cannot be shown over the API"))
    }
  }

  /// - Parameter isStep: the call made nothing that is to be seen.
  private func result(
    _ answer: APIAnswer, _ job: SendJob, isStep: Bool = false
  ) -> Result<JSONValue, APIFailure> {
    RocketChatAPI.result(answer, isRepeatable: isStep || isRepeatable(job.action), now: job.now)
  }

  private func single(
    _ path: String, _ body: [String: JSONValue], _ job: SendJob, _ answers: [APIAnswer],
    namesRoom: Bool = true
  ) -> SendStep {
    guard let answer = answers.last else {
      var members = body
      if namesRoom { members["roomId"] = .string(job.conversation.externalID) }
      return .call(
        RocketChatAPI.call(
          "POST", path, job.secrets, body: .json(.object(members)), isRepeatable: true))
    }
    switch result(answer, job) {
    case .success: return .done(SendReceipt())
    case .failure(let failure):
      if case .delete = job.action, failure.reason.contains("No message found") {
        return .done(SendReceipt())
      }
      return .failed(failure)
    }
  }

  // MARK: Threads

  private enum Thread {
    case known(String?)
    case step(SendStep)
  }

  /// The first message of the thread that an answer goes into: what is answered may be in one already.
  private func thread(
    _ message: OutboundMessage, _ job: SendJob, _ rest: inout ArraySlice<APIAnswer>
  ) -> Thread {
    if let thread = message.threadID { return .known(thread) }
    guard let target = message.replyTo else { return .known(nil) }
    guard let answer = rest.popFirst() else { return .step(.call(get(target, job))) }
    switch result(answer, job, isStep: true) {
    case .success(let json): return .known(json["message"]?["tmid"]?.string ?? target)
    case .failure(let failure): return .step(.failed(failure))
    }
  }

  private func get(_ id: String, _ job: SendJob) -> APIRequest {
    RocketChatAPI.call("GET", "chat.getMessage", job.secrets, query: [("msgId", id)])
  }

  // MARK: Messages

  private func text(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    let root: String?
    switch thread(message, job, &rest) {
    case .known(let thread): root = thread
    case .step(let step): return step
    }
    guard let answer = rest.popFirst() else {
      var members: [String: JSONValue] = [
        "_id": .string(job.key), "rid": .string(job.conversation.externalID),
        "msg": .string(message.text ?? ""),
      ]
      members["tmid"] = root.map { .string($0) }
      members["attachments"] = message.extras?["attachments"]
      return .call(
        RocketChatAPI.call(
          "POST", "chat.sendMessage", job.secrets, body: .json(["message": .object(members)]),
          isRepeatable: true))
    }
    switch result(answer, job) {
    case .success(let json): return done(json, job)
    case .failure(let failure): return isThere(failure, job, rest)
    }
  }

  /// The server does not say why it will not make a message: it may be there from an earlier attempt.
  private func isThere(_ failure: APIFailure, _ job: SendJob, _ rest: ArraySlice<APIAnswer>) -> SendStep {
    guard failure.remedy == .none else { return .failed(failure) }
    guard let answer = rest.first else { return .call(get(job.key, job)) }
    if case .success(let json) = result(answer, job), json["message"]?["_id"]?.string == job.key {
      return done(json, job)
    }
    return .failed(failure)
  }

  private func done(_ json: JSONValue, _ job: SendJob) -> SendStep {
    guard let id = json["message"]?["_id"]?.string else {
      return .failed(.unreadable("message", isRepeatable: isRepeatable(job.action)))
    }
    return .done(SendReceipt(messageID: id, sentAt: RocketChatEvent.moment(json["message"]?["ts"])))
  }

  /// Uploads a file and confirms it, which makes the message. Servers of before version 7 do both at once.
  private func file(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    let root: String?
    switch thread(message, job, &rest) {
    case .known(let thread): root = thread
    case .step(let step): return step
    }
    guard let uploaded = rest.popFirst() else {
      return .call(upload("rooms.media", message, [], job, isRepeatable: true))
    }
    let fields = [("msg", message.text), ("tmid", root)].compactMap { name, value in
      value.map { APIPart(name, $0) }
    }
    if uploaded.status == 404 || uploaded.status == 405 {
      guard let answer = rest.popFirst() else {
        return .call(upload("rooms.upload", message, fields, job, isRepeatable: false))
      }
      return made(answer, job)
    }
    // Nothing is seen of a file before it is confirmed.
    switch result(uploaded, job, isStep: true) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      guard let id = json["file"]?["_id"]?.string else { return .failed(.unreadable("file")) }
      guard let answer = rest.popFirst() else { return .call(confirm(id, message, root, job)) }
      return made(answer, job)
    }
  }

  private func made(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    switch result(answer, job) {
    case .success(let json): done(json, job)
    case .failure(let failure): .failed(failure)
    }
  }

  private func upload(
    _ method: String, _ message: OutboundMessage, _ fields: [APIPart], _ job: SendJob, isRepeatable: Bool
  ) -> APIRequest {
    let parts = message.files.prefix(1).map {
      APIPart("file", file: 0, filename: $0.name, type: $0.mimeType)
    }
    var request = RocketChatAPI.call(
      "POST", "\(method)/\(APIRequest.element(job.conversation.externalID))", job.secrets,
      body: .multipart(parts + fields), isRepeatable: isRepeatable)
    request.timeoutSeconds = 120
    return request
  }

  private func confirm(
    _ file: String, _ message: OutboundMessage, _ root: String?, _ job: SendJob
  ) -> APIRequest {
    var members: [String: JSONValue] = [:]
    members["msg"] = message.text.map { .string($0) }
    members["tmid"] = root.map { .string($0) }
    let path =
      "rooms.mediaConfirm/\(APIRequest.element(job.conversation.externalID))/\(APIRequest.element(file))"
    return RocketChatAPI.call("POST", path, job.secrets, body: .json(.object(members)))
  }
}
