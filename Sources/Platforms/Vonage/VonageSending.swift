import Bytes
import JSON
import Messaging

/// Sends over the Messages API, or as an SMS over the older one. Files are fetched by Vonage. Neither does a
/// message once by a key; statuses bring the key back as `client_ref`.
extension VonagePlatform: SendingPlatform {
  private static let whatsApp = "whatsapp"

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    if let lacking = VonageAPI.lacking(job.secrets) { return lacking }
    let place = Place(job.conversation)
    switch action {
    case .message(let message):
      if from(message, job) == nil { return .lacking(VonageAPI.fromField) }
      return VonageAPI.sendsSMS(job.secrets) ? refusal(ofSMS: message, place) : refusal(of: message, place)
    case .react, .read:
      let isThere = place.channel == Self.whatsApp && !VonageAPI.sendsSMS(job.secrets)
      return isThere ? nil : SendRefusal(.notSupported, "Vonage takes \(action.name) on WhatsApp only")
    case .edit, .delete, .typing: return .oneWay(displayName, action)
    }
  }

  private func refusal(of message: OutboundMessage, _ place: Place) -> SendRefusal? {
    if message.replyTo != nil && place.channel != Self.whatsApp {
      return SendRefusal(.notSupported, "Vonage quotes messages on WhatsApp only")
    }
    if let type = message.extras?["message_type"]?.string {
      return message.extras?[type] == nil ? .content("platform.\(type) is missing") : nil
    }
    guard let file = message.files.first else {
      return (message.text ?? "").isEmpty ? .content("the message is empty") : nil
    }
    if message.files.count > 1 { return .content("a message has one file") }
    return file.publicURL == nil ? .unreachable(displayName) : nil
  }

  private func refusal(ofSMS message: OutboundMessage, _ place: Place) -> SendRefusal? {
    guard place.channel == nil else {
      return SendRefusal(.notSupported, "the SMS API writes to numbers only: set api to messages")
    }
    if message.replyTo != nil { return SendRefusal(.notSupported, "an SMS quotes no message") }
    guard message.files.isEmpty else {
      return SendRefusal(.kindNotSupported, "the SMS API takes no files: set api to messages")
    }
    return (message.text ?? "").isEmpty ? .content("the message is empty") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else {
      return request(job).map { .call($0) } ?? .impossible(displayName, "\(job.action.name) messages")
    }
    if case .message = job.action, VonageAPI.sendsSMS(job.secrets) { return endOfSMS(answer, job) }
    guard answer.isSuccess else {
      return .failed(VonageAPI.failure(answer, isRepeatable: isRepeatable(job.action), now: job.now))
    }
    guard case .message = job.action else { return .done(SendReceipt()) }
    guard let id = answer.json?["message_uuid"]?.string else { return .unnamed }
    return .done(SendReceipt(messageID: id))
  }

  /// A long text goes in parts; the first names the message.
  private func endOfSMS(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    let message = answer.json?["messages"]?[0]
    guard answer.isSuccess, message?["status"]?.identifier == "0" else {
      return .failed(VonageAPI.failure(ofSMS: message, answer, now: job.now))
    }
    guard let id = message?["message-id"]?.identifier else { return .unnamed }
    return .done(SendReceipt(messageID: id))
  }

  // MARK: Names

  /// Where a conversation is: `channel:address`, or a number.
  private struct Place {
    /// nil: SMS, or MMS when there are files.
    var channel: String?
    var address: String

    init(_ conversation: ConversationRef) {
      let parts = conversation.externalID.split(separator: ":", maxSplits: 1)
      channel = parts.count == 2 ? String(parts[0]) : nil
      address = parts.last.map(String.init) ?? ""
    }
  }

  /// The number that the other side wrote to, unless somebody says another.
  private func from(_ message: OutboundMessage?, _ job: SendJob) -> String? {
    let written = job.lastInboundDetails?["to"]
    return message?.extras?["from"]?.string ?? written?.identifier ?? written?["number"]?.identifier
      ?? written?["id"]?.identifier ?? job.secrets.first(VonageAPI.fromField)
  }

  // MARK: Calls

  private func request(_ job: SendJob) -> APIRequest? {
    switch job.action {
    case .message(let message):
      if VonageAPI.sendsSMS(job.secrets) { return sms(message, job) }
      return send(content(message, Place(job.conversation)), message, job)
    case .react(let id, let emoji, let isSet):
      var reaction: [String: JSONValue] = ["action": isSet ? "react" : "unreact"]
      if isSet { reaction["emoji"] = .string(emoji) }
      var request = send(
        [
          "message_type": "reaction", "reaction": .object(reaction), "context": ["message_uuid": .string(id)],
          "channel": .string(Self.whatsApp),
        ], nil, job)
      request.isRepeatable = true
      return request
    case .read(let id):
      return VonageAPI.call("PATCH", VonageAPI.url(ofMessage: id, job), ["status": "read"], job)
    case .edit, .delete, .typing: return nil
    }
  }

  private func send(
    _ content: [String: JSONValue], _ message: OutboundMessage?, _ job: SendJob
  ) -> APIRequest {
    var members = content
    members["to"] = .string(Place(job.conversation).address)
    members["from"] = .string(from(message, job) ?? "")
    members["client_ref"] = .string(job.key)
    return VonageAPI.call(
      "POST", "\(job.secrets.apiURL(VonageAPI.address))/v1/messages", .object(members), job)
  }

  private func content(_ message: OutboundMessage, _ place: Place) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    if let reply = message.replyTo { members["context"] = ["message_uuid": .string(reply)] }
    for name in ["whatsapp", "messenger", "viber_service", "rcs", "sms", "ttl", "webhook_url"] {
      members[name] = message.extras?[name]
    }
    members["channel"] = .string(place.channel ?? (message.files.isEmpty ? "sms" : "mms"))
    if let type = message.extras?["message_type"]?.string {
      members["message_type"] = .string(type)
      members[type] = message.extras?[type]
      return members
    }
    guard let file = message.files.first else {
      members["message_type"] = "text"
      members["text"] = .string(message.text ?? "")
      return members
    }
    let type = Self.type(file)
    var content: [String: JSONValue] = ["url": .string(file.publicURL ?? "")]
    if let text = message.text, !text.isEmpty { content["caption"] = .string(text) }
    if type == "file" { content["name"] = .string(file.name) }
    members["message_type"] = .string(type)
    members[type] = .object(content)
    return members
  }

  private static func type(_ file: OutboundFile) -> String {
    switch file.kind {
    case .image: "image"
    case .video: "video"
    case .audio: "audio"
    case .sticker, .file: "file"
    }
  }

  private func sms(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    let text = message.text ?? ""
    var form = [
      APIField("api_key", job.secrets.first(VonageAPI.keyField) ?? ""),
      APIField("api_secret", job.secrets.first(VonageAPI.secretField) ?? ""),
      APIField("from", from(message, job) ?? ""), APIField("to", job.conversation.externalID),
      APIField("text", text), APIField("client-ref", job.key),
    ]
    // What the alphabet of GSM does not have would become question marks.
    if !text.utf8.allSatisfy({ $0 < 0x80 }) { form.append(APIField("type", "unicode")) }
    return APIRequest(
      "POST", "\(job.secrets.apiURL(VonageAPI.smsAddress))/sms/json", body: .form(form))
  }
}
