import Bytes
import JSON
import Messaging

/// Answers of a Viber bot (https://developers.viber.com/docs/api/rest-bot-api/#send-message). Files are
/// fetched by Viber. The status is 200 always: a number in the body decides.
extension ViberPlatform: SendingPlatform {
  static let address = "https://chatapi.viber.com"
  static let senderField = "senderName"
  static let avatarField = "senderAvatar"
  private static let senderUnitsMax = 28
  private static let captionUnitsMax = 768
  private static let tooMany: Int64 = 12

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(Self.tokenField) != nil else { return .lacking(Self.tokenField) }
    guard job.secrets.first(Self.senderField) != nil else { return .lacking(Self.senderField) }
    guard job.conversation.kind == .direct else {
      return SendRefusal(.notSupported, "Viber bots write to one person only")
    }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    switch message.kind {
    case .sticker where message.extras?["sticker_id"] == nil:
      return .content("a sticker needs platform.sticker_id")
    case .location where message.extras?["location"]?.object == nil:
      return .content("a location needs platform.location {lat, lon}")
    case .contact where message.extras?["contact"]?.object == nil:
      return .content("a contact needs platform.contact {name, phone_number}")
    case .sticker, .location, .contact: return message.files.isEmpty ? nil : .content("it has no files")
    default: break
    }
    let isRich = message.extras?["rich_media"]?.object != nil
    let text = message.text ?? ""
    guard let file = message.files.first else {
      return text.isEmpty && !isRich ? .content("the message is empty") : nil
    }
    guard message.files.count == 1 else { return .content("a Viber message has one file") }
    return refusal(of: file, text)
  }

  private func refusal(of file: OutboundFile, _ text: String) -> SendRefusal? {
    guard file.publicURL != nil else { return .unreachable("Viber") }
    let type = Self.type(file)
    if !text.isEmpty && type != "picture" { return .content("only a picture has a text with it") }
    if text.utf16.count > Self.captionUnitsMax {
      return SendRefusal(.textTooLong, "a picture's text has \(Self.captionUnitsMax) characters at most")
    }
    let limit: Int64 = type == "picture" ? 1 << 20 : type == "video" ? 26 << 20 : 50 << 20
    return file.sizeBytes > limit ? .content("Viber takes \(limit) bytes of \(type) at most") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    guard let answer = answers.last else { return .call(request(message, job)) }
    guard answer.isSuccess else {
      return .failed(APIFailure(answer, isRepeatable: false, now: job.now))
    }
    guard let status = answer.json?["status"]?.integer else {
      return .failed(.unreadable(isRepeatable: false))
    }
    guard status == 0 else { return .failed(failure(status, answer, job)) }
    guard let token = answer.json?["message_token"]?.identifier else { return .unnamed }
    return .done(SendReceipt(messageID: token))
  }

  private func failure(_ status: Int64, _ answer: APIAnswer, _ job: SendJob) -> APIFailure {
    let words = answer.json?["status_message"]?.string ?? "Viber refused it"
    let reason = "\(status): \(words)"
    switch status {
    case Self.tooMany:
      return APIFailure(reason, .pauseAccount(seconds: RetryAfter.seconds(answer, now: job.now) ?? 5))
    case 2: return APIFailure(reason, .credentials(action: "give the account the bot's token"))
    case 7, 8, 9, 15:
      return APIFailure(reason, .credentials(action: "see in the bot's admin panel why it is blocked"))
    case 10: return APIFailure(reason, .credentials(action: "set the bot's webhook to the account's URL"))
    case 23, 24: return APIFailure(reason, .credentials(action: "see to the bot's billing"))
    case 1, 3...25: return APIFailure(reason)
    // What Viber calls a general error says nothing about the message.
    default: return APIFailure(reason, .unknown)
    }
  }

  // MARK: Messages

  private func request(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    let name = String((job.secrets.first(Self.senderField) ?? "").prefix(Self.senderUnitsMax))
    var sender: [String: JSONValue] = ["name": .string(name)]
    sender["avatar"] = job.secrets.first(Self.avatarField).map { .string($0) }
    var members = content(message)
    members["receiver"] = .string(job.conversation.externalID)
    members["sender"] = .object(sender)
    // Comes back with what the person answers.
    members["tracking_data"] = message.extras?["tracking_data"] ?? .string(job.key)
    for name in ["keyboard", "min_api_version"] { members[name] = message.extras?[name] }
    return APIRequest(
      "POST", "\(job.secrets.apiURL(Self.address))/pa/send_message",
      headers: [APIField("X-Viber-Auth-Token", job.secrets.first(Self.tokenField) ?? "")],
      body: .json(.object(members)))
  }

  private func content(_ message: OutboundMessage) -> [String: JSONValue] {
    let extras = message.extras
    if let rich = extras?["rich_media"] {
      return ["type": "rich_media", "rich_media": rich, "min_api_version": 7]
    }
    switch message.kind {
    case .sticker: return ["type": "sticker", "sticker_id": extras?["sticker_id"] ?? 0]
    case .location: return ["type": "location", "location": extras?["location"] ?? [:]]
    case .contact: return ["type": "contact", "contact": extras?["contact"] ?? [:]]
    default: break
    }
    let text = JSONValue.string(message.text ?? "")
    guard let file = message.files.first else { return ["type": "text", "text": text] }
    let type = Self.type(file)
    var members: [String: JSONValue] = ["type": .string(type), "media": .string(file.publicURL ?? "")]
    if type == "picture" { members["text"] = text } else { members["size"] = .integer(file.sizeBytes) }
    if type == "file" { members["file_name"] = .string(file.name) }
    members["thumbnail"] = extras?["thumbnail"]
    if type == "video" { members["duration"] = extras?["duration"] }
    return members
  }

  private static func type(_ file: OutboundFile) -> String {
    switch file.kind {
    case .image where ["image/jpeg", "image/png", "image/gif"].contains(file.mimeType): "picture"
    case .video where file.mimeType == "video/mp4": "video"
    default: "file"
    }
  }
}
