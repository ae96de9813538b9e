import Bytes
import JSON
import Messaging

/// Sends over a channel (https://docs.bird.com/api/channels-api/api-reference/messaging). Files are fetched
/// by Bird. A message is told of as an event, with the key as its `reference`.
extension BirdPlatform: SendingPlatform {
  private static let address = "https://api.bird.com"
  private static let filesMax = 10

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    for field in [BirdAPI.keyField, BirdAPI.workspaceField] where job.secrets.first(field) == nil {
      return .lacking(field)
    }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    guard Self.place(job.conversation) != nil else { return .content("the conversation has no channel") }
    if message.files.count > Self.filesMax {
      return .content("a message has \(Self.filesMax) files at most")
    }
    let areImages = message.files.allSatisfy { $0.kind == .image }
    if !areImages && message.files.contains(where: { $0.kind == .image }) {
      return .content("images and other files go in messages of their own")
    }
    return BirdAPI.refusal(of: message, on: self, extras: ["body", "template"])
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action, let place = Self.place(job.conversation) else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    guard let answer = answers.last else { return .call(request(message, place, job)) }
    guard answer.isSuccess else { return .failed(BirdAPI.failure(answer, now: job.now)) }
    guard let id = answer.json?["id"]?.string else { return .unnamed }
    let time = answer.json?["createdAt"]?.string.flatMap { Timestamp(rfc3339: $0) }
    return .done(SendReceipt(messageID: id, sentAt: time?.clamped))
  }

  /// A conversation is a channel's id and an address; nil: it is the place for news of no conversation.
  private static func place(_ conversation: ConversationRef) -> (channel: String, address: String)? {
    let parts = conversation.externalID.split(separator: ":", maxSplits: 1)
    return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
  }

  private func request(
    _ message: OutboundMessage, _ place: (channel: String, address: String), _ job: SendJob
  ) -> APIRequest {
    var contact: [String: JSONValue] = ["identifierValue": .string(place.address)]
    if place.address.hasPrefix("+") { contact["identifierKey"] = "phonenumber" }
    var members: [String: JSONValue] = [
      "receiver": ["contacts": [.object(contact)]], "reference": .string(job.key),
    ]
    for name in ["template", "tags", "notification"] { members[name] = message.extras?[name] }
    if members["template"] == nil { members["body"] = message.extras?["body"] ?? Self.body(message) }
    let workspace = APIRequest.element(job.secrets.first(BirdAPI.workspaceField) ?? "")
    let channel = APIRequest.element(place.channel)
    return BirdAPI.call(
      "\(job.secrets.apiURL(Self.address))/workspaces/\(workspace)/channels/\(channel)/messages",
      .object(members), job.secrets)
  }

  private static func body(_ message: OutboundMessage) -> JSONValue {
    let text = message.text.flatMap { $0.isEmpty ? nil : $0 }
    guard let first = message.files.first else {
      return ["type": "text", "text": ["text": .string(text ?? "")]]
    }
    let isImage = first.kind == .image
    let files: [JSONValue] = message.files.map { file in
      isImage
        ? ["mediaUrl": .string(file.publicURL ?? "")]
        : [
          "mediaUrl": .string(file.publicURL ?? ""), "contentType": .string(file.mimeType),
          "filename": .string(file.name),
        ]
    }
    var content: [String: JSONValue] = [isImage ? "images" : "files": .array(files)]
    content["text"] = text.map { .string($0) }
    let type = isImage ? "image" : "file"
    return .object(["type": .string(type), type: .object(content)])
  }
}
