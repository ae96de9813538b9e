import Bytes
import JSON
import Messaging

/// Calls of the Web API and what their answers mean (https://docs.slack.dev/apis/web-api). The status is 200
/// for most failures: `ok` decides.
enum SlackAPI {
  static let address = "https://slack.com/api"
  static let tokenField = "botToken"
  static let refreshField = "refreshToken"
  static let clientField = "clientId"
  static let clientSecretField = "clientSecret"
  /// By which an own message says which of the hub's it is.
  static let eventType = "hub_message"

  /// - Parameter token: of the token rotation; nil: the account's own.
  static func call(
    _ method: String, _ parameters: JSONValue, _ secrets: AccountSecrets, token: String?,
    isRepeatable: Bool = false
  ) -> APIRequest {
    APIRequest("POST", url(method, secrets), body: .json(parameters), isRepeatable: isRepeatable)
      .bearer(token ?? secrets.first(tokenField) ?? "")
  }

  /// Methods that read take no JSON.
  static func read(
    _ method: String, _ query: [(String, String?)], _ secrets: AccountSecrets, token: String?
  ) -> APIRequest {
    APIRequest("GET", APIRequest.url(url(method, secrets), query))
      .bearer(token ?? secrets.first(tokenField) ?? "")
  }

  static func url(_ method: String, _ secrets: AccountSecrets) -> String {
    "\(secrets.apiURL(address))/\(method)"
  }

  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp, canRenew: Bool = false
  ) -> Result<JSONValue, APIFailure> {
    let json = answer.storable
    if json?["ok"]?.bool == true, let json { return .success(json) }
    guard let error = json?["error"]?.string else {
      if answer.isSuccess { return .failure(.unreadable(isRepeatable: isRepeatable)) }
      return .failure(APIFailure(answer, isRepeatable: isRepeatable, now: now))
    }
    return .failure(failure(error, json, answer, isRepeatable: isRepeatable, now: now, canRenew: canRenew))
  }

  private static let refused: Set<String> = [
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "no_permission", "org_login_required",
    "ekm_access_denied", "not_allowed_token_type", "team_access_not_granted", "invalid_refresh_token",
    "bad_client_secret", "invalid_client_id", "invalid_grant_type", "bad_redirect_uri",
  ]

  private static func failure(
    _ error: String, _ json: JSONValue?, _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp,
    canRenew: Bool
  ) -> APIFailure {
    let wait = RetryAfter.seconds(answer, now: now)
    switch error {
    case "ratelimited", "rate_limited": return APIFailure(error, .pauseAccount(seconds: wait ?? 30))
    case "message_limit_exceeded": return APIFailure(error, .later(seconds: wait ?? 60))
    case "token_expired" where canRenew: return APIFailure(error, .renewToken)
    case "missing_scope":
      let needed = json?["needed"]?.string ?? "that are missing"
      let action = "give the app the scopes \(needed) and install it again"
      return APIFailure("missing_scope: \(needed)", .credentials(action: action))
    case "token_expired",
      _ where refused.contains(error):
      return APIFailure(error, .credentials(action: "give the account the bot token of the installed app"))
    case "service_unavailable", "team_added_to_org", "request_timeout", "accesslimited":
      return APIFailure(error, .later(seconds: wait))
    // Slack says of both that a part may have been done.
    case "fatal_error", "internal_error":
      return APIFailure(error, isRepeatable ? .later(seconds: wait) : .unknown)
    case "invalid_cursor", "invalid_ts_latest", "invalid_ts_oldest": return APIFailure(error, .restart)
    default:
      let more = (json?["response_metadata"]?["messages"]?.array ?? []).compactMap(\.string)
      return APIFailure(([error] + more.prefix(3)).joined(separator: ": "))
    }
  }
}

/// Token rotation (https://docs.slack.dev/authentication/using-token-rotation).
extension SlackPlatform: TokenPlatform {
  static func canRenew(_ secrets: AccountSecrets) -> Bool {
    [SlackAPI.refreshField, SlackAPI.clientField, SlackAPI.clientSecretField].allSatisfy {
      secrets.first($0) != nil
    }
  }

  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard Self.canRenew(secrets) else { return nil }
    return APIRequest(
      "POST", SlackAPI.url("oauth.v2.access", secrets),
      body: .form([
        APIField("client_id", secrets.first(SlackAPI.clientField) ?? ""),
        APIField("client_secret", secrets.first(SlackAPI.clientSecretField) ?? ""),
        APIField("grant_type", "refresh_token"),
        APIField("refresh_token", refresh ?? secrets.first(SlackAPI.refreshField) ?? ""),
      ]))
  }

  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    switch SlackAPI.result(answer, isRepeatable: true, now: now) {
    case .failure(let failure): return .failure(failure)
    case .success(let json):
      guard let value = json["access_token"]?.string else {
        return .failure(APIFailure("the answer has no token", .later(seconds: nil)))
      }
      let seconds = min(max(json["expires_in"]?.integer ?? 43_200, 0), 31_536_000)
      return .success(
        AccessToken(
          value: value, expiresAt: Timestamp(seconds: now.seconds + seconds),
          refresh: json["refresh_token"]?.string))
    }
  }
}
