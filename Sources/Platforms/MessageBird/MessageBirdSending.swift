import Bytes
import JSON
import Messaging

/// Sends into conversations, by the channel on which the other side last wrote. Files are fetched by
/// MessageBird. A message is told of as an event, in the words that were sent.
extension MessageBirdPlatform: SendingPlatform {
  private static let address = "https://conversations.messagebird.com"
  private static let location = "location"
  /// What `platform` may have in place of a text: forms that only some channels know.
  private static let forms = ["hsm", "interactive", "location", "externalAttachment"]

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(BirdAPI.keyField) != nil else { return .lacking(BirdAPI.keyField) }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    if message.kind == .location && message.extras?[Self.location]?.object == nil {
      return .content("a location needs platform.location {latitude, longitude}")
    }
    if message.files.count > 1 { return .content("a message has one file") }
    return BirdAPI.refusal(of: message, on: self, extras: Self.forms)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    guard let answer = answers.last else { return .call(request(message, job)) }
    guard answer.isSuccess else { return .failed(BirdAPI.failure(answer, now: job.now)) }
    guard let id = answer.json?["id"]?.string else { return .unnamed }
    let time = answer.json?["createdDatetime"]?.string.flatMap { Timestamp(rfc3339: $0) }
    return .done(SendReceipt(messageID: id, sentAt: time?.clamped))
  }

  private func request(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    let (type, content) = Self.content(message)
    var members: [String: JSONValue] = ["type": .string(type), "content": [type: content]]
    for name in ["channelId", "reportUrl", "fallback", "tag"] { members[name] = message.extras?[name] }
    let conversation = APIRequest.element(job.conversation.externalID)
    return BirdAPI.call(
      "\(job.secrets.apiURL(Self.address))/v1/conversations/\(conversation)/messages", .object(members),
      job.secrets)
  }

  private static func content(_ message: OutboundMessage) -> (type: String, content: JSONValue) {
    for form in forms {
      if let content = message.extras?[form], content.object != nil { return (form, content) }
    }
    guard let file = message.files.first else { return ("text", .string(message.text ?? "")) }
    var content: [String: JSONValue] = ["url": .string(file.publicURL ?? "")]
    if let text = message.text, !text.isEmpty { content["caption"] = .string(text) }
    let type = file.kind == .sticker ? "file" : file.kind.rawValue
    return (type, .object(content))
  }
}
