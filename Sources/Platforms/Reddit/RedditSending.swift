import Bytes
import JSON
import Messaging

/// Answers messages and comments. Everything is an answer: Reddit does not say which message a new
/// conversation began with.
extension RedditPlatform: SendingPlatform {
  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    if let fault = fault(in: job.secrets) { return SendRefusal(.missingCredentials, fault) }
    switch action {
    case .message(let message) where message.text?.isEmpty != false:
      return SendRefusal(.invalidContent, "a message needs a text")
    case .edit(let edit) where !edit.messageID.hasPrefix("t1_"):
      return SendRefusal(.notSupported, "Reddit edits comments only")
    case .delete(let id) where !id.hasPrefix("t1_"):
      return SendRefusal(.notSupported, "Reddit deletes comments only")
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else {
      return request(job).map { .call($0) } ?? .failed(APIFailure("Reddit cannot do that"))
    }
    guard answer.isSuccess else {
      return .failed(RedditAPI.failure(answer, isRepeatable: isRepeatable(job.action), now: job.now))
    }
    if let failure = RedditAPI.failure(inForm: answer.json) { return .failed(failure) }
    guard case .message = job.action else { return .done(SendReceipt()) }
    let made = answer.json?["json"]?["data"]?["things"]?[0]?["data"]
    guard let name = made?["name"]?.string else {
      return .failed(.unreadable("message", isRepeatable: false))
    }
    let seconds = made?["created_utc"]?.double.flatMap { Int64(exactly: $0.rounded(.down)) }
    return .done(SendReceipt(messageID: name, sentAt: seconds.map { Timestamp(seconds: $0).clamped }))
  }

  private func request(_ job: SendJob) -> APIRequest? {
    switch job.action {
    case .message(let message):
      let target = message.replyTo ?? job.lastInboundID ?? job.conversation.externalID
      return form(
        "api/comment", [("thing_id", target), ("text", message.text ?? "")], job, isRepeatable: false)
    case .edit(let edit):
      return form("api/editusertext", [("thing_id", edit.messageID), ("text", edit.text)], job)
    case .delete(let id): return form("api/del", [("id", id)], job)
    case .read(let id): return form("api/read_message", [("id", id)], job)
    case .react, .typing: return nil
    }
  }

  private func form(
    _ path: String, _ fields: [(String, String)], _ job: SendJob, isRepeatable: Bool = true
  ) -> APIRequest {
    RedditAPI.call(
      "POST", path, job.secrets, token: job.token, form: fields + [("api_type", "json"), ("raw_json", "1")],
      isRepeatable: isRepeatable)
  }
}
