import Bytes
import JSON
import Messaging

/// Writes messages into spaces. `requestId` makes a message that comes twice one message. Apps cannot upload
/// files: they go as links.
extension GoogleChatPlatform: SendingPlatform {
  /// Of a message, with its links.
  private static let bytesMax = 32_000
  private static let copied = ["cardsV2", "accessoryWidgets", "privateMessageViewer", "fallbackText"]

  func isRepeatable(_ action: OutboundAction) -> Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(GoogleChatAPI.keyField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(GoogleChatAPI.keyField)")
    }
    switch action {
    case .message(let message):
      guard message.files.allSatisfy({ $0.publicURL != nil }) else {
        return SendRefusal(
          .invalidContent, "apps in Google Chat send files as links: the hub needs an address for them")
      }
      return Self.text(message).utf8.count > Self.bytesMax ? Self.tooLong : nil
    case .edit(let edit): return edit.text.utf8.count > Self.bytesMax ? Self.tooLong : nil
    default: return nil
    }
  }

  private static let tooLong = SendRefusal(
    .textTooLong, "Google Chat takes \(bytesMax) bytes of UTF-8 at most, links to files among them")

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last, !answer.isSuccess, !isUnquotable(answer, job, answers) {
      if case .delete = job.action, answer.status == 404 { return .done(SendReceipt()) }
      return .failed(GoogleChatAPI.failure(answer, isRepeatable: true, now: job.now))
    }
    switch job.action {
    case .message(let message): return said(message, job, answers)
    case .edit(let edit):
      return single(
        "PATCH", edit.messageID, [("updateMask", "text")], ["text": .string(edit.text)], job, answers)
    case .delete(let name): return single("DELETE", name, [], nil, job, answers)
    case .react, .read, .typing: return .failed(APIFailure("an app in Google Chat cannot do that"))
    }
  }

  /// What is answered is gone, or not for the app to read, which sees only what is said to it: the answer
  /// goes into its thread all the same.
  private func isUnquotable(_ answer: APIAnswer, _ job: SendJob, _ answers: [APIAnswer]) -> Bool {
    guard case .message(let message) = job.action, message.replyTo != nil else { return false }
    return answers.count == 1 && [403, 404].contains(answer.status)
  }

  private func single(
    _ method: String, _ name: String, _ query: [(String, String?)], _ body: JSONValue?, _ job: SendJob,
    _ answers: [APIAnswer]
  ) -> SendStep {
    guard answers.isEmpty else { return .done(SendReceipt()) }
    return .call(
      GoogleChatAPI.call(
        method, name, job.secrets, token: job.token, query: query, body: body, isRepeatable: true))
  }

  /// What is quoted has to be named with the time of its last change, so it is asked for first.
  private func said(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    var quoted: JSONValue?
    var thread = message.threadID
    if let name = message.replyTo {
      guard let answer = rest.popFirst() else {
        return .call(GoogleChatAPI.call("GET", name, job.secrets, token: job.token))
      }
      let time = answer.json?["lastUpdateTime"] ?? answer.json?["createTime"]
      thread = thread ?? answer.json?["thread"]?["name"]?.string ?? message.replyThreadID
      if let time { quoted = ["name": .string(name), "lastUpdateTime": time] }
    }
    guard let answer = rest.popFirst() else { return .call(create(message, quoted, thread, job)) }
    guard let name = answer.json?["name"]?.string else { return .failed(.unreadable("message")) }
    return .done(
      SendReceipt(
        messageID: name,
        sentAt: answer.json?["createTime"]?.string.flatMap { Timestamp(rfc3339: $0)?.clamped }))
  }

  private static func text(_ message: OutboundMessage) -> String {
    let links = message.files.compactMap { file in
      file.publicURL.map { "<\($0)|\(file.name.filter { !"<>|\n".contains($0) })>" }
    }
    return ([message.text].compactMap { $0 } + links).filter { !$0.isEmpty }.joined(separator: "\n")
  }

  private func create(
    _ message: OutboundMessage, _ quoted: JSONValue?, _ thread: String?, _ job: SendJob
  ) -> APIRequest {
    var members: [String: JSONValue] = [:]
    for name in Self.copied { members[name] = message.extras?[name] }
    members["text"] = .string(Self.text(message))
    members["quotedMessageMetadata"] = quoted
    if let thread { members["thread"] = ["name": .string(thread)] }
    return GoogleChatAPI.call(
      "POST", job.conversation.externalID + "/messages", job.secrets, token: job.token,
      query: [
        ("requestId", job.key),
        ("messageReplyOption", thread == nil ? nil : "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"),
      ], body: .object(members), isRepeatable: true)
  }
}
