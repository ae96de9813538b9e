import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite struct KakaoTalkSendingTests {
  static let secrets: [String: [String]] = ["headerSecret": ["s"], "useCallback": ["true"]]
  private static let url = "https://bot-api.kakao.com/v1/callback/abc?t=1"

  private func job(
    _ message: OutboundMessage, callback: String? = url, _ more: [String: [String]] = [:]
  ) -> SendJob {
    Dialogue.job(
      .message(message), to: "u1", secrets: Self.secrets.merging(more) { $1 },
      details: callback.map { ["callbackUrl": .string($0)] })
  }

  private func webhook(_ body: JSONValue, useCallback: String?) throws -> JSONValue? {
    let platform = try Dialogue.sender("kakaotalk")
    var secrets = Self.secrets
    secrets["useCallback"] = useCallback.map { [$0] }
    let request = WebhookRequest(
      headers: [WebhookHeader("X-Hub-Secret", "s")], body: body.encoded())
    guard
      case .accepted(let answer) = platform.receive(
        request, WebhookContext(secrets: AccountSecrets(secrets), now: Dialogue.now))
    else { return nil }
    return try JSONValue(parsing: answer.body)
  }

  @Test("a callback is taken where it is offered and switched on")
  func announced() throws {
    let offered: JSONValue = ["userRequest": ["callbackUrl": .string(Self.url)]]
    #expect(try webhook(offered, useCallback: "true")?["useCallback"] == true)
    #expect(try webhook(offered, useCallback: nil)?["useCallback"] == nil)
    let plain = try webhook(["userRequest": [:]], useCallback: "true")
    #expect(plain?["useCallback"] == nil && plain?["template"]?["outputs"] != nil)
  }

  @Test("the callback of the last message takes the answer")
  func answer() throws {
    let platform = try Dialogue.sender("kakaotalk")
    let body: JSONValue = [
      "userRequest": [
        "utterance": "hi", "user": ["id": "u1"], "callbackUrl": .string(Self.url),
      ]
    ]
    let read = try platform.normalise(WebhookDelivery(body: body.encoded(), receivedAt: Dialogue.now))
    var job = job(
      OutboundMessage(
        kind: .image, text: "hello", files: [Dialogue.file(url: "https://hub/a.png")],
        extras: ["quickReplies": [["label": "Yes"]]]))
    job.lastInboundDetails = try #require(read.messages.first?.details)
    let request = try #require(platform.next(job, after: []).request)
    #expect(request.method == "POST" && request.url == Self.url && !request.isRepeatable)
    #expect(
      request.json == [
        "version": "2.0",
        "template": [
          "outputs": [
            ["simpleText": ["text": "hello"]],
            ["simpleImage": ["imageUrl": "https://hub/a.png", "altText": "a.png"]],
          ], "quickReplies": [["label": "Yes"]],
        ],
      ])
    let taken = Dialogue.answer(["taskId": "1", "status": "SUCCESS", "message": ""])
    #expect(platform.next(job, after: [taken]).receipt == SendReceipt())
    let used = Dialogue.answer(["status": "FAIL", "message": "expired"])
    #expect(platform.next(job, after: [used]).failure == APIFailure("FAIL: expired"))
    #expect(platform.next(job, after: [Dialogue.answer([:], status: 500)]).failure?.remedy == .unknown)
  }

  @Test("nothing is sent anywhere else")
  func refusals() throws {
    let platform = try Dialogue.sender("kakaotalk")
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    let text = OutboundMessage(text: "x")
    #expect(code(job(text)) == nil)
    #expect(code(job(text, callback: nil)) == .replyWindowClosed)
    for foreign in ["http://bot-api.kakao.com/x", "https://kakao.com.evil.test/x", "https://akakao.com/x"] {
      #expect(code(job(text, callback: foreign)) == .replyWindowClosed)
      #expect(platform.next(job(text, callback: foreign), after: []).request == nil)
    }
    var late = job(text)
    late.lastInboundAt = Timestamp(seconds: Dialogue.now.seconds - 61)
    #expect(SendRules.refusal(of: late, on: platform)?.reason.contains("60 seconds") == true)
    #expect(code(job(OutboundMessage())) == .invalidContent)
    #expect(code(job(OutboundMessage(kind: .image, files: [Dialogue.file()]))) == .invalidContent)
    #expect(code(job(OutboundMessage(kind: .file, files: [Dialogue.file(.file)]))) == .kindNotSupported)
    var typing = job(text)
    typing.action = .typing(true)
    #expect(code(typing) == .notSupported)
    let test = job(text, ["apiURL": ["http://127.0.0.1:9"]])
    #expect(platform.next(test, after: []).request?.url == "http://127.0.0.1:9/v1/callback/abc?t=1")
  }
}
