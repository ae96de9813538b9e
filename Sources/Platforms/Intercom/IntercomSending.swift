import Bytes
import JSON
import Messaging

/// Answers customers in the name of a teammate. Files go by address: Intercom fetches them.
extension IntercomPlatform: SendingPlatform {
  private static let filesMax = 10

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(IntercomAPI.tokenField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(IntercomAPI.tokenField)")
    }
    guard case .message(let message) = action else { return nil }
    if message.files.count > Self.filesMax {
      return SendRefusal(.invalidContent, "a reply has \(Self.filesMax) files at most")
    }
    guard message.files.allSatisfy({ $0.publicURL != nil }) else {
      return SendRefusal(
        .invalidContent, "Intercom fetches files itself: the hub needs an address that it can reach")
    }
    return nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last, !answer.isSuccess {
      // To ask who one is changes nothing.
      let isRepeatable = answers.count == 1 && job.secrets.first(IntercomAPI.adminField) == nil
      return .failed(IntercomAPI.failure(answer, isRepeatable: isRepeatable, now: job.now))
    }
    guard case .message(let message) = job.action else {
      return .failed(APIFailure("Intercom cannot do that"))
    }
    var rest = answers[...]
    var admin = job.secrets.first(IntercomAPI.adminField)
    if admin == nil {
      guard let answer = rest.popFirst() else { return .call(IntercomAPI.call("GET", "me", job.secrets)) }
      admin = answer.json?["id"]?.identifier
    }
    guard let admin else { return .failed(.unreadable("teammate")) }
    guard let answer = rest.popFirst() else { return .call(reply(message, admin, job)) }
    return receipt(answer, admin)
  }

  private func reply(_ message: OutboundMessage, _ admin: String, _ job: SendJob) -> APIRequest {
    // A note is for teammates only.
    let type = message.extras?["message_type"] ?? "comment"
    var members: [String: JSONValue] = [
      "message_type": type, "type": "admin", "admin_id": .string(admin),
      "body": .string(IntercomAPI.html(message.text ?? "")),
    ]
    let files = message.files.compactMap { $0.publicURL }.map { JSONValue.string($0) }
    if !files.isEmpty { members["attachment_urls"] = .array(files) }
    let path = "conversations/\(APIRequest.element(job.conversation.externalID))/reply"
    return IntercomAPI.call("POST", path, job.secrets, body: .object(members))
  }

  /// The answer is the whole conversation; the newest part of the teammate is what was said.
  private func receipt(_ answer: APIAnswer, _ admin: String) -> SendStep {
    let parts = answer.json?["conversation_parts"]?["conversation_parts"]?.array ?? []
    let own = parts.filter { part in
      part["author"]?["id"]?.identifier == admin && part["id"]?.identifier != nil
    }
    let newest = own.max { left, right in
      (left["created_at"]?.integer ?? 0, left["id"]?.identifier.flatMap { Int64($0) } ?? 0)
        < (right["created_at"]?.integer ?? 0, right["id"]?.identifier.flatMap { Int64($0) } ?? 0)
    }
    guard let newest else { return .failed(.unreadable("conversation", isRepeatable: false)) }
    return .done(
      SendReceipt(
        messageID: newest["id"]?.identifier,
        sentAt: newest["created_at"]?.integer.map { Timestamp(seconds: $0).clamped }))
  }
}
