import Bytes
import JSON
import Messaging

/// Calls of signal-cli's own daemon over HTTP (man/signal-cli-jsonrpc.5.adoc): JSON-RPC in, server-sent
/// events out. Attachments go as data URIs.
enum SignalDaemon {
  static let interfaceField = "interface"
  static let names = ["rest", "daemon"]
  private static let daemon = "daemon"

  static func isUsed(_ secrets: AccountSecrets) -> Bool { secrets.first(interfaceField) == daemon }

  static func events(_ secrets: AccountSecrets) -> APIRequest {
    var request = SignalAPI.call(
      "GET", "/api/v1/events", secrets, query: [("account", secrets.first(SignalAPI.numberField))],
      timeoutSeconds: 900)
    request.isLongLived = true
    return request.adding("Accept", "text/event-stream")
  }

  // MARK: Calls

  /// nil: there is no such message.
  static func request(_ job: SendJob) -> APIRequest? {
    var parameters = place(job.conversation)
    switch job.action {
    case .message(let message): return self.message(message, job)
    case .edit(let edit):
      guard let target = SignalAPI.parts(edit.messageID, job.secrets) else { return nil }
      parameters["message"] = .string(edit.text)
      parameters["editTimestamp"] = .integer(target.time)
      return call("send", parameters, [], job, isRepeatable: true)
    case .delete(let id):
      guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
      parameters["targetTimestamp"] = .integer(target.time)
      return call("remoteDelete", parameters, [], job, isRepeatable: true)
    case .react(let id, let emoji, let isSet):
      guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
      parameters["emoji"] = .string(emoji)
      parameters["targetAuthor"] = .string(target.author)
      parameters["targetTimestamp"] = .integer(target.time)
      if !isSet { parameters["remove"] = true }
      return call("sendReaction", parameters, [], job, isRepeatable: true)
    case .read(let id):
      guard let target = SignalAPI.parts(id, job.secrets) else { return nil }
      let receipt: [String: JSONValue] = [
        "recipient": .string(target.author), "targetTimestamp": .integer(target.time), "type": "read",
      ]
      return call("sendReceipt", receipt, [], job, isRepeatable: true)
    case .typing(let isTyping):
      if !isTyping { parameters["stop"] = true }
      return call("sendTyping", parameters, [], job, isRepeatable: true)
    }
  }

  private static func place(_ conversation: ConversationRef) -> [String: JSONValue] {
    let id = JSONValue.string(conversation.externalID)
    return conversation.kind == .group ? ["groupId": id] : ["recipient": [id]]
  }

  private static func message(_ message: OutboundMessage, _ job: SendJob) -> APIRequest {
    var parameters = place(job.conversation)
    parameters["message"] = .string(message.text ?? "")
    parameters["sticker"] = message.extras?["sticker"]
    parameters["viewOnce"] = message.extras?["view_once"]
    if let reply = message.replyTo, let target = SignalAPI.parts(reply, job.secrets) {
      parameters["quoteTimestamp"] = .integer(target.time)
      parameters["quoteAuthor"] = .string(target.author)
      parameters["quoteMessage"] = message.extras?["quote_message"]
    }
    return call("send", parameters, message.files, job, isRepeatable: false)
  }

  /// The content of a file that signal-cli has, or of a sticker (`pack:number`). nil: its id is of neither.
  static func file(_ id: String, _ file: FileJob) -> APIRequest? {
    var method = "getAttachment"
    var parameters: [String: JSONValue] = ["id": .string(id)]
    if file.attachment.kind == .sticker {
      let parts = id.split(separator: ":")
      guard parts.count == 2, let number = Int64(parts[1]) else { return nil }
      method = "getSticker"
      parameters = ["packId": .string(String(parts[0])), "stickerId": .integer(number)]
    } else {
      let name = file.conversation.kind == .group ? "groupId" : "recipient"
      parameters[name] = .string(file.conversation.externalID)
    }
    return call(method, parameters, [], file.secrets, key: file.messageID, isRepeatable: true)
  }

  private static func call(
    _ method: String, _ parameters: [String: JSONValue], _ files: [OutboundFile], _ job: SendJob,
    isRepeatable: Bool
  ) -> APIRequest {
    call(method, parameters, files, job.secrets, key: job.key, isRepeatable: isRepeatable)
  }

  private static func call(
    _ method: String, _ parameters: [String: JSONValue], _ files: [OutboundFile], _ secrets: AccountSecrets,
    key: String, isRepeatable: Bool
  ) -> APIRequest {
    var parameters = parameters
    parameters["account"] = .string(secrets.first(SignalAPI.numberField) ?? "")
    if !files.isEmpty { parameters["attachments"] = .array(files.map { .string(SignalAPI.head($0)) }) }
    let places = files.indices.map { APIFilePlace(["params", "attachments", "\($0)"], file: $0) }
    let document: JSONValue = [
      "jsonrpc": "2.0", "id": .string(key), "method": .string(method), "params": .object(parameters),
    ]
    return SignalAPI.call(
      "POST", "/api/v1/rpc", secrets,
      body: places.isEmpty ? .json(document) : .jsonWithFiles(document, places), timeoutSeconds: 120,
      isRepeatable: isRepeatable)
  }

  // MARK: Answers

  /// The result; an error says in its data whom a message did not reach.
  static func result(
    _ answer: APIAnswer, isDirect: Bool, isRepeatable: Bool, now: Timestamp
  ) -> Result<JSONValue, APIFailure> {
    guard answer.isSuccess, let json = answer.json, json.object != nil else {
      return .failure(
        answer.isSuccess
          ? .unreadable(isRepeatable: isRepeatable)
          : APIFailure(answer, isRepeatable: isRepeatable, now: now))
    }
    guard let error = json["error"], error.object != nil else { return .success(json["result"] ?? [:]) }
    if let type = type(error["data"]?["response"]), isDirect {
      return .failure(SignalAPI.failure(type: type))
    }
    let words = error["message"]?.string ?? "signal-cli refused it"
    switch error["code"]?.integer {
    case -3: return .failure(APIFailure(words, isRepeatable ? .later(seconds: nil) : .unknown))
    case -5: return .failure(APIFailure(words, .pauseAccount(seconds: 300)))
    default:
      return .failure(SignalAPI.failure(words: words, isRepeatable: isRepeatable) ?? APIFailure(words))
    }
  }

  /// Why a message did not reach the one person it is for; nil: it did.
  static func type(_ result: JSONValue?) -> String? {
    let type = result?["results"]?[0]?["type"]?.string
    return type == "SUCCESS" ? nil : type
  }
}
