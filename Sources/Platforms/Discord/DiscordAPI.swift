import Bytes
import JSON
import Messaging

/// Calls of the REST API and what their answers mean (https://discord.com/developers/docs/reference).
enum DiscordAPI {
  static let address = "https://discord.com/api/v10"
  static let tokenField = "botToken"
  static let guildsField = "guildIds"
  static let channelsField = "channelIds"
  /// Discord asks for the form and refuses others.
  private static let agent = "DiscordBot (messaging-hub, 1)"

  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, timeoutSeconds: Int = 30, isRepeatable: Bool? = nil
  ) -> APIRequest {
    APIRequest(
      method, APIRequest.url("\(secrets.apiURL(address))/\(path)", query),
      headers: [
        APIField("Authorization", "Bot \(secrets.first(tokenField) ?? "")"), APIField("User-Agent", agent),
      ], body: body, timeoutSeconds: timeoutSeconds, isRepeatable: isRepeatable)
  }

  /// - Returns: nil when the answer is good.
  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure? {
    guard !answer.isSuccess else { return nil }
    let json = answer.json
    let reason = words(json)
    switch answer.status {
    case 429:
      let wait = min(max(json?["retry_after"]?.double ?? RetryAfter.seconds(answer, now: now) ?? 5, 0), 3_600)
      let words = reason ?? "too many requests"
      // Without a body it is the network's edge, which counts all calls of this address.
      let isGlobal =
        json == nil || json?["global"]?.bool == true || answer.header("x-ratelimit-global") != nil
      return APIFailure(words, isGlobal ? .pauseAccount(seconds: wait) : .later(seconds: wait))
    case 401:
      return APIFailure(
        reason ?? "the bot token is not valid",
        .credentials(action: "give the account the bot token of the application"))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }

  static func code(_ answer: APIAnswer) -> Int64? { answer.json?["code"]?.integer }

  private static func words(_ json: JSONValue?) -> String? {
    guard let message = json?["message"]?.string else { return nil }
    let errors = json?["errors"].map { ": " + String(decoding: $0.encoded(), as: UTF8.self) } ?? ""
    guard let code = json?["code"]?.integer, code != 0 else { return message }
    return "\(code): \(message)\(errors)"
  }

  // MARK: Ids

  /// The first moment of Discord's ids, in milliseconds since 1970.
  private static let epoch: Int64 = 1_420_070_400_000

  /// The id that a message of this moment would have at least.
  static func id(at time: Timestamp) -> String {
    let milliseconds = min(max(0, time.clamped.microseconds / 1_000 - epoch), (1 << 42) - 1)
    return String(UInt64(milliseconds) << 22)
  }

  // MARK: The key of a message

  private static let nonceBytesMax = 25

  /// Discord takes 25 characters: of a UUID its bytes are written shorter.
  static func nonce(_ key: String) -> String {
    if let id = UUIDv7(key) { return Base64.encode(id.bytes, .url) }
    return String(key.suffix(nonceBytesMax))
  }

  static func key(_ nonce: String) -> String {
    guard nonce.utf8.count == 22, let bytes = Base64.decode(nonce, .url), let id = UUIDv7(bytes: bytes) else {
      return nonce
    }
    return id.description
  }
}
