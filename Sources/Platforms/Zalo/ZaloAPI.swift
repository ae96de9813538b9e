import Bytes
import JSON
import Messaging

/// Calls of an official account's API and what its numbers mean
/// (https://developers.zalo.me/docs/official-account/phu-luc/ma-loi). The status is 200 always: `error` in
/// the body decides.
enum ZaloAPI {
  static let address = "https://openapi.zalo.me"
  static let loginAddress = "https://oauth.zaloapp.com"
  static let appField = "appId"
  static let appSecretField = "appSecret"
  static let refreshField = "refreshToken"
  static let accessField = "accessToken"
  static let loginField = "loginURL"

  static let credentials = [
    CredentialField(
      accessField, "An access token, good for a day; to send without a refresh token.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      refreshField, "A refresh token, from which access tokens are had; needed to send for longer.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      appSecretField, "The app's secret key; needed with a refresh token.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      loginField, "Where tokens are had, when it is not at the usual place.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  static func hasGrant(_ secrets: AccountSecrets) -> Bool {
    secrets.first(refreshField) != nil && secrets.first(appSecretField) != nil
      && secrets.first(appField) != nil
  }

  static func call(_ path: String, _ body: APIRequest.Body, _ job: SendJob, isRepeatable: Bool) -> APIRequest
  {
    APIRequest(
      "POST", "\(job.secrets.apiURL(address))/\(path)",
      headers: [APIField("access_token", job.token ?? job.secrets.first(accessField) ?? "")], body: body,
      timeoutSeconds: 60, isRepeatable: isRepeatable)
  }

  static func result(
    _ answer: APIAnswer, _ secrets: AccountSecrets, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    guard answer.isSuccess, let json = answer.json, let code = json["error"]?.integer else {
      return .failure(
        answer.isSuccess
          ? .unreadable(isRepeatable: isRepeatable)
          : APIFailure(answer, isRepeatable: isRepeatable, now: now))
    }
    if code == 0 { return .success(json["data"] ?? [:]) }
    return .failure(failure(code, json["message"]?.string, secrets, isRepeatable: isRepeatable))
  }

  /// Limits of a minute, or quotas, which are of a day.
  private static func pause(_ code: Int64) -> APIFailure.Remedy {
    .pauseAccount(seconds: code == -32 ? 60 : RetryAfter.secondsMax)
  }

  /// What Zalo's login said instead of a token. A person is needed only where the grant is at fault: that it
  /// is busy, or was asked too often, passes.
  static func tokenFailure(_ code: Int64, _ words: String?) -> APIFailure {
    let reason = "\(code): \(words ?? "no token")"
    if [-32, -211, -218].contains(code) { return APIFailure(reason, pause(code)) }
    let said = (words ?? "").lowercased()
    if passing.contains(where: { said.contains($0) }) { return APIFailure(reason, .later(seconds: nil)) }
    return APIFailure(reason, .credentials(action: "authorise the app again at Zalo"))
  }

  /// Words of errors that are nobody's fault. The numbers of the login are not all known.
  private static let passing = [
    "limit", "too many", "try again", "retry", "system", "internal", "busy", "timeout", "timed out",
    "unavailable",
  ]

  private static func failure(
    _ code: Int64, _ words: String?, _ secrets: AccountSecrets, isRepeatable: Bool
  ) -> APIFailure {
    let reason = "\(code): \(words ?? "Zalo refused it")"
    switch code {
    case -216, -220, -124:
      let action = "give the account a new access token, or a refresh token"
      return APIFailure(reason, hasGrant(secrets) ? .renewToken : .credentials(action: action))
    case -32, -211, -218: return APIFailure(reason, pause(code))
    case -204, -205, -209, -212, -219, -221, -224:
      return APIFailure(reason, .credentials(action: "see at Zalo what the account or its app may do"))
    // "Sending failed", and no more.
    case -200: return APIFailure(reason, isRepeatable ? .later(seconds: nil) : .unknown)
    default: return APIFailure(reason)
    }
  }
}

/// Access tokens for a refresh token, which is used once: the answer has the next one
/// (https://developers.zalo.me/docs/official-account/bat-dau/xac-thuc-va-uy-quyen-cho-ung-dung-new).
extension ZaloPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard ZaloAPI.hasGrant(secrets), let grant = refresh ?? secrets.first(ZaloAPI.refreshField) else {
      return nil
    }
    var login = secrets.first(ZaloAPI.loginField) ?? ZaloAPI.loginAddress
    while login.hasSuffix("/") { login.removeLast() }
    // Twice is once too often: the second would find the refresh token used.
    return APIRequest(
      "POST", "\(login)/v4/oa/access_token",
      headers: [APIField("secret_key", secrets.first(ZaloAPI.appSecretField) ?? "")],
      body: .form([
        APIField("grant_type", "refresh_token"), APIField("refresh_token", grant),
        APIField("app_id", secrets.first(ZaloAPI.appField) ?? ""),
      ]), isRepeatable: false)
  }

  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    let json = answer.json
    guard answer.isSuccess, let value = json?["access_token"]?.string else {
      guard answer.isSuccess, let code = json?["error"]?.integer else {
        return .failure(APIFailure(answer, isRepeatable: true, now: now))
      }
      let words =
        json?["error_description"]?.string ?? json?["error_reason"]?.string ?? json?["error_name"]?.string
      return .failure(ZaloAPI.tokenFailure(code, words))
    }
    let given = json?["expires_in"]?.integer ?? json?["expires_in"]?.string.flatMap { Int64($0) } ?? 3_600
    return .success(
      AccessToken(
        value: value,
        expiresAt: Timestamp(seconds: now.seconds + min(max(given, 0), 31_536_000)),
        refresh: json?["refresh_token"]?.string))
  }
}
