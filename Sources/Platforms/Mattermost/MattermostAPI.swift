import Bytes
import JSON
import Messaging

/// Calls of a Mattermost server (https://developers.mattermost.com/api-documentation/).
enum MattermostAPI {
  static let serverField = "server"
  static let tokenField = "accessToken"
  /// The member of a post's `props` that has the hub's own key: posts keep no other.
  static let keyProperty = "client_key"

  static func canCall(_ secrets: AccountSecrets) -> Bool {
    secrets.server(serverField) != nil && secrets.first(tokenField) != nil
  }

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url((secrets.server(serverField) ?? "") + "/api/v4/" + path, query)
    return APIRequest(method, url, body: body, isRepeatable: isRepeatable)
      .bearer(secrets.first(tokenField) ?? "")
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let reason = answer.json?["message"]?.string
    if answer.status == 401 {
      let action = "give the account an access token that the server takes"
      return APIFailure(reason ?? "the access token is not valid", .credentials(action: action))
    }
    return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
  }
}
