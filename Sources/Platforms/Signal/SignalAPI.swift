import Bytes
import JSON
import Messaging

/// Calls of signal-cli-rest-api and what its answers mean (https://github.com/bbernhard/signal-cli-rest-api);
/// those of signal-cli's own daemon stand in `SignalDaemon`.
///
/// It answers 400 to whatever did not work, with signal-cli's words in `error`: they decide.
enum SignalAPI {
  static let serverField = "server"
  static let numberField = "number"
  static let own = "own"

  static func canCall(_ secrets: AccountSecrets) -> Bool {
    secrets.server(serverField) != nil && secrets.first(numberField) != nil
  }

  /// - Parameter path: what comes before the account's number; nil: the call names it in its body.
  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, query: [(String, String?)] = [],
    body: APIRequest.Body = .none, timeoutSeconds: Int = 60, isRepeatable: Bool = true
  ) -> APIRequest {
    APIRequest(
      method, APIRequest.url((secrets.server(serverField) ?? "") + path, query), body: body,
      timeoutSeconds: timeoutSeconds, isRepeatable: isRepeatable)
  }

  /// An address that ends with the account's number.
  static func path(_ path: String, _ secrets: AccountSecrets) -> String {
    "\(path)/\(APIRequest.element(secrets.first(numberField) ?? ""))"
  }

  /// How the interface names a conversation: groups by signal-cli's id, encoded once more.
  static func recipient(_ conversation: ConversationRef) -> String {
    conversation.kind == .group
      ? "group." + Base64.encode(Array(conversation.externalID.utf8)) : conversation.externalID
  }

  /// A message's author and time, out of its name.
  static func parts(_ id: String, _ secrets: AccountSecrets) -> (author: String, time: Int64)? {
    guard let colon = id.lastIndex(of: ":"), let time = Int64(id[id.index(after: colon)...]) else {
      return nil
    }
    let author = String(id[..<colon])
    guard !author.isEmpty else { return nil }
    return (author == own ? secrets.first(numberField) ?? "" : author, time)
  }

  /// What stands before a file's base64: its type and a name that is none of a folder.
  static func head(_ file: OutboundFile) -> String {
    func plain(_ text: String, _ others: String) -> String {
      String(text.map { $0.isLetter || $0.isNumber || others.contains($0) ? $0 : "_" })
    }
    let name = plain(file.name, "-_. ()")
    let isName = name.contains { $0 != "." && $0 != " " }
    let type = plain(String(file.mimeType.prefix { $0 != ";" }), "/-+.")
    return "data:\(type);filename=\(isName ? name : "file");base64,"
  }

  // MARK: Failures

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let reason = answer.json?["error"]?.string
    let words = reason?.lowercased() ?? ""
    if answer.status == 429 || words.contains("rate limit") || words.contains("ratelimit") {
      let wait = RetryAfter.seconds(answer, now: now) ?? 300
      return APIFailure(reason ?? "too many messages", .pauseAccount(seconds: wait))
    }
    guard answer.status == 400, reason != nil else {
      return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
    return failure(words: reason ?? "", isRepeatable: isRepeatable) ?? APIFailure(reason ?? "")
  }

  /// What signal-cli's words mean; nil: that this call cannot be done.
  static func failure(words reason: String, isRepeatable: Bool) -> APIFailure? {
    let words = reason.lowercased()
    let isUnknownAccount = [
      "specified account does not exist", "not registered", "authorization failed", "no local users found",
    ].contains { words.contains($0) }
    if isUnknownAccount && !words.contains("unregistered") {
      let action = "register or link the account's number again with signal-cli"
      return APIFailure(reason, .credentials(action: action))
    }
    let isNetwork = ["ioexception", "timed out", "timeout", "connection", "unreachable", "network"]
      .contains { words.contains($0) }
    guard isNetwork else { return nil }
    return APIFailure(reason, isRepeatable ? .later(seconds: nil) : .unknown)
  }

  /// What became of a message, for those whom it did not reach. In a group the others have it.
  static func failure(_ answer: JSONValue, isDirect: Bool) -> APIFailure? {
    guard isDirect, let reason = answer["errors"]?["recipients"]?[0]?["reason"]?.string else { return nil }
    return failure(type: reason)
  }

  /// By the type of a result.
  static func failure(type reason: String) -> APIFailure {
    switch reason {
    case "NETWORK_FAILURE": return APIFailure("the network failed on the way", .unknown)
    case "RATE_LIMIT_FAILURE", "PROOF_REQUIRED_FAILURE":
      return APIFailure("Signal wants fewer messages from this number", .pauseAccount(seconds: 300))
    case "UNREGISTERED_FAILURE": return APIFailure("the other side is not on Signal any more")
    case "IDENTITY_FAILURE":
      return APIFailure("the other side's safety number changed: it has to be trusted in signal-cli first")
    default: return APIFailure(reason.lowercased().replacing("_", with: " "))
    }
  }
}
