import Bytes
import JSON
import MailWire
import Messaging

/// Mail over the Email API (https://postmarkapp.com/developer/api/email-api). Nothing makes a call that comes
/// twice one mail.
extension PostmarkPlatform: SendingPlatform {
  static let serverTokenField = "serverToken"
  static let streamField = "messageStream"
  private static let address = "https://api.postmarkapp.com"
  /// Postmark takes messages of 10 MB; base64 makes four bytes of three.
  private static let bytesMax: Int64 = 7 << 20
  private static let peopleMax = 50
  /// A value of the metadata.
  private static let metadataUnitsMax = 80

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    ProviderMail.refusal(
      of: action, job, on: self, needs: [Self.serverTokenField], bytesMax: Self.bytesMax,
      peopleMax: Self.peopleMax)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let mail = ProviderMail(job) else { return .impossible(displayName, "do that") }
    guard let answer = answers.last else { return .call(request(mail, job)) }
    guard answer.isSuccess, let code = answer.json?["ErrorCode"]?.integer, code == 0 else {
      return .failed(failure(answer, job))
    }
    let time = answer.json?["SubmittedAt"]?.string.flatMap { Timestamp(rfc3339: $0) }
    return .done(SendReceipt(messageID: mail.messageID, sentAt: time?.clamped))
  }

  /// https://postmarkapp.com/developer/api/overview#error-codes
  private func failure(_ answer: APIAnswer, _ job: SendJob) -> APIFailure {
    let code = answer.json?["ErrorCode"]?.integer
    let words = answer.json?["Message"]?.string
    let reason = [code.map { "\($0)" }, words].compactMap { $0 }.joined(separator: ": ")
    switch code {
    case 10:
      return APIFailure(reason, .credentials(action: "give the account the token of its Postmark server"))
    case 400, 401:
      return APIFailure(reason, .credentials(action: "confirm the account's address at Postmark"))
    case 405, 412, 413:
      return APIFailure(reason, .credentials(action: "see at Postmark why the account may not send"))
    case 100: return APIFailure(reason, .later(seconds: RetryAfter.seconds(answer, now: job.now)))
    default:
      if answer.isSuccess && code == nil { return .unreadable(isRepeatable: false) }
      return APIFailure(
        answer, reason: reason.isEmpty ? nil : reason, isRepeatable: false, now: job.now)
    }
  }

  private func request(_ mail: ProviderMail, _ job: SendJob) -> APIRequest {
    let draft = mail.draft
    var headers = mail.headers
    // Otherwise Postmark gives the mail an id of its own.
    headers.append(("X-PM-KeepID", "true"))
    let metadata = mail.metadata(unitsMax: Self.metadataUnitsMax)
    var members: [String: JSONValue] = [
      "From": .string(draft.from.text), "Subject": .string(draft.subjectLine),
      "To": .string(draft.to.map(\.text).joined(separator: ", ")),
      "Headers": .array(headers.map { ["Name": .string($0.name), "Value": .string($0.value)] }),
      "Metadata": .object(
        Dictionary(metadata.map { ($0.name, .string($0.value)) }, uniquingKeysWith: { $1 })),
    ]
    if !draft.cc.isEmpty { members["Cc"] = .string(draft.cc.map(\.text).joined(separator: ", ")) }
    if !mail.text.isEmpty { members["TextBody"] = .string(mail.text) }
    members["HtmlBody"] = draft.html.map { .string($0) }
    members["MessageStream"] = job.secrets.first(Self.streamField).map { .string($0) }
    for name in ["Tag", "TrackOpens", "TrackLinks"] { members[name] = mail[extra: name] }
    if !mail.files.isEmpty {
      members["Attachments"] = .array(
        mail.files.map {
          ["Content": "", "Name": .string($0.name), "ContentType": .string($0.mimeType)]
        })
    }
    let places = mail.files.indices.map { APIFilePlace(["Attachments", "\($0)", "Content"], file: $0) }
    let body = JSONValue.object(members)
    return APIRequest(
      "POST", "\(job.secrets.apiURL(Self.address))/email",
      headers: [
        APIField("Accept", "application/json"),
        APIField("X-Postmark-Server-Token", job.secrets.first(Self.serverTokenField) ?? ""),
      ], body: places.isEmpty ? .json(body) : .jsonWithFiles(body, places), timeoutSeconds: 120)
  }
}
