import Bytes
import HTTPWire
import JSON
import Messaging
import Security

/// Answers to your own system: a request in the hub's own JSON to `sendURL`, signed after Standard Webhooks.
/// `webhook-id` is the same at every attempt, so the receiver can do it once. Documented in
/// Webhooks/custom/README.md.
extension CustomPlatform: SendingPlatform {
  static let sendURLField = "sendURL"

  func isRepeatable(_ action: OutboundAction) -> Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(Self.sendURLField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(Self.sendURLField) to send to")
    }
    guard signingSecret(job) != nil else {
      return SendRefusal(.missingCredentials, "the account's webhookSecret cannot sign: it is a public key")
    }
    // Files go as addresses.
    if case .message(let message) = action, message.files.contains(where: { $0.publicURL == nil }) {
      return .unreachable("your system")
    }
    return nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else { return call(job) }
    guard answer.isSuccess else {
      let reason = answer.json?["error"]?.string
      if answer.status == 401 || answer.status == 403 {
        let action = "see that the receiver has the account's webhookSecret"
        return .failed(
          APIFailure(reason ?? "the receiver refused the signature", .credentials(action: action)))
      }
      return .failed(APIFailure(answer, reason: reason, isRepeatable: true, now: job.now))
    }
    let id = answer.json?["messageId"]?.identifier.flatMap { MessageText.name($0) }
    guard case .message = job.action else { return .done(SendReceipt()) }
    return .done(
      SendReceipt(
        messageID: id ?? job.key,
        sentAt: answer.json?["sentAt"]?.string.flatMap { Timestamp(rfc3339: $0) }))
  }

  private func signingSecret(_ job: SendJob) -> StandardWebhooks.Secret? {
    for text in job.secrets[Self.secretField] {
      guard let secret = StandardWebhooks.Secret(text) else { continue }
      if case .verifying = secret { continue }
      return secret
    }
    return nil
  }

  private func call(_ job: SendJob) -> SendStep {
    guard let address = job.secrets.first(Self.sendURLField), let secret = signingSecret(job) else {
      return .failed(APIFailure("there is nowhere to send to"))
    }
    let body = Self.document(job).encoded()
    guard
      let signature = StandardWebhooks.sign(
        id: job.key, timestamp: job.now.seconds, body: body, secret: secret)
    else { return .failed(APIFailure("the webhookSecret cannot sign")) }
    return .call(
      APIRequest(
        "POST", address,
        headers: [
          APIField("webhook-id", job.key), APIField("webhook-timestamp", String(job.now.seconds)),
          APIField("webhook-signature", signature),
        ], body: .bytes(body, type: "application/json"), isRepeatable: true))
  }

  // MARK: Documents

  private static func document(_ job: SendJob) -> JSONValue {
    var members = content(job.action)
    members["conversation"] = [
      "id": .string(job.conversation.externalID), "kind": .string(job.conversation.kind.rawValue),
    ]
    return .object(members)
  }

  private static func content(_ action: OutboundAction) -> [String: JSONValue] {
    switch action {
    case .message(let message): return ["type": "message", "message": self.message(message)]
    case .edit(let edit):
      return [
        "type": "message.edited", "message": ["id": .string(edit.messageID), "text": .string(edit.text)],
      ]
    case .delete(let id): return ["type": "message.deleted", "message": ["id": .string(id)]]
    case .react(let id, let emoji, let isSet):
      return [
        "type": "reaction", "message": ["id": .string(id)],
        "reaction": ["emoji": .string(emoji), "action": isSet ? "add" : "remove"],
      ]
    case .read(let id): return ["type": "read", "message": ["id": .string(id)]]
    case .typing(let isTyping): return ["type": "typing", "isTyping": .bool(isTyping)]
    }
  }

  private static func message(_ message: OutboundMessage) -> JSONValue {
    var members: [String: JSONValue] = ["kind": .string(message.kind.rawValue)]
    members["text"] = message.text.map { .string($0) }
    members["replyTo"] = message.replyTo.map { .string($0) }
    members["threadId"] = message.threadID.map { .string($0) }
    members["platform"] = message.extras
    if !message.files.isEmpty { members["attachments"] = .array(message.files.map(file)) }
    return .object(members)
  }

  private static func file(_ file: OutboundFile) -> JSONValue {
    var members: [String: JSONValue] = [
      "kind": .string(file.kind.rawValue), "name": .string(file.name), "mimeType": .string(file.mimeType),
      "size": .integer(file.sizeBytes),
    ]
    members["url"] = file.publicURL.map { .string($0) }
    return .object(members)
  }
}
