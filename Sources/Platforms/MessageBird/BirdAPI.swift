import Bytes
import JSON
import Messaging

/// What the interfaces of MessageBird and of Bird have in common: the key, and how they refuse.
enum BirdAPI {
  static let keyField = "accessKey"
  static let workspaceField = "workspaceId"

  static func call(_ url: String, _ body: JSONValue, _ secrets: AccountSecrets) -> APIRequest {
    APIRequest("POST", url, body: .json(body))
      .adding("Authorization", "AccessKey \(secrets.first(keyField) ?? "")")
  }

  /// MessageBird lists errors with numbers, Bird has one with a word.
  static func failure(_ answer: APIAnswer, now: Timestamp) -> APIFailure {
    let json = answer.json
    let errors = (json?["errors"]?.array ?? []).prefix(5)
    let words = errors.compactMap { $0["description"]?.string ?? $0["message"]?.string }
    let reason = words.isEmpty ? json?["message"]?.string : words.joined(separator: "; ")
    let codes = errors.compactMap { $0["code"]?.integer }
    if answer.status == 401 || answer.status == 403 || codes.contains(2) {
      let action = "give the account an access key that may send"
      return APIFailure(reason ?? "the access key is not valid", .credentials(action: action))
    }
    if answer.status == 402 || codes.contains(25) {
      return APIFailure(reason ?? "the balance is too low", .credentials(action: "top up the balance"))
    }
    return APIFailure(answer, reason: reason, isRepeatable: false, now: now)
  }

  /// What cannot be sent over either.
  static func refusal(of message: OutboundMessage, on platform: any Platform, extras: [String])
    -> SendRefusal?
  {
    if extras.contains(where: { message.extras?[$0]?.object != nil }) { return nil }
    if message.files.isEmpty {
      return (message.text ?? "").isEmpty ? .content("the message is empty") : nil
    }
    return message.files.contains { $0.publicURL == nil } ? .unreachable(platform.displayName) : nil
  }
}
