import Bytes
import JSON
import Messaging
import Security

/// Calls of the Chat API (https://developers.google.com/workspace/chat/api/reference/rest), with tokens for a
/// service account (https://developers.google.com/identity/protocols/oauth2/service-account).
enum GoogleChatAPI {
  static let address = "https://chat.googleapis.com"
  static let tokenAddress = "https://oauth2.googleapis.com/token"
  static let keyField = "serviceAccountKey"
  static let scopesField = "scopes"
  static let subjectField = "subject"
  private static let botScope = "https://www.googleapis.com/auth/chat.bot"
  private static let readScopes: Set = [
    "chat.messages", "chat.messages.readonly", "chat.app.messages.readonly",
  ]
  private static let assertionSeconds: Int64 = 3_600

  static func scopes(_ secrets: AccountSecrets) -> [String] {
    let given = (secrets.first(scopesField) ?? botScope).split(separator: " ").map(String.init)
    return given.map { $0.hasPrefix("https://") ? $0 : "https://www.googleapis.com/auth/" + $0 }
  }

  static func canRead(_ secrets: AccountSecrets) -> Bool {
    secrets.first(keyField) != nil
      && scopes(secrets).contains { scope in
        scope.split(separator: "/").last.map { readScopes.contains(String($0)) } ?? false
      }
  }

  /// What is wrong with a key; nil: nothing.
  static func fault(ofKey text: String) -> String? {
    guard let json = try? JSONValue(parsing: text.utf8), json["client_email"]?.string != nil,
      let pem = json["private_key"]?.string, let key = try? JWTKey(pem: pem),
      (try? JWTSigner(key: key).sign([:])) != nil
    else { return "\(keyField) must be the JSON of a service account's key" }
    return nil
  }

  static func token(_ secrets: AccountSecrets, now: Timestamp) -> APIRequest? {
    guard let text = secrets.first(keyField), let json = try? JSONValue(parsing: text.utf8),
      let email = json["client_email"]?.string, let pem = json["private_key"]?.string,
      let key = try? JWTKey(pem: pem, id: json["private_key_id"]?.string)
    else { return nil }
    let url = json["token_uri"]?.string ?? tokenAddress
    var claims: [String: JSONValue] = [
      "iss": .string(email), "scope": .string(scopes(secrets).joined(separator: " ")), "aud": .string(url),
      "iat": .integer(now.seconds), "exp": .integer(now.seconds + assertionSeconds),
    ]
    claims["sub"] = secrets.first(subjectField).map { .string($0) }
    guard let assertion = try? JWTSigner(key: key).sign(claims) else { return nil }
    return APIRequest(
      "POST", url,
      body: .form([
        APIField("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        APIField("assertion", assertion),
      ]), isRepeatable: true)
  }

  /// - Parameter path: behind `/v1/`; names of resources have slashes of their own.
  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, token: String?,
    query: [(String, String?)] = [], body: JSONValue? = nil, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let parts = path.split(separator: "/").map { APIRequest.element(String($0)) }.joined(separator: "/")
    let url = APIRequest.url(secrets.apiURL(address) + "/v1/" + parts, query)
    return APIRequest(method, url, body: body.map { .json($0) } ?? .none, isRepeatable: isRepeatable)
      .bearer(token ?? "")
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let error = answer.json?["error"]
    let reason = error?["message"]?.string
    switch (answer.status, error?["status"]?.string) {
    case (401, _), (_, "UNAUTHENTICATED"): return APIFailure(reason ?? "the token is not valid", .renewToken)
    // Its limits are by the minute, and it seldom says how long.
    case (429, _), (_, "RESOURCE_EXHAUSTED"):
      let wait = RetryAfter.seconds(answer, now: now) ?? 10
      return APIFailure(reason ?? "too many requests", .pauseAccount(seconds: wait))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }
}

extension GoogleChatPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    GoogleChatAPI.token(secrets, now: now)
  }
}
