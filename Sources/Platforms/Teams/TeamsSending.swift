import Bytes
import JSON
import Messaging

/// Writes activities. Teams fetches pictures itself, and takes other files from bots only as links.
extension TeamsPlatform: SendingPlatform {
  private static let filesMax = 10
  private static let copied = ["attachments", "suggestedActions", "summary", "textFormat", "entities"]

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(TeamsAPI.passwordField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(TeamsAPI.passwordField)")
    }
    switch action {
    case .message(let message):
      if message.files.count > Self.filesMax {
        return SendRefusal(.invalidContent, "a message has \(Self.filesMax) files at most")
      }
      guard message.files.allSatisfy({ $0.publicURL != nil }) else {
        return SendRefusal(
          .invalidContent, "Teams fetches files itself: the hub needs an address that it can reach")
      }
      return nil
    case .read: return SendRefusal(.notSupported, "a bot in Teams cannot say what it read")
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else { return request(job).map { .call($0) } ?? Self.impossible }
    guard answer.isSuccess else {
      if case .delete = job.action, answer.status == 404 { return .done(SendReceipt()) }
      return .failed(TeamsAPI.failure(answer, isRepeatable: isRepeatable(job.action), now: job.now))
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    guard answer.json?.object != nil else { return .failed(.unreadable(isRepeatable: false)) }
    let id = answer.json?["id"]?.identifier.flatMap { $0.isEmpty ? nil : $0 }
    // Ids of messages are their times in milliseconds.
    let number = id.flatMap { Int64($0) }
    return .done(
      SendReceipt(
        messageID: id,
        sentAt: number.flatMap { $0 > 1_000_000_000_000 ? Timestamp(milliseconds: $0).clamped : nil },
        order: number))
  }

  private static let impossible = SendStep.failed(APIFailure("a bot in Teams cannot do that"))

  private func request(_ job: SendJob) -> APIRequest? {
    switch job.action {
    case .message(let message):
      let path = message.replyTo.map { "/" + APIRequest.element($0) } ?? ""
      return TeamsAPI.call(
        "POST", path, job, thread: message.threadID ?? message.replyThreadID, body: activity(message, job))
    case .edit(let edit):
      return TeamsAPI.call(
        "PUT", "/" + APIRequest.element(edit.messageID), job,
        body: ["type": "message", "text": .string(edit.text)])
    case .delete(let id): return TeamsAPI.call("DELETE", "/" + APIRequest.element(id), job)
    case .typing(let isTyping):
      // It ends by itself.
      guard isTyping else { return nil }
      return TeamsAPI.call("POST", "", job, body: ["type": "typing"])
    case .react, .read: return nil
    }
  }

  private func activity(_ message: OutboundMessage, _ job: SendJob) -> JSONValue {
    var members: [String: JSONValue] = ["type": "message"]
    for name in Self.copied { members[name] = message.extras?[name] }
    members["replyToId"] = message.replyTo.map { .string($0) }
    var lines = [message.text].compactMap { $0 }
    var pictures: [JSONValue] = []
    for file in message.files {
      guard let url = file.publicURL else { continue }
      if file.kind == .image {
        pictures.append([
          "contentType": .string(file.mimeType), "contentUrl": .string(url), "name": .string(file.name),
        ])
      } else {
        let name = String(file.name.filter { !"[]\n".contains($0) })
        lines.append("[\(name)](\(url))")
      }
    }
    if !pictures.isEmpty { members["attachments"] = .array((members["attachments"]?.array ?? []) + pictures) }
    members["text"] = .string(lines.filter { !$0.isEmpty }.joined(separator: "\n\n"))
    return .object(members)
  }
}
