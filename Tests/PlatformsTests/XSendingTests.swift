import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct XSendingTests {
  private static let secrets = ["accessToken": "T", "userId": "433"]
  private static let api = "https://api.x.com/2/"

  private static func job(
    _ message: OutboundMessage, to id: String = "906", _ kind: ConversationRef.Kind = .direct
  ) -> SendJob {
    ChatJobs.job(.message(message), to: id, kind, secrets)
  }

  private static let sent = ChatJobs.answer(
    ["data": ["dm_conversation_id": "433-906", "dm_event_id": "954"]], status: 201)

  @Test("sends a text, and knows it again in the webhook")
  func text() throws {
    let platform = try ChatJobs.sender("x")
    let job = Self.job(OutboundMessage(text: "hi"))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == Self.api + "dm_conversations/with/906/messages" && !request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Bearer T")
    #expect(try ChatJobs.json(request) == ["text": "hi"])
    let receipt = try ChatJobs.receipt(platform.next(job, after: [Self.sent]))
    let event: JSONValue = [
      "type": "message_create", "id": "954", "created_timestamp": "1795219201000",
      "message_create": [
        "target": ["recipient_id": "906"], "sender_id": "433", "message_data": ["text": "hi"],
      ],
    ]
    let items = try ChatJobs.read("x", ["for_user_id": "433", "direct_message_events": [event]])
    guard case .message(let message)? = items.first else {
      Issue.record("no message")
      return
    }
    #expect(message.externalID == receipt.messageID && message.text == "hi" && message.direction == .outbound)
    #expect(message.conversation == job.conversation)
    let group = try ChatJobs.call(
      platform.next(Self.job(OutboundMessage(text: "hi"), to: "1582", .group), after: []))
    #expect(group.url == Self.api + "dm_conversations/1582/messages")
  }

  @Test("uploads a picture and sends it")
  func image() throws {
    let platform = try ChatJobs.sender("x")
    let file = ChatJobs.file(.image, "image/png", name: "a.png")
    let job = Self.job(OutboundMessage(kind: .image, text: "look", files: [file]))
    let upload = try ChatJobs.call(platform.next(job, after: []))
    #expect(upload.url == Self.api + "media/upload" && upload.isRepeatable)
    #expect(
      try ChatJobs.parts(upload) == [
        APIPart("media_category", "dm_image"), APIPart("media_type", "image/png"),
        APIPart("media", file: 0, filename: "a.png", type: "image/png"),
      ])
    let uploaded = ChatJobs.answer(["data": ["id": "188"]])
    let send = try ChatJobs.call(platform.next(job, after: [uploaded]))
    #expect(try ChatJobs.json(send) == ["text": "look", "attachments": [["media_id": "188"]]])
    #expect(try ChatJobs.receipt(platform.next(job, after: [uploaded, Self.sent])).messageID == "954")
    #expect(try ChatJobs.remedy("x", job, ChatJobs.answer([:], status: 500)) == .later(seconds: nil))
  }

  @Test("uploads a video in parts and waits until it is ready")
  func video() throws {
    let platform = try ChatJobs.sender("x")
    let job = Self.job(OutboundMessage(kind: .video, files: [ChatJobs.file(.video, "video/mp4", size: 9)]))
    let begin = try ChatJobs.call(platform.next(job, after: []))
    #expect(begin.url == Self.api + "media/upload/initialize")
    #expect(
      try ChatJobs.json(begin) == ["media_type": "video/mp4", "total_bytes": 9, "media_category": "dm_video"])
    var answers = [ChatJobs.answer(["data": ["id": "188"]])]
    let append = try ChatJobs.call(platform.next(job, after: answers))
    #expect(append.url == Self.api + "media/upload/188/append")
    answers.append(APIAnswer(status: 204, body: []))
    let finish = try ChatJobs.call(platform.next(job, after: answers))
    #expect(finish.url == Self.api + "media/upload/188/finalize" && finish.body == .none)
    func state(_ text: String, after seconds: Int64? = nil) -> APIAnswer {
      var info: [String: JSONValue] = ["state": .string(text)]
      info["check_after_secs"] = seconds.map { .integer($0) }
      return ChatJobs.answer(["data": ["id": "188", "processing_info": .object(info)]])
    }
    answers.append(state("pending", after: 5))
    let look = try ChatJobs.call(platform.next(job, after: answers))
    #expect(look.url == Self.api + "media/upload?command=STATUS&media_id=188")
    #expect(look.delaySeconds == 5)
    let more = try ChatJobs.call(platform.next(job, after: answers + [state("in_progress", after: 3_600)]))
    #expect(more.delaySeconds == 15)
    let failed = platform.next(job, after: answers + [state("failed")])
    #expect(try ChatJobs.failure(failed).remedy == .none)
    answers += [state("in_progress"), state("succeeded")]
    #expect(
      try ChatJobs.json(ChatJobs.call(platform.next(job, after: answers))) == [
        "attachments": [["media_id": "188"]]
      ])
    #expect(try ChatJobs.receipt(platform.next(job, after: answers + [Self.sent])).messageID == "954")
    let slow = answers.prefix(3) + Array(repeating: state("pending"), count: 30)
    #expect(try ChatJobs.failure(platform.next(job, after: Array(slow))).remedy == .later(seconds: 30))
  }

  @Test("refuses before the network")
  func refuses() throws {
    let image = ChatJobs.file(.image, "image/png")
    let cases: [(OutboundMessage, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), .invalidContent),
      (OutboundMessage(kind: .image, files: [image, image]), .invalidContent),
      (
        OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/png", size: 5 << 20 + 1)]),
        .invalidContent
      ),
      (OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/tiff")]), .invalidContent),
      (OutboundMessage(kind: .file), .kindNotSupported),
      (OutboundMessage(text: String(repeating: "a", count: 10_001)), .textTooLong),
    ]
    for (message, code) in cases { #expect(try ChatJobs.refusal("x", Self.job(message)) == code) }
    let bare = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "1", ["userId": "433"])
    #expect(try ChatJobs.refusal("x", bare) == .missingCredentials)
    let reply = Self.job(OutboundMessage(text: "x", replyTo: "1"))
    #expect(try ChatJobs.refusal("x", reply) == .notSupported)
  }

  @Test("refuses what is only told")
  func oneWay() throws {
    for action in [OutboundAction.read(upTo: "1"), .typing(true)] {
      let job = ChatJobs.job(action, to: "1", Self.secrets)
      #expect(try ChatJobs.refusal("x", job) == .notSupported)
    }
  }

  @Test("knows what an error means")
  func errors() throws {
    let job = Self.job(OutboundMessage(text: "hi"))
    let reset = String(ChatJobs.now.seconds + 90)
    let limited = ChatJobs.answer(
      ["title": "Too Many Requests"], status: 429,
      headers: ["x-rate-limit-remaining": "0", "x-rate-limit-reset": reset])
    #expect(try ChatJobs.remedy("x", job, limited) == .pauseAccount(seconds: 90))
    let forbidden = ChatJobs.answer(
      ["title": "Forbidden", "detail": "You cannot message this user."], status: 403)
    #expect(
      try ChatJobs.failure(ChatJobs.sender("x").next(job, after: [forbidden]))
        == APIFailure("You cannot message this user."))
    #expect(try ChatJobs.remedy("x", job, ChatJobs.answer([:], status: 503)) == .later(seconds: nil))
    #expect(try ChatJobs.remedy("x", job, ChatJobs.answer([:], status: 500)) == .unknown)
    #expect(try ChatJobs.remedy("x", job, ChatJobs.answer(["data": [:]], status: 201)) == .unknown)
    guard case .credentials = try ChatJobs.remedy("x", job, ChatJobs.answer([:], status: 401)) else {
      Issue.record("a person has to act")
      return
    }
  }

  @Test("renews its tokens")
  func tokens() throws {
    let platform = try #require(PlatformCatalogue.named("x") as? any TokenPlatform)
    let values = ["userId": "433", "refreshToken": "R", "clientId": "c", "clientSecret": "s"]
    let secrets = ChatJobs.secrets(values)
    let request = try #require(platform.tokenRequest(secrets, refresh: "R2", now: ChatJobs.now))
    #expect(request.url == Self.api + "oauth2/token" && !request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Basic Yzpz")
    #expect(
      try ChatJobs.form(request) == ["grant_type": "refresh_token", "refresh_token": "R2", "client_id": "c"])
    let answer = ChatJobs.answer(["access_token": "A", "expires_in": 7_200, "refresh_token": "R3"])
    let token = try platform.token(from: answer, now: ChatJobs.now).get()
    #expect(token.refresh == "R3" && token.expiresAt == Timestamp(seconds: ChatJobs.now.seconds + 7_200))
    let gone = ChatJobs.answer(
      ["error": "invalid_request", "error_description": "Value passed for the token was invalid."],
      status: 400)
    guard case .failure(let failure) = platform.token(from: gone, now: ChatJobs.now),
      case .credentials = failure.remedy
    else {
      Issue.record("a person has to act")
      return
    }
    // Nothing was said with a token that was not had.
    let busy = ChatJobs.answer([:], status: 500)
    guard case .failure(let broken) = platform.token(from: busy, now: ChatJobs.now) else {
      Issue.record("there is no token")
      return
    }
    #expect(broken.remedy == .later(seconds: nil))
    let job = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "906", values, token: "A")
    #expect(try ChatJobs.remedy("x", job, ChatJobs.answer([:], status: 401)) == .renewToken)
  }
}
