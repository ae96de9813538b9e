import Bytes
import JSON
import Messaging

/// Calls of a Mastodon server (https://docs.joinmastodon.org/methods/).
enum MastodonAPI {
  static let serverField = "server"
  static let tokenField = "accessToken"

  static func canCall(_ secrets: AccountSecrets) -> Bool {
    secrets.server(serverField) != nil && secrets.first(tokenField) != nil
  }

  /// - Parameter path: behind `/api/`.
  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url((secrets.server(serverField) ?? "") + "/api/" + path, query)
    return APIRequest(method, url, body: body, isRepeatable: isRepeatable)
      .bearer(secrets.first(tokenField) ?? "")
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let reason = answer.json?["error_description"]?.string ?? answer.json?["error"]?.string
    let isLocked = answer.status == 403 && reason?.contains("Your login is currently disabled") == true
    if answer.status == 401 || isLocked {
      let action = "give the account an access token that the server takes"
      return APIFailure(reason ?? "the access token is not valid", .credentials(action: action))
    }
    if answer.status == 403, reason?.contains("scope") == true {
      let action = "give the account a token with the scopes read and write"
      return APIFailure(reason ?? "the token may not do that", .credentials(action: action))
    }
    return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
  }
}
