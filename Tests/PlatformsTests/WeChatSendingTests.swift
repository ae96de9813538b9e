import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite struct WeChatSendingTests {
  static let secrets: [String: [String]] = ["token": ["s"], "appId": ["wx1"], "appSecret": ["x"]]

  private func job(_ action: OutboundAction, secrets: [String: [String]] = secrets) -> SendJob {
    Dialogue.job(action, to: "oOpen1", secrets: secrets, token: "t/1")
  }

  private func step(_ message: OutboundMessage, _ answers: [APIAnswer] = []) throws -> SendStep {
    try Dialogue.sender("wechat").next(job(.message(message)), after: answers)
  }

  private static let good = Dialogue.answer(["errcode": 0, "errmsg": "ok"])

  @Test("a text has no id")
  func text() throws {
    let request = try #require(try step(OutboundMessage(text: "你好")).request)
    #expect(request.line == "POST https://api.weixin.qq.com/cgi-bin/message/custom/send")
    #expect(request.query == ["access_token": "t/1"] && !request.isRepeatable)
    #expect(request.json == ["touser": "oOpen1", "msgtype": "text", "text": ["content": "你好"]])
    #expect(try step(OutboundMessage(text: "你好"), [Self.good]).receipt == SendReceipt())
  }

  @Test("a file is stored, then sent")
  func file() throws {
    let message = OutboundMessage(kind: .image, files: [Dialogue.file()])
    let upload = try #require(try step(message).request)
    #expect(upload.line == "POST https://api.weixin.qq.com/cgi-bin/media/upload" && upload.isRepeatable)
    #expect(upload.query == ["access_token": "t/1", "type": "image"])
    #expect(
      upload.body == .multipart([APIPart("media", file: 0, filename: "a.png", type: "image/png")]))
    let stored = Dialogue.answer(["type": "image", "media_id": "m1", "created_at": 1])
    let request = try #require(try step(message, [stored]).request)
    #expect(request.json == ["touser": "oOpen1", "msgtype": "image", "image": ["media_id": "m1"]])
    #expect(try step(message, [stored, Self.good]).receipt == SendReceipt())
    let video = OutboundFile(
      kind: .video, name: "v.mp4", mimeType: "video/mp4", sizeBytes: 9, storageKey: "k")
    let film = OutboundMessage(
      kind: .video, text: "see", files: [video], extras: ["title": "T", "thumb_media_id": "m0"])
    #expect(
      try step(film, [stored]).request?.json?["video"]
        == ["media_id": "m1", "thumb_media_id": "m0", "title": "T", "description": "see"])
  }

  @Test("a template has an id, by which its end is told, and is sent at any time")
  func template() throws {
    let message = OutboundMessage(extras: ["template": ["template_id": "T1", "data": ["a": ["value": "b"]]]])
    let request = try #require(try step(message).request)
    #expect(request.line == "POST https://api.weixin.qq.com/cgi-bin/message/template/send")
    #expect(
      request.json == [
        "touser": "oOpen1", "template_id": "T1", "data": ["a": ["value": "b"]], "client_msg_id": "0199-key",
      ])
    let named = OutboundMessage(extras: ["template": ["template_id": "T1", "client_msg_id": "mine"]])
    #expect(try step(named).request?.json?["client_msg_id"] == "mine")
    let sent = Dialogue.answer(["errcode": 0, "errmsg": "ok", "msgid": 200_228_332])
    let receipt = try #require(try step(message, [sent]).receipt)
    let xml =
      "<xml><ToUserName>gh</ToUserName><FromUserName>oOpen1</FromUserName><CreateTime>1795219200</CreateTime>"
      + "<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>200228332</MsgID>"
      + "<Status>success</Status></xml>"
    let read = try Dialogue.sender("wechat").normalise(
      WebhookDelivery(body: Array(xml.utf8), receivedAt: Dialogue.now))
    guard case .status(let status)? = read.items.first else {
      Issue.record("no status")
      return
    }
    #expect(status.externalID == receipt.messageID && status.conversation.externalID == "oOpen1")
    var late = job(.message(message))
    late.lastInboundAt = nil
    #expect(SendRules.refusal(of: late, on: try Dialogue.sender("wechat")) == nil)
  }

  @Test("typing, and what only WeChat knows")
  func others() throws {
    let platform = try Dialogue.sender("wechat")
    let typing = try #require(platform.next(job(.typing(false)), after: []).request)
    #expect(typing.line == "POST https://api.weixin.qq.com/cgi-bin/message/custom/typing")
    #expect(typing.json == ["touser": "oOpen1", "command": "CancelTyping"])
    let menu = OutboundMessage(
      extras: [
        "msgtype": "msgmenu", "msgmenu": ["list": []], "customservice": ["kf_account": "a@b"],
      ])
    #expect(
      try step(menu).request?.json == [
        "touser": "oOpen1", "msgtype": "msgmenu", "msgmenu": ["list": []],
        "customservice": ["kf_account": "a@b"],
      ])
  }

  @Test("a stable token")
  func token() throws {
    let platform = try #require(PlatformCatalogue.named("wechat") as? any TokenPlatform)
    let secrets = AccountSecrets(Self.secrets)
    let request = try #require(platform.tokenRequest(secrets, refresh: nil, now: Dialogue.now))
    #expect(request.line == "POST https://api.weixin.qq.com/cgi-bin/stable_token")
    #expect(request.json == ["grant_type": "client_credential", "appid": "wx1", "secret": "x"])
    let given = Dialogue.answer(["access_token": "t", "expires_in": 7_200])
    #expect(
      try platform.token(from: given, now: Dialogue.now).get()
        == AccessToken(value: "t", expiresAt: Timestamp(seconds: Dialogue.now.seconds + 7_200)))
    for code in [40_125, 40_164, 40_001] as [Int64] {
      let refused = Dialogue.answer(["errcode": .integer(code), "errmsg": "no"])
      guard case .failure(let failure) = platform.token(from: refused, now: Dialogue.now),
        case .credentials = failure.remedy
      else {
        Issue.record("\(code)")
        return
      }
    }
    #expect(platform.tokenRequest(AccountSecrets(["token": ["s"]]), refresh: nil, now: Dialogue.now) == nil)
  }

  @Test(
    "failures",
    arguments: [
      (40_001, .renewToken), (42_001, .renewToken), (-1, .later(seconds: nil)),
      (45_011, .pauseAccount(seconds: 60)), (45_009, .pauseAccount(seconds: 3_600)), (45_015, .none),
      (45_047, .none),
      (
        40_164,
        .credentials(action: "add the hub's address to the account's list of IP addresses")
      ),
    ] as [(Int64, APIFailure.Remedy)])
  func failures(code: Int64, remedy: APIFailure.Remedy) throws {
    let answer = Dialogue.answer(["errcode": .integer(code), "errmsg": "no"])
    let failure = try step(OutboundMessage(text: "x"), [answer]).failure
    #expect(failure == APIFailure("\(code): no", remedy))
  }

  @Test("refusals")
  func refusals() throws {
    let platform = try Dialogue.sender("wechat")
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    #expect(code(job(.message(OutboundMessage(text: "x")))) == nil)
    #expect(code(job(.message(OutboundMessage(text: "x")), secrets: ["token": ["s"]])) == .missingCredentials)
    #expect(
      code(job(.message(OutboundMessage(kind: .file, files: [Dialogue.file(.file)])))) == .kindNotSupported)
    let captioned = OutboundMessage(kind: .image, text: "x", files: [Dialogue.file()])
    #expect(code(job(.message(captioned))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage(extras: ["msgtype": "news"])))) == .invalidContent)
    #expect(code(job(.delete(messageID: "1"))) == .notSupported)
    var late = job(.message(OutboundMessage(text: "x")))
    late.lastInboundAt = Timestamp(seconds: Dialogue.now.seconds - 172_801)
    #expect(code(late) == .replyWindowClosed)
  }
}
