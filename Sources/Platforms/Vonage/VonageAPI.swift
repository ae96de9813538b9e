import Bytes
import HTTPWire
import JSON
import Messaging
import Security

/// Calls of the Messages API (https://developer.vonage.com/en/api/messages) and of the older SMS API
/// (https://developer.vonage.com/en/api/sms), and what their answers mean.
enum VonageAPI {
  static let applicationField = "applicationId"
  static let privateKeyField = "privateKey"
  static let keyField = "apiKey"
  static let secretField = "apiSecret"
  static let fromField = "from"
  static let apiField = "api"
  static let address = "https://api.nexmo.com"
  static let smsAddress = "https://rest.nexmo.com"
  private static let tokenSeconds: Int64 = 900
  private static let balance = "top up the balance at Vonage"

  static let credentials = [
    CredentialField(
      applicationField, "The application's id; needed to send, with the private key.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      privateKeyField, "The application's private key.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      keyField, "The account's API key: to send without an application, and by the SMS API.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      secretField, "The account's API secret.", isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      fromField,
      "The number or name that messages are sent from, where the other side has not written to one.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      apiField, "messages (without it) or sms: which API the account sends by.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  static func fault(in secrets: AccountSecrets) -> String? {
    guard secrets[apiField].allSatisfy({ $0 == "messages" || $0 == "sms" }) else {
      return "\(apiField) must be messages or sms"
    }
    guard let pem = secrets.first(privateKeyField) else { return nil }
    let key = try? JWTKey(pem: pem)
    return key?.algorithm == .rs256 && key.flatMap({ try? JWTSigner(key: $0).sign([:]) }) != nil
      ? nil : "\(privateKeyField) must be a private RSA key in PEM"
  }

  static func sendsSMS(_ secrets: AccountSecrets) -> Bool { secrets.first(apiField) == "sms" }

  static func lacking(_ secrets: AccountSecrets) -> SendRefusal? {
    let hasPair = secrets.first(keyField) != nil && secrets.first(secretField) != nil
    if sendsSMS(secrets) { return hasPair ? nil : .lacking("\(keyField) or no \(secretField)") }
    let hasApplication = secrets.first(applicationField) != nil && secrets.first(privateKeyField) != nil
    return hasPair || hasApplication ? nil : .lacking("\(applicationField) or no \(privateKeyField)")
  }

  // MARK: Calls

  static func call(_ method: String, _ url: String, _ body: JSONValue, _ job: SendJob) -> APIRequest {
    let request = APIRequest(method, url, body: .json(body), isRepeatable: method != "POST")
    guard let token = token(job.secrets, key: job.key, now: job.now) else {
      return request.basic(job.secrets.first(keyField) ?? "", job.secrets.first(secretField) ?? "")
    }
    return request.bearer(token)
  }

  /// A token for one call: its number, made of the key and the time, has to be new each time.
  static func token(_ secrets: AccountSecrets, key: String, now: Timestamp) -> String? {
    guard let application = secrets.first(applicationField),
      let pem = secrets.first(privateKeyField).flatMap({ try? JWTKey(pem: $0) })
    else { return nil }
    return try? JWTSigner(key: pem).sign([
      "application_id": .string(application), "iat": .integer(now.seconds),
      "exp": .integer(now.seconds + tokenSeconds), "jti": .string("\(key)-\(now.microseconds)"),
    ])
  }

  /// Where an inbound message is kept: in the region that it says itself.
  static func url(ofMessage id: String, _ job: SendJob) -> String {
    let usual = "\(job.secrets.apiURL(address))/v1/messages/\(APIRequest.element(id))"
    guard id == job.lastInboundID, job.secrets.first(AccountSecrets.addressField.name) == nil,
      let text = job.lastInboundDetails?["_self"]?["href"]?.string, let url = try? HTTPURL(text),
      url.scheme == .https,
      [".nexmo.com", ".vonage.com"].contains(where: { url.host.lowercased().hasSuffix($0) })
    else { return usual }
    return "https://\(url.host)/v1/messages/\(APIRequest.element(id))"
  }

  // MARK: Failures

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let json = answer.json
    let parameters = (json?["invalid_parameters"]?.array ?? []).prefix(5).compactMap { parameter in
      parameter["reason"]?.string.map { "\(parameter["name"]?.string ?? "a parameter"): \($0)" }
    }
    let words = ([json?["detail"]?.string ?? json?["title"]?.string].compactMap { $0 } + parameters)
    let reason = words.isEmpty ? nil : words.joined(separator: "; ")
    switch answer.status {
    case 402: return APIFailure(reason ?? "the balance is too low", .credentials(action: balance))
    case 401, 403:
      let action = "give the account its application's id and private key, or the API key and secret"
      return APIFailure(reason ?? "the credentials are not valid", .credentials(action: action))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }

  /// https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms
  static func failure(ofSMS message: JSONValue?, _ answer: APIAnswer, now: Timestamp) -> APIFailure {
    guard answer.isSuccess, let status = message?["status"]?.identifier else {
      return answer.isSuccess
        ? .unreadable(isRepeatable: false) : APIFailure(answer, isRepeatable: false, now: now)
    }
    let reason = "\(status): \(message?["error-text"]?.string ?? "it was not sent")"
    switch status {
    case "1":
      return APIFailure(reason, .pauseAccount(seconds: RetryAfter.seconds(answer, now: now) ?? 1))
    case "10": return APIFailure(reason, .later(seconds: 5))
    case "4", "8", "14":
      return APIFailure(reason, .credentials(action: "give the account its API key and secret"))
    case "9": return APIFailure(reason, .credentials(action: balance))
    case "5": return APIFailure(reason, .unknown)
    default: return APIFailure(reason)
    }
  }
}
