import Bytes
import JSON
import Messaging

/// Writes over signal-cli-rest-api, or signal-cli's own daemon. A message is known by the time that the
/// answer gives it; nothing makes a call that comes twice one message.
extension SignalPlatform: SendingPlatform {
  private static let filesMax = 32

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard SignalAPI.canCall(job.secrets) else {
      return .lacking("\(SignalAPI.serverField) or no \(SignalAPI.numberField)")
    }
    switch action {
    case .message(let message): return refusal(of: message)
    case .edit(let edit): return refusal(ofOwn: edit.messageID, "edited", job)
    case .delete(let id): return refusal(ofOwn: id, "deleted", job)
    case .react(let id, _, _), .read(let id):
      return SignalAPI.parts(id, job.secrets) == nil ? .content("it is no message of a person") : nil
    case .typing: return nil
    }
  }

  private func refusal(of message: OutboundMessage) -> SendRefusal? {
    if message.files.count > Self.filesMax { return .content("a message has \(Self.filesMax) files at most") }
    let sticker = message.extras?["sticker"]?.string
    if message.kind == .sticker && (sticker?.contains(":") != true || !message.files.isEmpty) {
      return .content("a sticker needs platform.sticker \"packId:stickerId\", and no file")
    }
    let isEmpty = (message.text ?? "").isEmpty && message.files.isEmpty && sticker == nil
    return isEmpty ? .content("the message is empty") : nil
  }

  private func refusal(ofOwn id: String, _ what: String, _ job: SendJob) -> SendRefusal? {
    let isOwn = id.hasPrefix("\(SignalAPI.own):") && SignalAPI.parts(id, job.secrets) != nil
    return isOwn ? nil : SendRefusal(.notSupported, "only own messages can be \(what) on Signal")
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    let usesDaemon = SignalDaemon.isUsed(job.secrets)
    guard let answer = answers.last else {
      let request = usesDaemon ? SignalDaemon.request(job) : request(job)
      return request.map { .call($0) } ?? .impossible(displayName, "name that message")
    }
    if usesDaemon { return end(answer, job) }
    guard answer.isSuccess else {
      return .failed(
        SignalAPI.failure(answer, isRepeatable: isRepeatable(job.action), now: job.now))
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    if let json = answer.json,
      let failure = SignalAPI.failure(json, isDirect: job.conversation.kind == .direct)
    {
      return .failed(failure)
    }
    return Self.receipt(answer.json)
  }

  /// The answer of the daemon.
  private func end(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    let isDirect = job.conversation.kind == .direct
    switch SignalDaemon.result(
      answer, isDirect: isDirect, isRepeatable: isRepeatable(job.action), now: job.now)
    {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      guard case .message = job.action else { return .done(SendReceipt()) }
      if isDirect, let type = SignalDaemon.type(result) { return .failed(SignalAPI.failure(type: type)) }
      return Self.receipt(result)
    }
  }

  private static func receipt(_ json: JSONValue?) -> SendStep {
    guard let time = json?["timestamp"]?.identifier.flatMap({ Int64($0) }), time > 0 else { return .unnamed }
    return .done(
      SendReceipt(
        messageID: "\(SignalAPI.own):\(time)", sentAt: Timestamp(milliseconds: time).clamped))
  }

  private func request(_ job: SendJob) -> APIRequest? {
    let recipient = JSONValue.string(SignalAPI.recipient(job.conversation))
    switch job.action {
    case .message(let message): return self.message(message, recipient, job)
    case .edit(let edit):
      guard let target = SignalAPI.parts(edit.messageID, job.secrets) else { return nil }
      return send(
        [
          "recipients": [recipient], "message": .string(edit.text), "edit_timestamp": .integer(target.time),
        ], [], job, isRepeatable: true)
    case .delete(let id):
      return change("DELETE", "/v1/remote-delete", ["recipient": recipient], id, job)
    case .react(let id, let emoji, let isSet):
      guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
      return change(
        isSet ? "POST" : "DELETE", "/v1/reactions",
        ["recipient": recipient, "reaction": .string(emoji), "target_author": .string(target.author)], id, job
      )
    case .read(let id):
      guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
      return change(
        "POST", "/v1/receipts", ["recipient": .string(target.author), "receipt_type": "read"], id, job)
    case .typing(let isTyping):
      return SignalAPI.call(
        isTyping ? "PUT" : "DELETE", SignalAPI.path("/v1/typing-indicator", job.secrets), job.secrets,
        body: .json(["recipient": recipient]))
    }
  }

  private func change(
    _ method: String, _ path: String, _ members: [String: JSONValue], _ id: String, _ job: SendJob
  ) -> APIRequest? {
    guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
    let body = members.merging(["timestamp": .integer(target.time)]) { $1 }
    return SignalAPI.call(
      method, SignalAPI.path(path, job.secrets), job.secrets, body: .json(.object(body)))
  }

  private func message(
    _ message: OutboundMessage, _ recipient: JSONValue, _ job: SendJob
  ) -> APIRequest {
    var members: [String: JSONValue] = [
      "recipients": [recipient], "message": .string(message.text ?? ""),
    ]
    for name in ["sticker", "mentions", "text_mode", "link_preview", "view_once"] {
      members[name] = message.extras?[name]
    }
    if let reply = message.replyTo, let target = SignalAPI.parts(reply, job.secrets) {
      members["quote_timestamp"] = .integer(target.time)
      members["quote_author"] = .string(target.author)
      members["quote_message"] = message.extras?["quote_message"]
    }
    return send(members, message.files, job, isRepeatable: false)
  }

  private func send(
    _ members: [String: JSONValue], _ files: [OutboundFile], _ job: SendJob, isRepeatable: Bool
  ) -> APIRequest {
    var members = members
    members["number"] = .string(job.secrets.first(SignalAPI.numberField) ?? "")
    if !files.isEmpty { members["base64_attachments"] = .array(files.map { .string(SignalAPI.head($0)) }) }
    let places = files.indices.map { APIFilePlace(["base64_attachments", "\($0)"], file: $0) }
    let body = JSONValue.object(members)
    return SignalAPI.call(
      "POST", "/v2/send", job.secrets, body: places.isEmpty ? .json(body) : .jsonWithFiles(body, places),
      timeoutSeconds: 120, isRepeatable: isRepeatable)
  }
}
