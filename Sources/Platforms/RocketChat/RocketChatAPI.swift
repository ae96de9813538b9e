import Bytes
import JSON
import Messaging

/// Calls of a Rocket.Chat server (https://developer.rocket.chat/apidocs).
enum RocketChatAPI {
  static let serverField = "server"
  static let tokenField = "accessToken"
  static let userField = "userId"

  static func canCall(_ secrets: AccountSecrets) -> Bool {
    secrets.server(serverField) != nil && secrets.first(tokenField) != nil && secrets.first(userField) != nil
  }

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, isRepeatable: Bool? = nil
  ) -> APIRequest {
    let url = APIRequest.url((secrets.server(serverField) ?? "") + "/api/v1/" + path, query)
    return APIRequest(method, url, body: body, isRepeatable: isRepeatable)
      .adding("X-Auth-Token", secrets.first(tokenField) ?? "")
      .adding("X-User-Id", secrets.first(userField) ?? "")
  }

  /// `success` decides and not the status.
  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    if answer.isSuccess, let json = answer.json, json["success"] != false { return .success(json) }
    let words = answer.json?["error"]?.string ?? answer.json?["message"]?.string
    if answer.status == 401 {
      let action = "give the account an access token and the user id that it belongs to"
      return .failure(APIFailure(words ?? "the access token is not valid", .credentials(action: action)))
    }
    let type = answer.json?["errorType"]?.string ?? words ?? ""
    if answer.status != 429, type.contains("error-too-many-requests") {
      return .failure(APIFailure(words ?? "too many requests", .pauseAccount(seconds: wait(words) ?? 10)))
    }
    return .failure(APIFailure(answer, reason: words, isRepeatable: isRepeatable, now: now))
  }

  /// "... must wait 5 seconds before trying this endpoint again."
  private static func wait(_ words: String?) -> Double? {
    guard let words, let end = words.firstRange(of: " seconds") else { return nil }
    let digits = words[..<end.lowerBound].split(separator: " ").last ?? ""
    return Double(digits).map { min(max($0, 1), 3_600) }
  }
}
