import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct LINESendingTests {
  private static let secrets = ["channelAccessToken": "T", "channelSecret": "s"]
  private static let push = "https://api.line.me/v2/bot/message/push"

  private static func job(_ message: OutboundMessage) -> SendJob {
    ChatJobs.job(.message(message), to: "U1", secrets)
  }

  private static func body(_ message: OutboundMessage) throws -> JSONValue {
    try ChatJobs.json(ChatJobs.call(ChatJobs.sender("line").next(job(message), after: [])))
  }

  @Test("pushes a text once, by its retry key")
  func text() throws {
    let platform = try ChatJobs.sender("line")
    let job = Self.job(OutboundMessage(text: "hi"))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == Self.push && request.isRepeatable && platform.isRepeatable(job.action))
    #expect(ChatJobs.header(request, "Authorization") == "Bearer T")
    #expect(ChatJobs.header(request, "X-Line-Retry-Key") == ChatJobs.key)
    #expect(try ChatJobs.json(request) == ["to": "U1", "messages": [["type": "text", "text": "hi"]]])
    let sent: JSONValue = ["sentMessages": [["id": "461230966842064897", "quoteToken": "q"]]]
    let receipt = SendReceipt(messageID: "461230966842064897")
    #expect(try ChatJobs.receipt(platform.next(job, after: [ChatJobs.answer(sent)])) == receipt)
    var again = sent.object ?? [:]
    again["message"] = "The retry key is already accepted"
    let taken = ChatJobs.answer(.object(again), status: 409)
    #expect(try ChatJobs.receipt(platform.next(job, after: [taken])) == receipt)
    var other = job
    other.key = "not-a-uuid"
    let key = try ChatJobs.header(ChatJobs.call(platform.next(other, after: [])), "X-Line-Retry-Key")
    #expect(key.flatMap { UUIDv7($0) } != nil && key != ChatJobs.key)
  }

  @Test("quotes and marks as read by the tokens that messages came with")
  func messageTokens() throws {
    let platform = try ChatJobs.sender("line")
    let tokens: JSONValue = ["quoteToken": "q", "markAsReadToken": "r"]
    func job(_ action: OutboundAction, _ details: JSONValue?, last: JSONValue? = nil) -> SendJob {
      var job = ChatJobs.job(action, to: "U1", Self.secrets)
      job.subjectDetails = details
      job.lastInboundDetails = last
      return job
    }
    let read = job(.read(upTo: "9"), tokens)
    #expect(SendRules.refusal(of: read, on: platform) == nil)
    let request = try ChatJobs.call(platform.next(read, after: []))
    #expect(request.url == "https://api.line.me/v2/bot/chat/markAsRead" && request.isRepeatable)
    #expect(try ChatJobs.json(request) == ["markAsReadToken": "r"])
    #expect(try ChatJobs.receipt(platform.next(read, after: [ChatJobs.answer([:])])) == SendReceipt())
    // The last message is known with its details, others are not.
    let last = job(.read(upTo: "IN-1"), nil, last: tokens)
    #expect(try ChatJobs.json(ChatJobs.call(platform.next(last, after: []))) == ["markAsReadToken": "r"])
    let other = job(.read(upTo: "9"), nil, last: tokens)
    #expect(SendRules.refusal(of: other, on: platform)?.code == .invalidContent)
    let quote = OutboundAction.message(OutboundMessage(text: "re", replyTo: "9"))
    #expect(
      try ChatJobs.json(ChatJobs.call(platform.next(job(quote, tokens), after: [])))["messages"]
        == [["type": "text", "text": "re", "quoteToken": "q"]])
    #expect(SendRules.refusal(of: job(quote, nil, last: tokens), on: platform)?.code == .invalidContent)
    let plain = OutboundAction.message(OutboundMessage(text: "hi"))
    #expect(
      try ChatJobs.json(ChatJobs.call(platform.next(job(plain, tokens), after: [])))["messages"]
        == [["type": "text", "text": "hi"]])
  }

  @Test("sends every content")
  func contents() throws {
    let picture = ChatJobs.file(.image, "image/png", url: "https://hub.example.com/f/1")
    let video = ChatJobs.file(.video, "video/mp4", url: "https://hub.example.com/f/2")
    let sound = ChatJobs.file(.audio, "audio/mp4", url: "https://hub.example.com/f/3")
    let cases: [(OutboundMessage, JSONValue)] = [
      (
        OutboundMessage(kind: .image, text: "look", files: [picture]),
        [
          ["type": "text", "text": "look"],
          [
            "type": "image", "originalContentUrl": "https://hub.example.com/f/1",
            "previewImageUrl": "https://hub.example.com/f/1",
          ],
        ]
      ),
      (
        OutboundMessage(kind: .video, files: [video], extras: ["previewImageUrl": "https://x.example/p"]),
        [
          [
            "type": "video", "originalContentUrl": "https://hub.example.com/f/2",
            "previewImageUrl": "https://x.example/p",
          ]
        ]
      ),
      (
        OutboundMessage(kind: .audio, files: [sound], extras: ["duration": 1_200]),
        [["type": "audio", "originalContentUrl": "https://hub.example.com/f/3", "duration": 1_200]]
      ),
      (
        OutboundMessage(kind: .sticker, extras: ["sticker": ["packageId": "1", "stickerId": "2"]]),
        [["type": "sticker", "packageId": "1", "stickerId": "2"]]
      ),
      (
        OutboundMessage(kind: .location, extras: ["location": ["title": "a", "latitude": 1.5]]),
        [["type": "location", "title": "a", "latitude": 1.5]]
      ),
      (
        OutboundMessage(text: "re", replyTo: "9", extras: ["quoteToken": "q"]),
        [["type": "text", "text": "re", "quoteToken": "q"]]
      ), (OutboundMessage(extras: ["messages": [["type": "flex"]]]), [["type": "flex"]]),
    ]
    for (message, expected) in cases {
      #expect(try ChatJobs.refusal("line", Self.job(message)) == nil)
      #expect(try Self.body(message)["messages"] == expected)
    }
  }

  @Test("refuses before the network")
  func refuses() throws {
    let cases: [(OutboundMessage, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), .invalidContent),
      (OutboundMessage(text: "x", replyTo: "9"), .invalidContent),
      (OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/png")]), .invalidContent),
      (
        OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/png", url: "http://x/1")]),
        .invalidContent
      ),
      (
        OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/gif", url: "https://x/1")]),
        .invalidContent
      ),
      (
        OutboundMessage(kind: .video, files: [ChatJobs.file(.video, "video/mp4", url: "https://x/1")]),
        .invalidContent
      ),
      (
        OutboundMessage(kind: .audio, files: [ChatJobs.file(.audio, "audio/mp4", url: "https://x/1")]),
        .invalidContent
      ),
      (OutboundMessage(kind: .file), .kindNotSupported), (OutboundMessage(kind: .sticker), .invalidContent),
      (OutboundMessage(text: String(repeating: "a", count: 5_001)), .textTooLong),
      (OutboundMessage(extras: ["messages": []]), .invalidContent),
    ]
    for (message, code) in cases { #expect(try ChatJobs.refusal("line", Self.job(message)) == code) }
    let bare = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "U1", ["channelSecret": "s"])
    #expect(try ChatJobs.refusal("line", bare) == .missingCredentials)
    let group = ChatJobs.job(.typing(true), to: "C1", .group, Self.secrets)
    #expect(try ChatJobs.refusal("line", group) == .notSupported)
  }

  @Test("shows that it writes")
  func typing() throws {
    let job = ChatJobs.job(.typing(true), to: "U1", Self.secrets)
    let request = try ChatJobs.call(ChatJobs.sender("line").next(job, after: []))
    #expect(request.url == "https://api.line.me/v2/bot/chat/loading/start")
    #expect(try ChatJobs.json(request) == ["chatId": "U1", "loadingSeconds": 20])
    #expect(ChatJobs.header(request, "X-Line-Retry-Key") == nil)
    #expect(
      try ChatJobs.receipt(ChatJobs.sender("line").next(job, after: [ChatJobs.answer([:], status: 202)]))
        == SendReceipt())
  }

  static let errors: [(Int, JSONValue, APIFailure.Remedy)] = [
    (400, ["message": "The property, 'to', in the request body is invalid"], .none),
    (
      401, ["message": "Authentication failed"],
      .credentials(action: "give the account a new channel access token")
    ),
    (403, ["message": "Not authorized"], .none),
    (429, ["message": "The API rate limit has been exceeded."], .pauseAccount(seconds: 5)),
    (429, ["message": "You have reached your monthly limit."], .none), (500, [:], .later(seconds: nil)),
    (200, [:], .later(seconds: nil)),
  ]

  @Test("knows what an error means", arguments: errors)
  func error(status: Int, json: JSONValue, remedy: APIFailure.Remedy) throws {
    let job = Self.job(OutboundMessage(text: "hi"))
    #expect(try ChatJobs.remedy("line", job, ChatJobs.answer(json, status: status)) == remedy)
  }

  @Test("gets tokens by itself")
  func tokens() throws {
    let platform = try #require(PlatformCatalogue.named("line") as? any TokenPlatform)
    let values = ["channelId": "165", "channelSecret": "s"]
    let secrets = ChatJobs.secrets(values)
    let request = try #require(platform.tokenRequest(secrets, refresh: nil, now: ChatJobs.now))
    #expect(request.url == "https://api.line.me/oauth2/v3/token")
    #expect(
      try ChatJobs.form(request) == [
        "grant_type": "client_credentials", "client_id": "165", "client_secret": "s",
      ])
    let answer = ChatJobs.answer(["token_type": "Bearer", "access_token": "A", "expires_in": 900])
    let token = try platform.token(from: answer, now: ChatJobs.now).get()
    #expect(token == AccessToken(value: "A", expiresAt: Timestamp(seconds: ChatJobs.now.seconds + 900)))
    let job = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "U1", values, token: "A")
    #expect(try ChatJobs.refusal("line", job) == nil)
    #expect(
      try ChatJobs.header(ChatJobs.call(ChatJobs.sender("line").next(job, after: [])), "Authorization")
        == "Bearer A")
    #expect(try ChatJobs.remedy("line", job, ChatJobs.answer([:], status: 401)) == .renewToken)
    #expect(platform.tokenRequest(ChatJobs.secrets(Self.secrets), refresh: nil, now: ChatJobs.now) == nil)
  }
}
