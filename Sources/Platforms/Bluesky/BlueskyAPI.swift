import Bytes
import JSON
import Messaging

/// Calls over XRPC (https://atproto.com/specs/xrpc). The chat service is reached through the account's own
/// server, which passes on what the header `atproto-proxy` names.
enum BlueskyAPI {
  static let address = "https://bsky.social"
  static let identifierField = "identifier"
  static let passwordField = "appPassword"
  private static let proxy = "did:web:api.bsky.chat#bsky_chat"

  static func chat(
    _ method: String, _ name: String, _ secrets: AccountSecrets, token: String?,
    query: [(String, String?)] = [], body: JSONValue? = nil, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url("\(secrets.apiURL(address))/xrpc/chat.bsky.convo.\(name)", query)
    return APIRequest(method, url, body: body.map { .json($0) } ?? .none, isRepeatable: isRepeatable)
      .bearer(token ?? "").adding("atproto-proxy", proxy)
  }

  private static let revisionLetters = Array("234567abcdefghijklmnopqrstuvwxyz")

  /// The least revision of that moment: microseconds in base 32, whose texts sort like the times
  /// (https://atproto.com/specs/tid).
  static func revision(at time: Timestamp) -> String {
    var number = UInt64(max(0, time.clamped.microseconds)) << 10
    var text: [Character] = []
    for _ in 0..<13 {
      text.append(revisionLetters[Int(number % 32)])
      number /= 32
    }
    return String(text.reversed())
  }

  /// The claims of a token by the account's server; its signature is that server's business.
  private static func claims(_ token: String) -> JSONValue? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let bytes = Base64.decode(parts[1], .url) else { return nil }
    return try? JSONValue(parsing: bytes)
  }

  /// Whose token it is.
  static func did(_ token: String?) -> String? {
    token.flatMap { claims($0)?["sub"]?.string }.flatMap { $0.hasPrefix("did:") ? $0 : nil }
  }

  static func expiry(_ token: String) -> Timestamp? {
    claims(token)?["exp"]?.integer.map { Timestamp(seconds: $0).clamped }
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let code = answer.json?["error"]?.string ?? ""
    let reason = answer.json?["message"]?.string ?? (code.isEmpty ? nil : code)
    switch code {
    case "ExpiredToken", "InvalidToken": return APIFailure(reason ?? "the session is over", .renewToken)
    case "AuthMissing", "AuthenticationRequired", "AccountTakedown", "AccountDeactivated":
      return APIFailure(
        reason ?? "the account is not open", .credentials(action: "give the account a new app password"))
    default: break
    }
    // Without the right to direct messages the chat service says that the token is wrong in its scope.
    if answer.status == 403 || reason?.contains("Bad token scope") == true {
      let action = "give the account an app password that may read direct messages"
      return APIFailure(reason ?? "the password may not do that", .credentials(action: action))
    }
    if answer.status == 401 { return APIFailure(reason ?? "the session is over", .renewToken) }
    return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
  }
}

/// A session: an access token of two hours and a refresh token of some weeks, used once.
extension BlueskyPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    let base = secrets.apiURL(BlueskyAPI.address) + "/xrpc/com.atproto.server."
    if let refresh, (BlueskyAPI.expiry(refresh) ?? now) > now {
      return APIRequest("POST", base + "refreshSession").bearer(refresh)
    }
    guard let identifier = secrets.first(BlueskyAPI.identifierField),
      let password = secrets.first(BlueskyAPI.passwordField)
    else { return nil }
    return APIRequest(
      "POST", base + "createSession",
      body: .json(["identifier": .string(identifier), "password": .string(password)]), isRepeatable: true)
  }

  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    guard answer.isSuccess, let value = answer.json?["accessJwt"]?.string else {
      let failure = BlueskyAPI.failure(answer, isRepeatable: true, now: now)
      // There is no other token to be had.
      guard failure.remedy == .renewToken || failure.remedy == .none else { return .failure(failure) }
      let action = "give the account its handle and a valid app password"
      return .failure(APIFailure(failure.reason, .credentials(action: action)))
    }
    let expiry = BlueskyAPI.expiry(value) ?? Timestamp(seconds: now.seconds + 3_600)
    return .success(
      AccessToken(value: value, expiresAt: expiry, refresh: answer.json?["refreshJwt"]?.string))
  }
}
