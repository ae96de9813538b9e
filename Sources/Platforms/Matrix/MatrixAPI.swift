import Bytes
import JSON
import Messaging

/// Calls of a homeserver and what their answers mean
/// (https://spec.matrix.org/latest/client-server-api/#api-standards). A user's own token is taken before an
/// application service's, which says whom it acts for.
enum MatrixAPI {
  static let homeserverField = "homeserver"
  static let accessTokenField = "accessToken"
  static let serviceTokenField = "asToken"

  /// The user that acts, where the credentials say so: the first that is no pattern.
  static func user(_ secrets: AccountSecrets, account: String?) -> String? {
    secrets[MatrixPlatform.userField].first { !$0.isEmpty && !$0.hasSuffix("*") } ?? account
  }

  /// Whom the hub acts for as an application service: the service has no other client. nil: it does not.
  static func serviceUser(_ secrets: AccountSecrets) -> String? {
    guard secrets.first(accessTokenField) == nil, fault(in: secrets) == nil else { return nil }
    return user(secrets, account: nil)
  }

  static func fault(in secrets: AccountSecrets) -> SendRefusal? {
    guard secrets.server(homeserverField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(homeserverField)")
    }
    if secrets.first(accessTokenField) != nil { return nil }
    guard secrets.first(serviceTokenField) != nil, user(secrets, account: nil) != nil else {
      return SendRefusal(
        .missingCredentials,
        "the account has neither \(accessTokenField), nor \(serviceTokenField) with a user's id"
      )
    }
    return nil
  }

  /// - Parameter path: behind `/_matrix/`.
  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, isRepeatable: Bool = true
  ) -> APIRequest {
    let isUser = secrets.first(accessTokenField) != nil
    let token = secrets.first(isUser ? accessTokenField : serviceTokenField) ?? ""
    let actor = isUser ? nil : user(secrets, account: nil)
    let url = APIRequest.url(
      (secrets.server(homeserverField) ?? "") + "/_matrix/" + path, query + [("user_id", actor)])
    return APIRequest(method, url, body: body, isRepeatable: isRepeatable).bearer(token)
  }

  static func room(_ id: String, _ rest: String) -> String {
    "client/v3/rooms/\(APIRequest.element(id))/\(rest)"
  }

  static func whoami(_ secrets: AccountSecrets) -> APIRequest {
    call("GET", "client/v3/account/whoami", secrets)
  }

  static func failure(_ answer: APIAnswer, now: Timestamp) -> APIFailure {
    let reason = answer.json?["error"]?.string
    switch answer.json?["errcode"]?.string {
    case "M_LIMIT_EXCEEDED":
      let told = answer.json?["retry_after_ms"]?.double.map { $0 / 1_000 }
      let wait = RetryAfter.seconds(answer, now: now) ?? told ?? 5
      return APIFailure(reason ?? "too many requests", .pauseAccount(seconds: min(max(wait, 0), 3_600)))
    case "M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED":
      let action = "give the account an access token that the homeserver takes"
      return APIFailure(reason ?? "the token is not valid", .credentials(action: action))
    case "M_EXCLUSIVE" where answer.status < 500:
      let action = "register the user in the application service's namespace"
      return APIFailure(reason ?? "the user is not the service's", .credentials(action: action))
    default: return APIFailure(answer, reason: reason, isRepeatable: true, now: now)
    }
  }
}
