import Bytes
import JSON
import Messaging

/// Writes posts. The server itself recognises a post that comes twice for half a minute only, by its
/// `pending_post_id`; the hub recognises its own by a property of the post.
extension MattermostPlatform: SendingPlatform {
  private static let filesMax = 10

  var echoes: Bool { true }
  var answersMakeThreads: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard MattermostAPI.canCall(job.secrets) else {
      return SendRefusal(
        .missingCredentials,
        "the account has no \(MattermostAPI.serverField) or no \(MattermostAPI.tokenField)")
    }
    switch action {
    case .message(let message) where message.files.count > Self.filesMax:
      return SendRefusal(.invalidContent, "a post has \(Self.filesMax) files at most")
    case .react(_, let emoji, _): return EmojiName.refusal(emoji, displayName)
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last, !answer.isSuccess {
      return refused(answer, job, isStep: answers.count <= Self.steps(before: job.action))
    }
    switch job.action {
    case .message(let message): return post(message, job, answers)
    case .edit(let edit):
      let path = "posts/\(APIRequest.element(edit.messageID))/patch"
      return single("PUT", path, ["message": .string(edit.text)], job, answers)
    case .delete(let id): return single("DELETE", "posts/\(APIRequest.element(id))", nil, job, answers)
    case .react(let id, let emoji, let isSet): return react(id, emoji, isSet, job, answers)
    case .read:
      let body: JSONValue = ["channel_id": .string(job.conversation.externalID)]
      return single("POST", "channels/members/me/view", body, job, answers)
    case .typing:
      let body: JSONValue = ["channel_id": .string(job.conversation.externalID)]
      return single("POST", "users/me/typing", body, job, answers)
    }
  }

  /// Calls that come before the one that makes the post.
  private static func steps(before action: OutboundAction) -> Int {
    guard case .message(let message) = action else { return 0 }
    return (message.files.isEmpty ? 0 : 1) + (message.threadID == nil && message.replyTo != nil ? 1 : 0)
  }

  /// Some refusals say that all is as it should be.
  private func refused(_ answer: APIAnswer, _ job: SendJob, isStep: Bool) -> SendStep {
    switch job.action {
    case .delete where answer.status == 404, .react(_, _, false) where answer.status == 404:
      return .done(SendReceipt())
    default:
      return .failed(
        MattermostAPI.failure(answer, isRepeatable: isStep || isRepeatable(job.action), now: job.now))
    }
  }

  private func single(
    _ method: String, _ path: String, _ body: JSONValue?, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard answers.isEmpty else { return .done(SendReceipt()) }
    return .call(
      MattermostAPI.call(
        method, path, job.secrets, body: body.map { .json($0) } ?? .none, isRepeatable: true))
  }

  // MARK: Posts

  /// The files, then the post that is answered (whose thread it is), then the post.
  private func post(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    var files: [JSONValue] = []
    if !message.files.isEmpty {
      guard let answer = rest.popFirst() else { return .call(upload(message, job)) }
      files = (answer.json?["file_infos"]?.array ?? []).compactMap { $0["id"] }
      guard files.count == message.files.count else { return .failed(.unreadable("list of files")) }
    }
    var root = message.threadID
    if root == nil, let target = message.replyTo {
      guard let answer = rest.popFirst() else {
        return .call(MattermostAPI.call("GET", "posts/\(APIRequest.element(target))", job.secrets))
      }
      root = answer.json?["root_id"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? target
    }
    guard let answer = rest.popFirst() else { return .call(created(message, files, root, job)) }
    guard let id = answer.json?["id"]?.string else {
      return .failed(.unreadable("post", isRepeatable: false))
    }
    let time = answer.json?["create_at"]?.integer.map { Timestamp(milliseconds: $0).clamped }
    return .done(SendReceipt(messageID: id, sentAt: time))
  }

  private func created(
    _ message: OutboundMessage, _ files: [JSONValue], _ root: String?, _ job: SendJob
  ) -> APIRequest {
    var properties = message.extras?["props"]?.object ?? [:]
    properties[MattermostAPI.keyProperty] = .string(job.key)
    var members: [String: JSONValue] = [
      "channel_id": .string(job.conversation.externalID), "message": .string(message.text ?? ""),
      "pending_post_id": .string(job.key), "props": .object(properties),
    ]
    members["root_id"] = root.map { .string($0) }
    if !files.isEmpty { members["file_ids"] = .array(files) }
    return MattermostAPI.call("POST", "posts", job.secrets, body: .json(.object(members)))
  }

  private func upload(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    let files = message.files.enumerated().map { index, file in
      APIPart("files", file: index, filename: file.name, type: file.mimeType)
    }
    var request = MattermostAPI.call(
      "POST", "files", job.secrets,
      body: .multipart([APIPart("channel_id", job.conversation.externalID)] + files), isRepeatable: true)
    request.timeoutSeconds = 120
    return request
  }

  private func react(
    _ id: String, _ emoji: String, _ isSet: Bool, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    let name = EmojiName.name(emoji) ?? emoji
    guard isSet else {
      let path = "users/me/posts/\(APIRequest.element(id))/reactions/\(APIRequest.element(name))"
      return single("DELETE", path, nil, job, answers)
    }
    // To add one the user has to be named.
    guard let me = answers.first else { return .call(MattermostAPI.call("GET", "users/me", job.secrets)) }
    guard let user = me.json?["id"]?.string else { return .failed(.unreadable("user")) }
    let body: JSONValue = [
      "user_id": .string(user), "post_id": .string(id), "emoji_name": .string(name),
    ]
    return single("POST", "reactions", body, job, Array(answers.dropFirst()))
  }
}
