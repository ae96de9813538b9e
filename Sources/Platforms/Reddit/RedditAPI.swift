import Bytes
import JSON
import Messaging

/// Calls of Reddit's API, which wants a User-Agent of the app's own
/// (https://support.reddithelp.com/hc/en-us/articles/16160319875092).
enum RedditAPI {
  static let address = "https://oauth.reddit.com"
  static let loginAddress = "https://www.reddit.com"
  static let clientField = "clientId"
  static let secretField = "clientSecret"
  static let refreshField = "refreshToken"
  static let userField = "username"
  static let passwordField = "password"
  static let agentField = "userAgent"
  static let loginField = "loginURL"

  private static func agent(_ secrets: AccountSecrets) -> String {
    secrets.first(agentField) ?? "linux:messaging-hub:1 (by /u/\(secrets.first(userField) ?? "unknown"))"
  }

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, token: String?,
    query: [(String, String?)] = [], form: [(String, String)]? = nil, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url("\(secrets.apiURL(address))/\(path)", query)
    let body: APIRequest.Body = form.map { .form($0.map { APIField($0.0, $0.1) }) } ?? .none
    return APIRequest(method, url, body: body, isRepeatable: isRepeatable)
      .bearer(token ?? "").adding("User-Agent", agent(secrets))
  }

  static func token(_ secrets: AccountSecrets, refresh: String?) -> APIRequest? {
    guard let client = secrets.first(clientField) else { return nil }
    let grant: [APIField]
    if let refresh = refresh ?? secrets.first(refreshField) {
      grant = [APIField("grant_type", "refresh_token"), APIField("refresh_token", refresh)]
    } else if let user = secrets.first(userField), let password = secrets.first(passwordField) {
      grant = [
        APIField("grant_type", "password"), APIField("username", user), APIField("password", password),
      ]
    } else {
      return nil
    }
    var login = secrets.first(loginField) ?? loginAddress
    while login.hasSuffix("/") { login.removeLast() }
    let pair = Base64.encode(Array("\(client):\(secrets.first(secretField) ?? "")".utf8))
    return APIRequest(
      "POST", login + "/api/v1/access_token", headers: [APIField("Authorization", "Basic \(pair)")],
      body: .form(grant), isRepeatable: true
    ).adding("User-Agent", agent(secrets))
  }

  /// Nothing is left of the window's calls, or an answer says so in its body.
  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let json = answer.json
    let reason = json?["message"]?.string ?? json?["error_description"]?.string
    switch answer.status {
    case 401: return APIFailure(reason ?? "the token is not valid", .renewToken)
    case 403 where answer.header("www-authenticate")?.contains("insufficient_scope") == true:
      let action = "connect the account again, with the scopes privatemessages, submit, edit and identity"
      return APIFailure(reason ?? "the token may not do that", .credentials(action: action))
    case 429:
      let wait = RetryAfter.seconds(answer, now: now) ?? 60
      return APIFailure(reason ?? "too many requests", .pauseAccount(seconds: wait))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }

  /// What a form was refused for, with status 200: `[["RATELIMIT", "... in 5 minutes", "ratelimit"]]`.
  static func failure(inForm json: JSONValue?) -> APIFailure? {
    guard let error = json?["json"]?["errors"]?[0] else { return nil }
    let code = error[0]?.string ?? ""
    let words = error[1]?.string ?? code
    if code == "RATELIMIT" {
      let told = json?["json"]?["ratelimit"]?.double
      return APIFailure(words, .pauseAccount(seconds: min(max(told ?? wait(words) ?? 60, 1), 3_600)))
    }
    return APIFailure(words.isEmpty ? code : words)
  }

  /// "Take a break for 5 minutes before trying again."
  private static func wait(_ words: String) -> Double? {
    let parts = words.split { !$0.isLetter && !$0.isNumber }
    for (number, unit) in zip(parts, parts.dropFirst()) {
      guard let count = Double(number), count.isFinite else { continue }
      if unit.hasPrefix("minute") { return count * 60 }
      if unit.hasPrefix("second") || unit.hasPrefix("millisecond") { return count }
      if unit.hasPrefix("hour") { return count * 3_600 }
    }
    return nil
  }
}

extension RedditPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    RedditAPI.token(secrets, refresh: refresh)
  }

  /// A grant that is gone is refused as OAuth says with status 200, or with 400 and no words.
  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    if let token = BearerGrant.token(from: answer, now: now) { return .success(token) }
    let json = answer.json
    let reason = json?["error_description"]?.string ?? json?["error"]?.string ?? json?["message"]?.string
    guard answer.isSuccess ? json?["error"] != nil : [400, 401].contains(answer.status) else {
      return .failure(APIFailure(answer, reason: reason, isRepeatable: true, now: now))
    }
    let words = reason ?? "the grant is not valid"
    return .failure(APIFailure(words, .credentials(action: "connect the Reddit account again")))
  }
}
