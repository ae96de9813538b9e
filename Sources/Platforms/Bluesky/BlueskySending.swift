import Bytes
import JSON
import Messaging

/// Writes into conversations: texts and reactions.
extension BlueskyPlatform: SendingPlatform {
  /// Characters as people count them.
  private static let charactersMax = 1_000
  /// Of UTF-8, whatever the characters are.
  private static let bytesMax = 10_000
  private static let copied = ["facets", "embed"]

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard fault(in: job.secrets) == nil else {
      return SendRefusal(.missingCredentials, fault(in: job.secrets) ?? "")
    }
    switch action {
    case .message(let message) where (message.text?.count ?? 0) > Self.charactersMax:
      return SendRefusal(.textTooLong, "Bluesky takes \(Self.charactersMax) characters at most")
    case .message(let message) where (message.text?.utf8.count ?? 0) > Self.bytesMax:
      return SendRefusal(.textTooLong, "Bluesky takes \(Self.bytesMax) bytes of UTF-8 at most")
    case .message(let message) where message.text?.isEmpty != false:
      return SendRefusal(.invalidContent, "a message needs a text")
    case .react(_, let emoji, _) where emoji.count != 1:
      return SendRefusal(.invalidContent, "a reaction is one emoji")
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else {
      return request(job).map { .call($0) } ?? .failed(APIFailure("Bluesky cannot do that"))
    }
    guard answer.isSuccess else {
      // It is as it should be.
      let code = answer.json?["error"]?.string
      if case .react(_, _, true) = job.action, code == "ReactionAlreadyExists" { return .done(SendReceipt()) }
      return .failed(BlueskyAPI.failure(answer, isRepeatable: isRepeatable(job.action), now: job.now))
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    guard let id = answer.json?["id"]?.string else {
      return .failed(.unreadable("message", isRepeatable: false))
    }
    let time = answer.json?["sentAt"]?.string.flatMap { Timestamp(rfc3339: $0)?.clamped }
    return .done(SendReceipt(messageID: id, sentAt: time))
  }

  private func request(_ job: SendJob) -> APIRequest? {
    let place = JSONValue.string(job.conversation.externalID)
    switch job.action {
    case .message(let message):
      var content: [String: JSONValue] = ["text": .string(message.text ?? "")]
      for name in Self.copied { content[name] = message.extras?[name] }
      if let reply = message.replyTo { content["replyTo"] = ["messageId": .string(reply)] }
      return call("sendMessage", ["convoId": place, "message": .object(content)], job, isRepeatable: false)
    case .react(let id, let emoji, let isSet):
      return call(
        isSet ? "addReaction" : "removeReaction",
        ["convoId": place, "messageId": .string(id), "value": .string(emoji)], job, isRepeatable: true)
    case .read(let id):
      return call("updateRead", ["convoId": place, "messageId": .string(id)], job, isRepeatable: true)
    case .edit, .delete, .typing: return nil
    }
  }

  private func call(_ name: String, _ body: JSONValue, _ job: SendJob, isRepeatable: Bool) -> APIRequest {
    BlueskyAPI.chat("POST", name, job.secrets, token: job.token, body: body, isRepeatable: isRepeatable)
  }
}
