import Bytes
import HTTPWire
import JSON
import Messaging

/// Sends over Programmable Messaging, and into Conversations (`CH...`)
/// (https://www.twilio.com/docs/messaging/api/message-resource). Neither does a message once by a key.
extension TwilioPlatform: SendingPlatform {
  static let sidField = "accountSid"
  static let fromField = "from"
  static let serviceField = "messagingServiceSid"
  static let callbackField = "statusCallback"
  static let chatField = "chatServiceSid"
  private static let address = "https://api.twilio.com"
  private static let conversationsAddress = "https://conversations.twilio.com"
  private static let mediaAddress = "https://mcs.us1.twilio.com"
  private static let mediaMax = 10
  private static let mediaBytesMax: Int64 = 16 << 20

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    for field in [Self.sidField, Self.tokenField] where job.secrets.first(field) == nil {
      return .lacking(field)
    }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    let isConversation = Self.isConversation(job)
    if !isConversation && job.secrets.first(Self.fromField) == nil
      && job.secrets.first(Self.serviceField) == nil
    {
      return .lacking("\(Self.fromField) or \(Self.serviceField)")
    }
    if (message.text ?? "").isEmpty && message.files.isEmpty && message.extras?["contentSid"] == nil {
      return .content("the message is empty")
    }
    if message.files.count > Self.mediaMax { return .content("Twilio takes \(Self.mediaMax) files at most") }
    if isConversation {
      let isMissing = !message.files.isEmpty && job.secrets.first(Self.chatField) == nil
      return isMissing ? .lacking(Self.chatField) : nil
    }
    if message.files.contains(where: { $0.publicURL == nil }) { return .unreachable("Twilio") }
    let size = message.files.reduce(Int64(0)) { $0 &+ $1.sizeBytes }
    return size > Self.mediaBytesMax ? .content("Twilio takes 16 MB of files at most") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    // Conversations take files by the ids under which they were stored before.
    let uploads = Self.isConversation(job) ? message.files : []
    var media: [String] = []
    for (index, file) in uploads.enumerated() {
      guard answers.count > index else { return .call(upload(file, index, job)) }
      guard answers[index].isSuccess else {
        return .failed(failure(answers[index], job, isRepeatable: true))
      }
      guard let sid = answers[index].json?["sid"]?.string else {
        return .failed(.unreadable(isRepeatable: true))
      }
      media.append(sid)
    }
    guard let answer = answers.dropFirst(uploads.count).last else {
      return .call(request(message, media, job))
    }
    return end(answer, job)
  }

  private func end(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    guard answer.isSuccess else { return .failed(failure(answer, job)) }
    guard let json = answer.json else { return .failed(.unreadable(isRepeatable: false)) }
    guard let sid = json["sid"]?.string else { return .unnamed }
    let status = json["status"]?.string.flatMap { TwilioMessage.status($0) } ?? .sent
    if status == .failed {
      let code = json["error_code"]?.identifier.map { "\($0): " } ?? ""
      return .failed(APIFailure(code + (json["error_message"]?.string ?? "it was not sent")))
    }
    return .done(
      SendReceipt(
        messageID: sid, sentAt: Self.time(json["date_created"]?.string), order: json["index"]?.integer,
        status: status == .queued ? .sent : status))
  }

  // MARK: Failures

  private func failure(_ answer: APIAnswer, _ job: SendJob, isRepeatable: Bool = false) -> APIFailure {
    let code = answer.json?["code"]?.integer ?? 0
    let words = answer.json?["message"]?.string
    let reason = words.map { code == 0 ? $0 : "\(code): \($0)" }
    let wait = RetryAfter.seconds(answer, now: job.now)
    switch code {
    case 20_003, 20_005, 20_006, 20_008:
      return APIFailure(
        reason ?? "not authenticated", .credentials(action: "give the account its SID and auth token"))
    case 20_429, 14_107, 30_022: return APIFailure(reason ?? "too many", .pauseAccount(seconds: wait ?? 5))
    // The queue of the sending number is full.
    case 30_001, 21_611: return APIFailure(reason ?? "the queue is full", .later(seconds: wait ?? 60))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: job.now)
    }
  }

  // MARK: Calls

  private static func isConversation(_ job: SendJob) -> Bool {
    let id = job.conversation.externalID
    return id.hasPrefix("CH") && id.utf8.count == 34
  }

  private func upload(_ file: OutboundFile, _ index: Int, _ job: SendJob) -> APIRequest {
    let service = APIRequest.element(job.secrets.first(Self.chatField) ?? "")
    let url = "\(job.secrets.apiURL(Self.mediaAddress))/v1/Services/\(service)/Media"
    return APIRequest(
      "POST", APIRequest.url(url, [("Filename", file.name)]), headers: [login(job)],
      body: .file(index, type: file.mimeType), timeoutSeconds: 120, isRepeatable: true)
  }

  private func login(_ job: SendJob) -> APIField {
    let sid = job.secrets.first(Self.sidField) ?? ""
    let token = job.secrets.first(Self.tokenField) ?? ""
    return APIField("Authorization", "Basic " + Base64.encode(Array("\(sid):\(token)".utf8)))
  }

  private func request(_ message: OutboundMessage, _ media: [String], _ job: SendJob) -> APIRequest {
    let secrets = job.secrets
    let sid = secrets.first(Self.sidField) ?? ""
    var fields: [APIField] = []
    if let text = message.text, !text.isEmpty { fields.append(APIField("Body", text)) }
    if let content = message.extras?["contentSid"]?.string { fields.append(APIField("ContentSid", content)) }
    if let values = message.extras?["contentVariables"] {
      let text = values.string ?? String(decoding: values.encoded(), as: UTF8.self)
      fields.append(APIField("ContentVariables", text))
    }
    let url: String
    if Self.isConversation(job) {
      let id = APIRequest.element(job.conversation.externalID)
      url = "\(secrets.apiURL(Self.conversationsAddress))/v1/Conversations/\(id)/Messages"
      if let author = message.extras?["author"]?.string { fields.append(APIField("Author", author)) }
      fields += media.map { APIField("MediaSid", $0) }
    } else {
      url = "\(secrets.apiURL(Self.address))/2010-04-01/Accounts/\(APIRequest.element(sid))/Messages.json"
      fields += sender(job) + message.files.compactMap(\.publicURL).map { APIField("MediaUrl", $0) }
    }
    return APIRequest("POST", url, headers: [login(job)], body: .form(fields))
  }

  /// A number sends over the channel of the one it writes to: `whatsapp:` leads both.
  private func sender(_ job: SendJob) -> [APIField] {
    let to = job.conversation.externalID
    var fields = [APIField("To", to)]
    if let service = job.secrets.first(Self.serviceField) {
      fields.append(APIField("MessagingServiceSid", service))
    } else if let from = job.secrets.first(Self.fromField) {
      let channel = to.split(separator: ":", maxSplits: 1).count == 2 ? to.prefix { $0 != ":" } + ":" : ""
      fields.append(APIField("From", from.contains(":") ? from : channel + from))
    }
    if let callback = job.secrets.first(Self.callbackField) {
      fields.append(APIField("StatusCallback", callback))
    }
    return fields
  }

  /// RFC 2822 in one product, RFC 3339 in the other.
  private static func time(_ text: String?) -> Timestamp? {
    guard let text, text.utf8.count <= 64 else { return nil }
    if let time = Timestamp(rfc3339: text) { return time.clamped }
    let date = text.hasSuffix("+0000") ? text.dropLast(5) + "GMT" : text[...]
    return HTTPDate.parse(date).map { Timestamp(seconds: Int64($0)).clamped }
  }
}
