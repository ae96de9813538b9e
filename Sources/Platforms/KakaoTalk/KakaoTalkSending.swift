import Bytes
import HTTPWire
import JSON
import Messaging

/// Answers by the callback of a message (AI chatbot callback,
/// https://kakaobusiness.gitbook.io/main/tool/chatbot/skill_guide/ai_chatbot_callback_guide): once, within a
/// minute. A bot cannot say anything else.
extension KakaoTalkPlatform: SendingPlatform {
  private static let outputsMax = 3

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    guard Self.callback(job) != nil else {
      return SendRefusal(
        .replyWindowClosed,
        "a KakaoTalk bot answers by the callback of a message only, and the last one has none: switch the "
          + "callback of the block on, and \(Self.callbackField) of the account")
    }
    if let outputs = message.extras?["outputs"] {
      let count = outputs.array?.count ?? 0
      return (1...Self.outputsMax).contains(count)
        ? nil : .content("platform.outputs has 1 to \(Self.outputsMax) elements")
    }
    if (message.text ?? "").isEmpty && message.files.isEmpty { return .content("the message is empty") }
    if message.files.contains(where: { $0.kind != .image }) {
      return SendRefusal(.kindNotSupported, "KakaoTalk takes pictures only")
    }
    if message.files.contains(where: { $0.publicURL == nil }) { return .unreachable(displayName) }
    let count = message.files.count + ((message.text ?? "").isEmpty ? 0 : 1)
    return count > Self.outputsMax ? .content("an answer has \(Self.outputsMax) parts at most") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action, let url = Self.callback(job) else {
      return .impossible(displayName, "say anything but an answer")
    }
    guard let answer = answers.last else {
      return .call(APIRequest("POST", url, body: .json(Self.body(message))))
    }
    guard answer.isSuccess else {
      let reason = answer.json?["message"]?.string
      return .failed(APIFailure(answer, reason: reason, isRepeatable: false, now: job.now))
    }
    guard let status = answer.json?["status"]?.string else {
      return .failed(.unreadable(isRepeatable: false))
    }
    guard status == "SUCCESS" else {
      return .failed(APIFailure("\(status): \(answer.json?["message"]?.string ?? "it was not taken")"))
    }
    return .done(SendReceipt())
  }

  /// Where the answer goes. The address came with a request, so it has to be Kakao's.
  private static func callback(_ job: SendJob) -> String? {
    guard let text = job.lastInboundDetails?["callbackUrl"]?.string, let url = try? HTTPURL(text) else {
      return nil
    }
    if job.secrets.first(AccountSecrets.addressField.name) != nil {
      return job.secrets.apiURL("") + url.target
    }
    let isTheirs = url.host == "kakao.com" || url.host.hasSuffix(".kakao.com")
    return url.scheme == .https && isTheirs ? text : nil
  }

  private static func body(_ message: OutboundMessage) -> JSONValue {
    var outputs: [JSONValue] = []
    if let text = message.text, !text.isEmpty { outputs.append(["simpleText": ["text": .string(text)]]) }
    outputs += message.files.map { file in
      ["simpleImage": ["imageUrl": .string(file.publicURL ?? ""), "altText": .string(file.name)]]
    }
    var template: [String: JSONValue] = ["outputs": message.extras?["outputs"] ?? .array(outputs)]
    template["quickReplies"] = message.extras?["quickReplies"]
    return ["version": "2.0", "template": .object(template)]
  }
}
