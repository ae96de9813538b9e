import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct DiscordSendingTests {
  private static let secrets = ["botToken": "MTk"]
  private static let api = "https://discord.com/api/v10/"

  private static func job(_ action: OutboundAction) -> SendJob {
    ChatJobs.job(action, to: "2909", .group, secrets)
  }

  private static let sent: JSONValue = [
    "id": "334385199974967042", "channel_id": "2909", "type": 0, "content": "hi",
    "author": ["id": "80", "username": "hub", "bot": true], "timestamp": "2017-07-11T17:27:07.299000+00:00",
  ]

  @Test("sends an answer once, by its nonce")
  func text() throws {
    let platform = try ChatJobs.sender("discord")
    let job = Self.job(.message(OutboundMessage(text: "hi", replyTo: "33")))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == Self.api + "channels/2909/messages" && request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Bot MTk")
    #expect(ChatJobs.header(request, "User-Agent")?.hasPrefix("DiscordBot (") == true)
    let body = try ChatJobs.json(request)
    let nonce = try #require(body["nonce"]?.string)
    #expect((1...25).contains(nonce.utf8.count))
    #expect(
      body == [
        "content": "hi", "nonce": .string(nonce), "enforce_nonce": true,
        "allowed_mentions": ["parse": ["users"], "replied_user": true],
        "message_reference": ["message_id": "33", "fail_if_not_exists": false],
      ])
    let receipt = try ChatJobs.receipt(platform.next(job, after: [ChatJobs.answer(Self.sent)]))
    #expect(receipt.messageID == "334385199974967042")
    #expect(receipt.sentAt == Timestamp(rfc3339: "2017-07-11T17:27:07.299Z"))
    #expect(!platform.isRepeatable(job.action) && platform.isRepeatable(.delete(messageID: "1")))
  }

  @Test("sends again only while Discord remembers the nonce", arguments: [(59, true), (61, false)])
  func nonceForgotten(seconds: Int64, isRepeatable: Bool) throws {
    let platform = try ChatJobs.sender("discord")
    var job = Self.job(.message(OutboundMessage(text: "hi")))
    job.now = Timestamp(seconds: job.now.seconds + seconds)
    #expect(try ChatJobs.call(platform.next(job, after: [])).isRepeatable == isRepeatable)
    let step = platform.next(job, after: [ChatJobs.answer([:], status: 502)])
    #expect((try ChatJobs.failure(step).remedy == .unknown) == !isRepeatable)
  }

  @Test("gives every key a nonce of its own, that fits")
  func nonces() throws {
    var seen: Set<String> = []
    for number in 0..<200 {
      let id = UUIDv7(
        milliseconds: UInt64(number), counter: 0, random: UInt64(number) &* 0x9e37_79b9_7f4a_7c15)
      var job = Self.job(.message(OutboundMessage(text: "x")))
      job.key = id.description
      let body = try ChatJobs.json(ChatJobs.call(ChatJobs.sender("discord").next(job, after: [])))
      let nonce = try #require(body["nonce"]?.string)
      #expect(nonce.utf8.count <= 25 && seen.insert(nonce).inserted)
    }
  }

  @Test("sends files and their text in one call, into a thread")
  func files() throws {
    let files = [
      ChatJobs.file(.image, "image/png", name: "a.png"), ChatJobs.file(.file, "text/plain", name: "b.txt"),
    ]
    let job = Self.job(.message(OutboundMessage(kind: .image, text: "look", files: files, threadID: "77")))
    let request = try ChatJobs.call(ChatJobs.sender("discord").next(job, after: []))
    #expect(request.url == Self.api + "channels/77/messages")
    let parts = try ChatJobs.parts(request)
    #expect(
      Array(parts.dropFirst()) == [
        APIPart("files[0]", file: 0, filename: "a.png", type: "image/png"),
        APIPart("files[1]", file: 1, filename: "b.txt", type: "text/plain"),
      ])
    guard case .text(let text)? = parts.first?.content else {
      Issue.record("no payload")
      return
    }
    let payload = try JSONValue(parsing: text.utf8)
    #expect(parts.first?.name == "payload_json" && parts.first?.type == "application/json")
    #expect(payload["attachments"] == [["id": 0, "filename": "a.png"], ["id": 1, "filename": "b.txt"]])
    #expect(payload["content"] == "look" && payload["enforce_nonce"] == true)
  }

  static let actions: [(OutboundAction, String, String, APIRequest.Body)] = [
    (
      .edit(OutboundEdit(messageID: "5", text: "new")), "PATCH", "channels/2909/messages/5",
      .json(["content": "new"])
    ),
    (.delete(messageID: "5"), "DELETE", "channels/2909/messages/5", .none),
    (
      .react(messageID: "5", emoji: "🔥", isSet: true), "PUT",
      "channels/2909/messages/5/reactions/%F0%9F%94%A5/@me", .none
    ),
    (
      .react(messageID: "5", emoji: "<:cat:99>", isSet: false), "DELETE",
      "channels/2909/messages/5/reactions/cat%3A99/@me", .none
    ),
    (.typing(true), "POST", "channels/2909/typing", .none),
  ]

  @Test("edits, deletes, reacts and shows typing", arguments: actions)
  func action(action: OutboundAction, method: String, path: String, body: APIRequest.Body) throws {
    let platform = try ChatJobs.sender("discord")
    #expect(try ChatJobs.refusal("discord", Self.job(action)) == nil)
    let request = try ChatJobs.call(platform.next(Self.job(action), after: []))
    #expect(request.method == method && request.url == Self.api + path && request.body == body)
    let done = APIAnswer(status: 204, body: [])
    #expect(try ChatJobs.receipt(platform.next(Self.job(action), after: [done])) == SendReceipt())
  }

  @Test("what is deleted already is done")
  func already() throws {
    let gone = ChatJobs.answer(["code": 10_008, "message": "Unknown Message"], status: 404)
    let platform = try ChatJobs.sender("discord")
    #expect(
      try ChatJobs.receipt(platform.next(Self.job(.delete(messageID: "5")), after: [gone])) == SendReceipt())
    #expect(try ChatJobs.receipt(platform.next(Self.job(.typing(false)), after: [])) == SendReceipt())
  }

  @Test("refuses before the network")
  func refuses() throws {
    let file = ChatJobs.file(.file, "text/plain")
    let cases: [(OutboundMessage, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), .invalidContent), (OutboundMessage(kind: .poll), .invalidContent),
      (OutboundMessage(kind: .sticker), .invalidContent),
      (OutboundMessage(text: String(repeating: "a", count: 2_001)), .textTooLong),
      (OutboundMessage(kind: .file, files: Array(repeating: file, count: 11)), .invalidContent),
      (OutboundMessage(kind: .location), .kindNotSupported),
    ]
    for (message, code) in cases {
      #expect(try ChatJobs.refusal("discord", Self.job(.message(message))) == code)
    }
    #expect(try ChatJobs.refusal("discord", Self.job(.read(upTo: "5"))) == .notSupported)
    let bare = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "1", [:])
    #expect(try ChatJobs.refusal("discord", bare) == .missingCredentials)
    let poll = OutboundMessage(kind: .poll, extras: ["poll": ["question": ["text": "?"]]])
    #expect(try ChatJobs.refusal("discord", Self.job(.message(poll))) == nil)
  }

  static let errors: [(Int, JSONValue, [String: String], APIFailure.Remedy)] = [
    (
      429, ["message": "You are being rate limited.", "retry_after": 64.57, "global": false], [:],
      .later(seconds: 64.57)
    ),
    (429, ["retry_after": 1.5, "global": true], [:], .pauseAccount(seconds: 1.5)),
    (429, ["retry_after": 2], ["X-RateLimit-Global": "true"], .pauseAccount(seconds: 2)),
    (429, ["retry_after": -1], [:], .later(seconds: 0)),
    (429, ["retry_after": 1e300], [:], .later(seconds: 3_600)),
    (
      401, ["code": 0, "message": "401: Unauthorized"], [:],
      .credentials(action: "give the account the bot token of the application")
    ),
    (403, ["code": 50_001, "message": "Missing Access"], [:], .none), (403, ["code": 50_007], [:], .none),
    (404, ["code": 10_003], [:], .none),
    (400, ["code": 50_035, "message": "Invalid Form Body", "errors": ["a": 1]], [:], .none),
    (502, [:], [:], .later(seconds: nil)), (200, [:], [:], .later(seconds: nil)),
  ]

  @Test("knows what an error means", arguments: errors)
  func error(status: Int, json: JSONValue, headers: [String: String], remedy: APIFailure.Remedy) throws {
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    #expect(
      try ChatJobs.remedy("discord", job, ChatJobs.answer(json, status: status, headers: headers)) == remedy)
  }

  @Test("an answer of the network's edge pauses the account")
  func edge() throws {
    let answer = APIAnswer(status: 429, headers: [APIField("Retry-After", "40")], body: Array("<html>".utf8))
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    #expect(try ChatJobs.remedy("discord", job, answer) == .pauseAccount(seconds: 40))
  }
}
