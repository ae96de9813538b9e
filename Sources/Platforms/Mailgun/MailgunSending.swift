import Bytes
import JSON
import MailWire
import Messaging

/// Mail over the Messages API (https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun).
/// Nothing makes a call that comes twice one mail.
extension MailgunPlatform: SendingPlatform {
  static let apiKeyField = "apiKey"
  static let domainField = "domain"
  private static let address = "https://api.mailgun.net"
  /// Mailgun takes messages of 25 MB; base64 makes four bytes of three.
  private static let bytesMax: Int64 = 18 << 20

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    ProviderMail.refusal(
      of: action, job, on: self, needs: [Self.apiKeyField], bytesMax: Self.bytesMax)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let mail = ProviderMail(job) else { return .impossible(displayName, "do that") }
    guard let answer = answers.last else { return .call(request(mail, job)) }
    guard answer.isSuccess else { return .failed(failure(answer, job)) }
    guard answer.json?["id"]?.string != nil else { return .unnamed }
    return .done(SendReceipt(messageID: mail.messageID))
  }

  /// Some errors are JSON, some are plain words.
  private func failure(_ answer: APIAnswer, _ job: SendJob) -> APIFailure {
    let plain = answer.json == nil ? String(decoding: answer.body.prefix(200), as: UTF8.self) : nil
    let reason = answer.json?["message"]?.string ?? plain.flatMap { $0.isEmpty ? nil : $0 }
    switch answer.status {
    case 401, 403:
      let action = "give the account a sending key of its domain, and the address of its region in apiURL"
      return APIFailure(reason ?? "the key is not valid", .credentials(action: action))
    case 402: return APIFailure(reason ?? "the account is not paid", .credentials(action: "see to the plan"))
    case 404:
      let action = "correct the domain, or give the address of its region in apiURL"
      return APIFailure(reason ?? "there is no such domain", .credentials(action: action))
    default: return APIFailure(answer, reason: reason, isRepeatable: false, now: job.now)
    }
  }

  private func request(_ mail: ProviderMail, _ job: SendJob) -> APIRequest {
    let draft = mail.draft
    var parts = [APIPart("from", draft.from.text)]
    parts += draft.to.map { APIPart("to", $0.text) } + draft.cc.map { APIPart("cc", $0.text) }
    parts.append(APIPart("subject", draft.subjectLine))
    if !mail.text.isEmpty { parts.append(APIPart("text", mail.text)) }
    if let html = draft.html { parts.append(APIPart("html", html)) }
    parts += mail.headers.map { APIPart("h:\($0.name)", $0.value) }
    parts += mail.metadata().map { APIPart("v:\($0.name)", $0.value) }
    parts += mail.files.enumerated().map { index, file in
      APIPart("attachment", file: index, filename: file.name, type: file.mimeType)
    }
    let domain = draft.from.address.split(separator: "@").last.map(String.init) ?? ""
    let sender = APIRequest.element(job.secrets.first(Self.domainField) ?? domain)
    let url = "\(job.secrets.apiURL(Self.address))/v3/\(sender)/messages"
    return APIRequest("POST", url, body: .multipart(parts), timeoutSeconds: 120)
      .basic("api", job.secrets.first(Self.apiKeyField) ?? "")
  }
}
