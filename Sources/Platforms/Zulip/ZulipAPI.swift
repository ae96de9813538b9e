import Bytes
import JSON
import Messaging

/// Calls of a Zulip server (https://zulip.com/api/rest). Parameters that are no texts are JSON in forms.
enum ZulipAPI {
  static let serverField = "server"
  static let keyField = "apiKey"
  static let emailField = "email"

  static func canCall(_ secrets: AccountSecrets) -> Bool {
    secrets.server(serverField) != nil && secrets.first(keyField) != nil && secrets.first(emailField) != nil
  }

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    form: [(String, String?)]? = nil, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url(address(path, secrets), query)
    let fields = form?.compactMap { name, value in value.map { APIField(name, $0) } }
    return authorised(
      APIRequest(method, url, body: fields.map { .form($0) } ?? .none, isRepeatable: isRepeatable), secrets)
  }

  static func address(_ path: String, _ secrets: AccountSecrets) -> String {
    (secrets.server(serverField) ?? "") + "/api/v1/" + path
  }

  static func authorised(_ request: APIRequest, _ secrets: AccountSecrets) -> APIRequest {
    let pair = "\(secrets.first(emailField) ?? ""):\(secrets.first(keyField) ?? "")"
    return request.adding("Authorization", "Basic " + Base64.encode(Array(pair.utf8)))
  }

  static func json(_ value: JSONValue) -> String { String(decoding: value.encoded(), as: UTF8.self) }

  /// `result` decides and not the status.
  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    if answer.isSuccess, let json = answer.json, json["result"] == "success" { return .success(json) }
    let words = answer.json?["msg"]?.string
    switch answer.json?["code"]?.string {
    case "RATE_LIMIT_HIT":
      let told = answer.json?["retry-after"]?.double
      let wait = told ?? RetryAfter.seconds(answer, now: now) ?? 5
      return .failure(
        APIFailure(words ?? "too many requests", .pauseAccount(seconds: min(max(wait, 0), 3_600))))
    case "BAD_EVENT_QUEUE_ID": return .failure(APIFailure(words ?? "the event queue is gone", .restart))
    case "UNAUTHORIZED", "INVALID_API_KEY", "USER_DEACTIVATED", "REALM_DEACTIVATED", "BAD_AUTHENTICATION":
      return .failure(refused(words))
    default:
      if answer.status == 401 { return .failure(refused(words)) }
      return .failure(APIFailure(answer, reason: words, isRepeatable: isRepeatable, now: now))
    }
  }

  private static func refused(_ words: String?) -> APIFailure {
    let action = "give the account the bot's email and API key"
    return APIFailure(words ?? "the API key is not valid", .credentials(action: action))
  }
}
