import Bytes
import JSON
import Messaging
import Security

/// Calls of the Messaging API and what their answers mean
/// (https://developers.line.biz/en/reference/messaging-api/#response).
enum LINEAPI {
  static let address = "https://api.line.me"
  static let tokenField = "channelAccessToken"
  static let channelField = "channelId"

  static func call(
    _ path: String, _ body: JSONValue, _ job: SendJob, retryKey: String? = nil
  ) -> APIRequest {
    let headers = retryKey.map { [APIField("X-Line-Retry-Key", $0)] } ?? []
    return APIRequest(
      "POST", "\(job.secrets.apiURL(address))\(path)", headers: headers, body: .json(body), isRepeatable: true
    ).bearer(job.token ?? job.secrets.first(tokenField) ?? "")
  }

  static func failure(_ answer: APIAnswer, canRenew: Bool, now: Timestamp) -> APIFailure {
    let reason = words(answer.json)
    switch answer.status {
    case 401:
      let words = reason ?? "the channel access token is not valid"
      return APIFailure(
        words, canRenew ? .renewToken : .credentials(action: "give the account a new channel access token"))
    // The month's messages are used up: no wait that the hub could make helps.
    case 429 where reason?.lowercased().contains("monthly limit") ?? false:
      return APIFailure(reason ?? "the monthly limit is reached")
    default: return APIFailure(answer, reason: reason, isRepeatable: true, now: now)
    }
  }

  private static func words(_ json: JSONValue?) -> String? {
    guard let message = json?["message"]?.string else { return nil }
    let details = (json?["details"]?.array ?? []).prefix(3).compactMap { detail -> String? in
      guard let text = detail["message"]?.string else { return nil }
      return detail["property"]?.string.map { "\($0): \(text)" } ?? text
    }
    return details.isEmpty ? message : "\(message) (\(details.joined(separator: "; ")))"
  }

  /// LINE takes a UUID: the job's key, or one that is made of it.
  static func retryKey(_ key: String) -> String {
    if let id = UUIDv7(key) { return id.description }
    return UUIDv7(bytes: Digest.sha256(Array(key.utf8)).prefix(16))?.description ?? key
  }
}

/// Stateless channel access tokens, for a quarter of an hour
/// (https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token).
extension LINEPlatform: TokenPlatform {
  static func canRenew(_ secrets: AccountSecrets) -> Bool {
    secrets.first(LINEAPI.tokenField) == nil && secrets.first(LINEAPI.channelField) != nil
      && secrets.first(secretField) != nil
  }

  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard Self.canRenew(secrets) else { return nil }
    return APIRequest(
      "POST", "\(secrets.apiURL(LINEAPI.address))/oauth2/v3/token",
      body: .form([
        APIField("grant_type", "client_credentials"),
        APIField("client_id", secrets.first(LINEAPI.channelField) ?? ""),
        APIField("client_secret", secrets.first(Self.secretField) ?? ""),
      ]), isRepeatable: true)
  }
}
