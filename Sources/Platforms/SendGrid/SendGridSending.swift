import Bytes
import JSON
import MailWire
import Messaging

/// Mail over the v3 API (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send). Nothing
/// makes a call that comes twice one mail.
extension SendGridPlatform: SendingPlatform {
  static let apiKeyField = "apiKey"
  private static let address = "https://api.sendgrid.com"
  /// SendGrid takes messages of 30 MB; base64 makes four bytes of three.
  private static let bytesMax: Int64 = 22 << 20

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    ProviderMail.refusal(of: action, job, on: self, needs: [Self.apiKeyField], bytesMax: Self.bytesMax)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let mail = ProviderMail(job) else { return .impossible(displayName, "do that") }
    guard let answer = answers.last else { return .call(request(mail, job)) }
    guard answer.isSuccess else { return .failed(failure(answer, job)) }
    // What SendGrid takes it answers with 202, what it only checks with 200, both without a body: words come
    // from something between.
    guard answer.status == 202 || answer.body.isEmpty else {
      return .failed(.unreadable(isRepeatable: false))
    }
    return .done(SendReceipt(messageID: mail.messageID))
  }

  private func failure(_ answer: APIAnswer, _ job: SendJob) -> APIFailure {
    let errors = (answer.json?["errors"]?.array ?? []).prefix(5).compactMap { error in
      error["message"]?.string.map { words in
        error["field"]?.string.map { "\($0): \(words)" } ?? words
      }
    }
    let reason = errors.isEmpty ? nil : errors.joined(separator: "; ")
    guard answer.status != 403 else {
      let action = "give the account a key that may send, and an address that SendGrid has verified"
      return APIFailure(reason ?? "the key may not send", .credentials(action: action))
    }
    return APIFailure(answer, reason: reason, isRepeatable: false, now: job.now)
  }

  private func request(_ mail: ProviderMail, _ job: SendJob) -> APIRequest {
    let draft = mail.draft
    var people: [String: JSONValue] = ["to": .array(draft.to.map(Self.person))]
    if !draft.cc.isEmpty { people["cc"] = .array(draft.cc.map(Self.person)) }
    var content: [JSONValue] = []
    if !mail.text.isEmpty { content.append(["type": "text/plain", "value": .string(mail.text)]) }
    if let html = draft.html { content.append(["type": "text/html", "value": .string(html)]) }
    var members: [String: JSONValue] = [
      "personalizations": [.object(people)], "from": Self.person(draft.from),
      "subject": .string(draft.subjectLine), "content": .array(content),
      "headers": Self.object(mail.headers), "custom_args": Self.object(mail.metadata()),
    ]
    for name in ["categories", "mail_settings", "tracking_settings", "asm", "ip_pool_name"] {
      members[name] = mail[extra: name]
    }
    if !mail.files.isEmpty {
      members["attachments"] = .array(
        mail.files.map { file in
          [
            "content": "", "type": .string(file.mimeType), "filename": .string(file.name),
            "disposition": "attachment",
          ]
        })
    }
    let places = mail.files.indices.map { APIFilePlace(["attachments", "\($0)", "content"], file: $0) }
    let body = JSONValue.object(members)
    return APIRequest(
      "POST", "\(job.secrets.apiURL(Self.address))/v3/mail/send",
      body: places.isEmpty ? .json(body) : .jsonWithFiles(body, places), timeoutSeconds: 120
    ).bearer(job.secrets.first(Self.apiKeyField) ?? "")
  }

  private static func person(_ address: MailAddress) -> JSONValue {
    address.name.isEmpty
      ? ["email": .string(address.address)]
      : ["email": .string(address.address), "name": .string(address.name)]
  }

  private static func object(_ fields: [(name: String, value: String)]) -> JSONValue {
    .object(Dictionary(fields.map { ($0.name, .string($0.value)) }, uniquingKeysWith: { $1 }))
  }
}
