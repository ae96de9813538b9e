import Bytes
import JSON
import Messaging

/// Writes statuses: to the person of the conversation, who is mentioned, as visible as what is answered and
/// else to that person alone. `Idempotency-Key` makes a status that comes twice one.
extension MastodonPlatform: SendingPlatform {
  private static let filesMax = 4
  /// Seconds before each question about one file until it is ready: a film takes some.
  private static let questionSeconds: [Double] = [0.5, 1, 2, 4, 8, 15, 15, 15]
  private static let favourites: Set<String> = ["⭐", "❤", "👍"]
  private static let copied = ["spoiler_text", "sensitive", "language", "poll", "scheduled_at"]

  var echoes: Bool { true }

  func isRepeatable(_ action: OutboundAction) -> Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard MastodonAPI.canCall(job.secrets) else {
      return SendRefusal(
        .missingCredentials,
        "the account has no \(MastodonAPI.serverField) or no \(MastodonAPI.tokenField)")
    }
    switch action {
    case .message(let message) where message.files.count > Self.filesMax:
      return SendRefusal(.invalidContent, "a status has \(Self.filesMax) files at most")
    case .react(_, let emoji, _) where !Self.favourites.contains(Self.plain(emoji)):
      return SendRefusal(.invalidContent, "Mastodon has one reaction: the favourite, ⭐")
    default: return nil
    }
  }

  private static func plain(_ emoji: String) -> String {
    String(String.UnicodeScalarView(emoji.unicodeScalars.filter { $0.value != 0xfe0f }))
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    switch job.action {
    case .message(let message): return said(message, job, answers)
    case .edit(let edit): return edited(edit, job, answers)
    case .delete(let id):
      return single("DELETE", "v1/statuses/\(APIRequest.element(id))", job, answers, isGone: true)
    case .react(let id, _, let isSet):
      let verb = isSet ? "favourite" : "unfavourite"
      return single("POST", "v1/statuses/\(APIRequest.element(id))/\(verb)", job, answers)
    case .read, .typing: return .failed(APIFailure("Mastodon cannot do that"))
    }
  }

  private func single(
    _ method: String, _ path: String, _ job: SendJob, _ answers: [APIAnswer], isGone: Bool = false
  ) -> SendStep {
    guard let answer = answers.last else {
      return .call(MastodonAPI.call(method, path, job.secrets, isRepeatable: true))
    }
    if answer.isSuccess || (isGone && answer.status == 404) { return .done(SendReceipt()) }
    return failed(answer, job)
  }

  private func failed(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    .failed(MastodonAPI.failure(answer, isRepeatable: true, now: job.now))
  }

  // MARK: Messages

  /// What is answered, or else whom it is for; then the files; then the status.
  private func said(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    // Ids of other things that came from this person are no numbers.
    let target = message.replyTo ?? job.lastInboundID.flatMap { UInt64($0) == nil ? nil : $0 }
    var answered: JSONValue?
    if let target {
      guard let answer = rest.popFirst() else {
        return .call(MastodonAPI.call("GET", "v1/statuses/\(APIRequest.element(target))", job.secrets))
      }
      if !answer.isSuccess, answer.status != 404 { return failed(answer, job) }
      answered = answer.isSuccess ? answer.json : nil
    }
    var account =
      answered?["account"]?["id"]?.identifier == job.conversation.externalID
      ? answered?["account"]?["acct"]?.string : nil
    if account == nil {
      guard let answer = rest.popFirst() else {
        let path = "v1/accounts/\(APIRequest.element(job.conversation.externalID))"
        return .call(MastodonAPI.call("GET", path, job.secrets))
      }
      guard answer.isSuccess else { return failed(answer, job) }
      account = answer.json?["acct"]?.string
    }
    guard let account else { return .failed(.unreadable("account")) }
    var media: [JSONValue] = []
    while media.count < message.files.count {
      switch uploaded(media.count, message, job, &rest) {
      case .ready(let id): media.append(.string(id))
      case .step(let step): return step
      }
    }
    guard let answer = rest.popFirst() else {
      return .call(status(message, account, answered, media, job))
    }
    guard answer.isSuccess else { return failed(answer, job) }
    guard let id = answer.json?["id"]?.identifier else { return .failed(.unreadable("status")) }
    let time = answer.json?["created_at"]?.string.flatMap { Timestamp(rfc3339: $0)?.clamped }
    return .done(SendReceipt(messageID: id, sentAt: time))
  }

  private func status(
    _ message: OutboundMessage, _ account: String, _ answered: JSONValue?, _ media: [JSONValue],
    _ job: SendJob
  ) -> APIRequest {
    var members: [String: JSONValue] = [:]
    for name in Self.copied { members[name] = message.extras?[name] }
    members["status"] = .string(Self.mentioning(account, message.text ?? ""))
    members["visibility"] = message.extras?["visibility"] ?? answered?["visibility"] ?? "direct"
    members["in_reply_to_id"] = answered?["id"]
    if !media.isEmpty { members["media_ids"] = .array(media) }
    return MastodonAPI.call(
      "POST", "v1/statuses", job.secrets, body: .json(.object(members)), isRepeatable: true
    ).adding("Idempotency-Key", job.key)
  }

  /// A direct status goes to those whom it mentions and to nobody else, so the person has to be among them:
  /// `@ada` is not mentioned by `@adam`, nor by `@ada@elsewhere.example`.
  private static func mentioning(_ account: String, _ text: String) -> String {
    let wanted = Array(("@" + account).lowercased().utf8)
    let bytes = Array(text.lowercased().utf8)
    var start = 0
    while let place = bytes[start...].firstPlace(of: wanted) {
      let before = place.lowerBound > 0 ? bytes[place.lowerBound - 1] : nil
      let after = place.upperBound < bytes.count ? bytes[place.upperBound] : nil
      if !isOfName(before), !isOfName(after) { return text }
      start = place.upperBound
    }
    return "@\(account) \(text)"
  }

  /// What joins a name to what stands beside it. Where that is not certain, a second mention does no harm.
  private static func isOfName(_ byte: UInt8?) -> Bool {
    guard let byte else { return false }
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...: return true
    default: return "_.-@/=:".utf8.contains(byte)
    }
  }

  // MARK: Files

  private enum Upload {
    case ready(String)
    case step(SendStep)
  }

  /// A large file is taken at once and ready later.
  private func uploaded(
    _ index: Int, _ message: OutboundMessage, _ job: SendJob, _ rest: inout ArraySlice<APIAnswer>
  ) -> Upload {
    guard var answer = rest.popFirst() else {
      let file = message.files[index]
      var request = MastodonAPI.call(
        "POST", "v2/media", job.secrets,
        body: .multipart([APIPart("file", file: index, filename: file.name, type: file.mimeType)]),
        isRepeatable: true)
      request.timeoutSeconds = 120
      return .step(.call(request))
    }
    for seconds in Self.questionSeconds {
      guard answer.isSuccess else { return .step(failed(answer, job)) }
      guard let id = answer.json?["id"]?.identifier else { return .step(.failed(.unreadable("file"))) }
      guard [202, 206].contains(answer.status) else { return .ready(id) }
      guard let next = rest.popFirst() else {
        let question = MastodonAPI.call("GET", "v1/media/\(APIRequest.element(id))", job.secrets)
        return .step(.call(question.after(seconds: seconds)))
      }
      answer = next
    }
    return .step(.failed(APIFailure("the server is still busy with the file", .later(seconds: 30))))
  }

  // MARK: Edits

  /// An edit says everything anew: whom it is for, and the files.
  private func edited(_ edit: OutboundEdit, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    let path = "v1/statuses/\(APIRequest.element(edit.messageID))"
    guard let before = answers.first else { return .call(MastodonAPI.call("GET", path, job.secrets)) }
    guard let last = answers.last, last.isSuccess else { return failed(answers[answers.count - 1], job) }
    guard answers.count == 1 else { return .done(SendReceipt()) }
    var members: [String: JSONValue] = [:]
    for name in ["spoiler_text", "sensitive", "language"] { members[name] = before.json?[name] }
    let mentions = before.json?["mentions"]?.array ?? []
    let person = mentions.first { $0["id"]?.identifier == job.conversation.externalID } ?? mentions.first
    let account = person?["acct"]?.string
    members["status"] = .string(account.map { Self.mentioning($0, edit.text) } ?? edit.text)
    let media = (before.json?["media_attachments"]?.array ?? []).compactMap { $0["id"] }
    if !media.isEmpty { members["media_ids"] = .array(media) }
    return .call(MastodonAPI.call("PUT", path, job.secrets, body: .json(.object(members))))
  }
}
