import Bytes
import JSON
import Messaging

/// Calls of the Graph API and what its errors mean
/// (https://developers.facebook.com/docs/graph-api/guides/error-handling).
enum MetaAPI {
  static let address = "https://graph.facebook.com"
  static let version = "v25.0"
  static let tokenField = "accessToken"

  static func url(_ path: String, _ secrets: AccountSecrets) -> String {
    "\(secrets.apiURL(address))/\(version)/\(path)"
  }

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, timeoutSeconds: Int = 30, isRepeatable: Bool? = nil
  ) -> APIRequest {
    APIRequest(
      method, APIRequest.url(url(path, secrets), query), body: body, timeoutSeconds: timeoutSeconds,
      isRepeatable: isRepeatable
    ).bearer(secrets.first(tokenField) ?? "")
  }

  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    if answer.isSuccess, let json = answer.json, json.object != nil, json["error"] == nil {
      return .success(json)
    }
    return .failure(failure(answer, isRepeatable: isRepeatable, now: now))
  }

  // MARK: Errors

  private static let permissions = "give the account a token with the permissions that its README names"

  private static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    guard let error = answer.json?["error"], error.object != nil else {
      if answer.isSuccess { return .unreadable(isRepeatable: isRepeatable) }
      return APIFailure(answer, isRepeatable: isRepeatable, now: now)
    }
    let code = error["code"]?.integer ?? 0
    let reason = words(error, code)
    let wait = regain(answer) ?? RetryAfter.seconds(answer, now: now)
    switch code {
    case 190, 102, 463, 467:
      return APIFailure(reason, .credentials(action: "give the account a new access token"))
    case 4: return APIFailure(reason, .pauseApp(seconds: wait ?? 60))
    case 17, 32, 613, 80_000...80_014, 130_429:
      return APIFailure(reason, .pauseAccount(seconds: wait ?? (code == 130_429 ? 5 : 60)))
    // Too many to one person: others can be written to.
    case 131_056: return APIFailure(reason, .later(seconds: wait ?? 6))
    case 131_048: return APIFailure(reason, .later(seconds: wait ?? 3_600))
    case 1_200, 131_016, 131_057, 133_004: return APIFailure(reason, .later(seconds: wait))
    case 3, 10, 200..<300:
      // With a subcode it is about this message and not about the token.
      guard error["error_subcode"]?.integer ?? 0 == 0 else { return APIFailure(reason) }
      return APIFailure(reason, .credentials(action: permissions))
    case 1, 2, 131_000: return APIFailure(reason, isRepeatable ? .later(seconds: wait) : .unknown)
    default:
      if error["is_transient"]?.bool == true { return APIFailure(reason, .later(seconds: wait)) }
      return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }

  private static func words(_ error: JSONValue, _ code: Int64) -> String {
    let words =
      error["error_data"]?["details"]?.string ?? error["error_user_msg"]?.string
      ?? error["message"]?.string ?? "the call failed"
    return code == 0 ? words : "\(code): \(words)"
  }

  /// `X-Business-Use-Case-Usage` says in minutes when calls are taken again.
  private static func regain(_ answer: APIAnswer) -> Double? {
    guard let text = answer.header("x-business-use-case-usage"),
      let usage = (try? JSONValue(parsing: text.utf8))?.object
    else { return nil }
    let minutes = usage.values.flatMap { $0.array ?? [] }.compactMap {
      $0["estimated_time_to_regain_access"]?.double
    }
    guard let most = minutes.max(), most > 0 else { return nil }
    return min(most * 60, RetryAfter.secondsMax)
  }
}
