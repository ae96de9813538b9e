import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite struct ZaloSendingTests {
  static let secrets: [String: [String]] = [
    "appId": ["a1"], "oaSecret": ["s"], "appSecret": ["x"], "refreshToken": ["r0"],
  ]

  private func job(
    _ action: OutboundAction, _ kind: ConversationRef.Kind = .direct, secrets: [String: [String]] = secrets
  ) -> SendJob {
    Dialogue.job(action, to: "u1", kind: kind, secrets: secrets, token: "t1")
  }

  private func step(
    _ message: OutboundMessage, _ answers: [APIAnswer] = [], _ kind: ConversationRef.Kind = .direct
  ) throws -> SendStep {
    try Dialogue.sender("zalo").next(job(.message(message), kind), after: answers)
  }

  @Test("a text, and the event that tells of it")
  func text() throws {
    let message = OutboundMessage(text: "chào", replyTo: "in-1")
    let request = try #require(try step(message).request)
    #expect(request.line == "POST https://openapi.zalo.me/v3.0/oa/message/cs" && !request.isRepeatable)
    #expect(request.header("access_token") == "t1")
    #expect(
      request.json == [
        "recipient": ["user_id": "u1"], "message": ["text": "chào", "quote_message_id": "in-1"],
      ])
    let sent = Dialogue.answer([
      "error": 0, "message": "Success", "data": ["message_id": "m1", "user_id": "u1"],
    ])
    let receipt = try #require(try step(message, [sent]).receipt)
    let event: JSONValue = [
      "app_id": "a1", "event_name": "oa_send_text", "timestamp": "1795219200123", "sender": ["id": "oa"],
      "recipient": ["id": "u1"], "message": ["msg_id": "m1", "text": "chào"],
    ]
    let read = try Dialogue.sender("zalo").normalise(
      WebhookDelivery(body: event.encoded(), receivedAt: Dialogue.now))
    let echo = try #require(read.messages.first)
    #expect(echo.externalID == receipt.messageID && echo.direction == .outbound && echo.text == "chào")
    #expect(echo.conversation.externalID == "u1")
  }

  @Test("files are stored, then sent")
  func files() throws {
    let picture = OutboundMessage(kind: .image, text: "see", files: [Dialogue.file()])
    let upload = try #require(try step(picture).request)
    #expect(upload.line == "POST https://openapi.zalo.me/v2.0/oa/upload/image" && upload.isRepeatable)
    let stored = Dialogue.answer(["error": 0, "data": ["attachment_id": "i1"]])
    #expect(
      try step(picture, [stored]).request?.json?["message"] == [
        "text": "see",
        "attachment": [
          "type": "template",
          "payload": [
            "template_type": "media", "elements": [["media_type": "image", "attachment_id": "i1"]],
          ],
        ],
      ])
    let document = OutboundMessage(kind: .file, files: [Dialogue.file(.file)])
    let token = Dialogue.answer(["error": 0, "data": ["token": "f1"]])
    #expect(
      try step(document, [token]).request?.json?["message"]
        == ["attachment": ["type": "file", "payload": ["token": "f1"]]])
    let sticker = OutboundMessage(kind: .sticker, extras: ["sticker": "s1"])
    #expect(
      try step(sticker).request?.json?["message"]?["attachment"]?["payload"]?["elements"]
        == [["media_type": "sticker", "attachment_id": "s1"]])
  }

  @Test("a group has an address of its own")
  func group() throws {
    let request = try #require(try step(OutboundMessage(text: "x"), [], .group).request)
    #expect(request.line == "POST https://openapi.zalo.me/v3.0/oa/group/message")
    #expect(request.json?["recipient"] == ["group_id": "u1"])
  }

  @Test("a refresh token is used once")
  func token() throws {
    let platform = try #require(PlatformCatalogue.named("zalo") as? any TokenPlatform)
    let secrets = AccountSecrets(Self.secrets)
    let first = try #require(platform.tokenRequest(secrets, refresh: nil, now: Dialogue.now))
    #expect(first.line == "POST https://oauth.zaloapp.com/v4/oa/access_token" && !first.isRepeatable)
    #expect(first.header("secret_key") == "x")
    #expect(first.form == ["grant_type": "refresh_token", "refresh_token": "r0", "app_id": "a1"])
    let given = Dialogue.answer(["access_token": "t", "refresh_token": "r1", "expires_in": "90000"])
    let token = try platform.token(from: given, now: Dialogue.now).get()
    #expect(
      token
        == AccessToken(
          value: "t", expiresAt: Timestamp(seconds: Dialogue.now.seconds + 90_000), refresh: "r1"))
    let next = platform.tokenRequest(secrets, refresh: token.refresh, now: Dialogue.now)
    #expect(next?.form["refresh_token"] == "r1")
    let used = Dialogue.answer(["error": -14_014, "error_name": "Invalid refresh token"])
    guard case .failure(let failure) = platform.token(from: used, now: Dialogue.now),
      case .credentials = failure.remedy
    else {
      Issue.record("a used refresh token")
      return
    }
  }

  @Test(
    "a login that is busy needs nobody",
    arguments: [
      (-32, "Application reach limit calls per minute", .pauseAccount(seconds: 60)),
      (-211, "Out of quota", .pauseAccount(seconds: 3_600)),
      (-14_000, "System error, please try again later", .later(seconds: nil)),
      (-14_014, "Invalid refresh token", .credentials(action: "authorise the app again at Zalo")),
      (-14_020, "Expired refresh token", .credentials(action: "authorise the app again at Zalo")),
      (-14_004, "Invalid secret key", .credentials(action: "authorise the app again at Zalo")),
    ] as [(Int64, String, APIFailure.Remedy)])
  func login(code: Int64, words: String, remedy: APIFailure.Remedy) throws {
    let platform = try #require(PlatformCatalogue.named("zalo") as? any TokenPlatform)
    let answer = Dialogue.answer(["error": .integer(code), "error_description": .string(words)])
    guard case .failure(let failure) = platform.token(from: answer, now: Dialogue.now) else {
      Issue.record("a token")
      return
    }
    #expect(failure == APIFailure("\(code): \(words)", remedy))
  }

  @Test(
    "failures",
    arguments: [
      (-216, .renewToken), (-124, .renewToken), (-32, .pauseAccount(seconds: 60)),
      (-211, .pauseAccount(seconds: 3_600)), (-230, .none), (-213, .none), (-200, .unknown),
      (-224, .credentials(action: "see at Zalo what the account or its app may do")),
    ] as [(Int64, APIFailure.Remedy)])
  func failures(code: Int64, remedy: APIFailure.Remedy) throws {
    let answer = Dialogue.answer(["error": .integer(code), "message": "no"])
    #expect(try step(OutboundMessage(text: "x"), [answer]).failure == APIFailure("\(code): no", remedy))
  }

  @Test("an access token alone cannot be renewed")
  func alone() throws {
    let secrets = ["appId": ["a1"], "oaSecret": ["s"], "accessToken": ["t0"]]
    let platform = try Dialogue.sender("zalo")
    var job = job(.message(OutboundMessage(text: "x")), secrets: secrets)
    job.token = nil
    #expect(platform.next(job, after: []).request?.header("access_token") == "t0")
    let ended = Dialogue.answer(["error": -216, "message": "ended"])
    guard case .credentials? = platform.next(job, after: [ended]).failure?.remedy else {
      Issue.record("no credentials")
      return
    }
  }

  @Test("refusals")
  func refusals() throws {
    let platform = try Dialogue.sender("zalo")
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    #expect(code(job(.message(OutboundMessage(text: "x")))) == nil)
    #expect(
      code(job(.message(OutboundMessage(text: "x")), secrets: ["appId": ["a"]])) == .missingCredentials)
    let zip = OutboundFile(
      kind: .file, name: "a.zip", mimeType: "application/zip", sizeBytes: 1, storageKey: "k")
    #expect(code(job(.message(OutboundMessage(kind: .file, files: [zip])))) == .invalidContent)
    let large = OutboundFile(
      kind: .image, name: "a.png", mimeType: "image/png", sizeBytes: 2 << 20, storageKey: "k")
    #expect(code(job(.message(OutboundMessage(kind: .image, files: [large])))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage(kind: .sticker)))) == .invalidContent)
    #expect(code(job(.read(upTo: "1"))) == .notSupported)
  }
}
