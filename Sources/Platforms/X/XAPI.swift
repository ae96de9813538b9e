import Bytes
import JSON
import Messaging

/// Calls of the X API v2 and what their answers mean
/// (https://docs.x.com/x-api/fundamentals/response-codes-and-errors).
enum XAPI {
  static let address = "https://api.x.com"
  static let tokenField = "accessToken"
  static let refreshField = "refreshToken"
  static let clientField = "clientId"
  static let clientSecretField = "clientSecret"

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, token: String?,
    query: [(String, String?)] = [], body: APIRequest.Body = .none, timeoutSeconds: Int = 30,
    isRepeatable: Bool? = nil
  ) -> APIRequest {
    APIRequest(
      method, APIRequest.url("\(secrets.apiURL(address))/2/\(path)", query), body: body,
      timeoutSeconds: timeoutSeconds, isRepeatable: isRepeatable
    ).bearer(token ?? secrets.first(tokenField) ?? "")
  }

  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, canRenew: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    if answer.isSuccess {
      guard let json = answer.storable, json.object != nil else {
        // What is appended to an upload is answered with nothing.
        return answer.body.isEmpty ? .success([:]) : .failure(.unreadable(isRepeatable: isRepeatable))
      }
      return .success(json)
    }
    let reason = words(answer.json)
    if answer.status == 401 {
      let action = "connect the X account again, with dm.read, dm.write, tweet.read, users.read"
      return .failure(
        APIFailure(
          reason ?? "the access token is not valid", canRenew ? .renewToken : .credentials(action: action)))
    }
    return .failure(APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now))
  }

  private static func words(_ json: JSONValue?) -> String? {
    let first = json?["errors"]?[0]
    return json?["detail"]?.string ?? first?["detail"]?.string ?? first?["message"]?.string
      ?? json?["title"]?.string
  }

  // MARK: Ids

  /// The first moment of X's ids, in milliseconds since 1970.
  private static let epoch: Int64 = 1_288_834_974_657

  /// The id that an event of this moment would have at least.
  static func id(at time: Timestamp) -> String {
    let milliseconds = min(max(0, time.clamped.microseconds / 1_000 - epoch), (1 << 41) - 1)
    return String(UInt64(milliseconds) << 22)
  }
}

/// OAuth 2.0 with refresh tokens, each of which is good once
/// (https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code).
extension XPlatform: TokenPlatform {
  static func canRenew(_ secrets: AccountSecrets) -> Bool {
    secrets.first(XAPI.refreshField) != nil && secrets.first(XAPI.clientField) != nil
  }

  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard Self.canRenew(secrets), let client = secrets.first(XAPI.clientField) else { return nil }
    let request = APIRequest(
      "POST", "\(secrets.apiURL(XAPI.address))/2/oauth2/token",
      body: .form([
        APIField("grant_type", "refresh_token"),
        APIField("refresh_token", refresh ?? secrets.first(XAPI.refreshField) ?? ""),
        APIField("client_id", client),
      ]))
    guard let secret = secrets.first(XAPI.clientSecretField) else { return request }
    return request.adding("Authorization", "Basic " + Base64.encode(Array("\(client):\(secret)".utf8)))
  }

  /// What is wrong with the refresh token is `invalid_request` here.
  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    let json = answer.json
    guard answer.isSuccess, let value = json?["access_token"]?.string else {
      let reason = json?["error_description"]?.string ?? json?["error"]?.string
      if answer.status == 400 || answer.status == 401 {
        let words = reason ?? "the grant is not valid"
        return .failure(APIFailure(words, .credentials(action: "connect the X account again")))
      }
      // Whatever became of the token, nothing was said with it yet.
      return .failure(APIFailure(answer, reason: reason, isRepeatable: true, now: now))
    }
    let seconds = min(max(json?["expires_in"]?.integer ?? 7_200, 0), 31_536_000)
    return .success(
      AccessToken(
        value: value, expiresAt: Timestamp(seconds: now.seconds + seconds),
        refresh: json?["refresh_token"]?.string))
  }
}
