import Bytes
import JSON
import Messaging

/// Calls of the Bot API and what their answers mean (https://core.telegram.org/bots/api#making-requests).
enum TelegramAPI {
  static let address = "https://api.telegram.org"
  static let tokenField = "botToken"

  static func call(
    _ method: String, _ parameters: JSONValue, _ secrets: AccountSecrets, isRepeatable: Bool = false
  ) -> APIRequest {
    APIRequest("POST", url(method, secrets), body: .json(parameters), isRepeatable: isRepeatable)
  }

  static func url(_ method: String, _ secrets: AccountSecrets) -> String {
    "\(secrets.apiURL(address))/bot\(secrets.first(tokenField) ?? "")/\(method)"
  }

  /// The result of an answer. `ok` decides and not the status.
  static func result(
    _ answer: APIAnswer, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    let json = answer.json
    if json?["ok"]?.bool == true, let result = json?["result"] { return .success(result) }
    let reason = json?["description"]?.string
    if let seconds = json?["parameters"]?["retry_after"]?.double {
      return .failure(APIFailure(reason ?? "too many requests", .pauseAccount(seconds: seconds)))
    }
    switch answer.status {
    case 401,
      404 where reason != nil && reason?.hasPrefix("Bad Request") == false:
      let action = "give the account the bot token that @BotFather shows"
      return .failure(APIFailure(reason ?? "the bot token is not valid", .credentials(action: action)))
    // Another reader ended this call, as after a change of nodes: one of them goes on.
    case 409 where reason?.contains("webhook") != true:
      return .failure(APIFailure(reason ?? "somebody else receives its updates", .later(seconds: nil)))
    case 409:
      let action = "remove the bot's webhook (deleteWebhook), or switch the account's polling off"
      return .failure(
        APIFailure(reason ?? "somebody else receives its updates", .credentials(action: action)))
    default:
      return .failure(APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now))
    }
  }
}
