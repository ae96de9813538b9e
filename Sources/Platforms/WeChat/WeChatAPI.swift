import Bytes
import JSON
import Messaging

/// Calls of an official account's API and what its numbers mean
/// (https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html). The status is
/// 200 always: `errcode` in the body decides.
enum WeChatAPI {
  static let appField = "appId"
  static let secretField = "appSecret"
  static let address = "https://api.weixin.qq.com"

  static func call(
    _ path: String, _ job: SendJob, query: [(String, String?)] = [], body: APIRequest.Body,
    timeoutSeconds: Int = 30, isRepeatable: Bool
  ) -> APIRequest {
    let url = APIRequest.url(
      "\(job.secrets.apiURL(address))/cgi-bin/\(path)", [("access_token", job.token ?? "")] + query)
    return APIRequest("POST", url, body: body, timeoutSeconds: timeoutSeconds, isRepeatable: isRepeatable)
  }

  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    guard answer.isSuccess, let json = answer.json, json.object != nil else {
      return .failure(
        answer.isSuccess
          ? .unreadable(isRepeatable: isRepeatable)
          : APIFailure(answer, isRepeatable: isRepeatable, now: now))
    }
    let code = json["errcode"]?.integer ?? 0
    return code == 0 ? .success(json) : .failure(failure(code, json["errmsg"]?.string))
  }

  private static func failure(_ code: Int64, _ words: String?) -> APIFailure {
    let reason = "\(code): \(words ?? "WeChat refused it")"
    switch code {
    case 40_001, 40_014, 41_001, 42_001, 42_007: return APIFailure(reason, .renewToken)
    // The system is busy.
    case -1: return APIFailure(reason, .later(seconds: nil))
    case 45_011: return APIFailure(reason, .pauseAccount(seconds: 60))
    // The quota of the day.
    case 45_009: return APIFailure(reason, .pauseAccount(seconds: RetryAfter.secondsMax))
    case 40_002, 40_013, 40_125, 41_002, 41_004:
      return APIFailure(reason, .credentials(action: "give the account its app id and app secret"))
    case 40_164, 61_004:
      return APIFailure(
        reason, .credentials(action: "add the hub's address to the account's list of IP addresses"))
    case 48_001, 48_004, 50_001, 50_002:
      return APIFailure(
        reason, .credentials(action: "see at WeChat why the account may not use this interface"))
    default: return APIFailure(reason)
    }
  }
}

/// Stable access tokens, which do not end those that others were given
/// (https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html).
extension WeChatPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard let app = secrets.first(WeChatAPI.appField), let secret = secrets.first(WeChatAPI.secretField)
    else {
      return nil
    }
    return APIRequest(
      "POST", "\(secrets.apiURL(WeChatAPI.address))/cgi-bin/stable_token",
      body: .json([
        "grant_type": "client_credential", "appid": .string(app), "secret": .string(secret),
      ]), isRepeatable: true)
  }

  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    switch WeChatAPI.result(answer, isRepeatable: true, now: now) {
    case .failure(let failure):
      // No token is older than this one.
      guard failure.remedy != .renewToken else {
        let action = "give the account its app id and app secret"
        return .failure(APIFailure(failure.reason, .credentials(action: action)))
      }
      return .failure(failure)
    case .success(let json):
      guard let value = json["access_token"]?.string else {
        return .failure(.unreadable(isRepeatable: true))
      }
      let seconds = min(max(json["expires_in"]?.integer ?? 7_200, 0), 31_536_000)
      return .success(
        AccessToken(value: value, expiresAt: Timestamp(seconds: now.seconds + seconds)))
    }
  }
}
