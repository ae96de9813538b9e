import Bytes
import JSON
import Messaging

/// Calls of Intercom's API (https://developers.intercom.com/docs/references/rest-api/api.intercom.io).
enum IntercomAPI {
  static let address = "https://api.intercom.io"
  static let tokenField = "accessToken"
  static let adminField = "adminId"
  private static let version = "2.11"

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: JSONValue? = nil, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url("\(secrets.apiURL(address))/\(path)", query)
    return APIRequest(method, url, body: body.map { .json($0) } ?? .none, isRepeatable: isRepeatable)
      .bearer(secrets.first(tokenField) ?? "").adding("Intercom-Version", version)
      .adding("Accept", "application/json")
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let error = answer.json?["errors"]?[0]
    let reason = error?["message"]?.string ?? error?["code"]?.string
    let code = error?["code"]?.string ?? ""
    let refused = ["unauthorized", "token_unauthorized", "token_not_found", "token_revoked", "token_blocked"]
    if answer.status == 401 || refused.contains(code) {
      let action = "give the account an access token of the workspace"
      return APIFailure(reason ?? "the access token is not valid", .credentials(action: action))
    }
    if code == "rate_limit_exceeded", answer.status != 429 {
      return APIFailure(
        reason ?? "too many requests", .pauseAccount(seconds: RetryAfter.seconds(answer, now: now) ?? 10))
    }
    return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
  }

  /// Plain text as the HTML that Intercom takes.
  static func html(_ text: String) -> String {
    var html = ""
    for character in text {
      switch character {
      case "&": html += "&amp;"
      case "<": html += "&lt;"
      case ">": html += "&gt;"
      case "\n", "\r\n": html += "<br>"
      default: html.append(character)
      }
    }
    return "<p>\(html)</p>"
  }
}
