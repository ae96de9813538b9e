import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct SlackSendingTests {
  static let secrets = ["botToken": "xoxb-1"]
  private static let api = "https://slack.com/api/"

  private static func job(_ action: OutboundAction, token: String? = nil) -> SendJob {
    ChatJobs.job(action, to: "C1", .group, secrets, token: token)
  }

  private static let posted = ChatJobs.answer([
    "ok": true, "channel": "C1", "ts": "1795219201.000300", "message": ["text": "hi"],
  ])

  @Test("an answer is in the thread of what it answers, which is called after its first message")
  func threads() throws {
    let platform = try ChatJobs.sender("slack")
    func thread(_ message: OutboundMessage) throws -> JSONValue? {
      try ChatJobs.json(ChatJobs.call(platform.next(Self.job(.message(message)), after: [])))["thread_ts"]
    }
    #expect(try thread(OutboundMessage(text: "hi", replyTo: "2.2")) == "2.2")
    #expect(try thread(OutboundMessage(text: "hi", replyTo: "2.2", replyThreadID: "1.1")) == "1.1")
    #expect(
      try thread(OutboundMessage(text: "hi", replyTo: "2.2", replyThreadID: "1.1", threadID: "0.1")) == "0.1")
  }

  @Test("posts a text into a thread, and knows it again in the event")
  func text() throws {
    let platform = try ChatJobs.sender("slack")
    let job = Self.job(.message(OutboundMessage(text: "hi", threadID: "1795219000.000100")))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == Self.api + "chat.postMessage" && !request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Bearer xoxb-1")
    let body = try ChatJobs.json(request)
    let metadata: JSONValue = [
      "event_type": "hub_message", "event_payload": ["key": .string(ChatJobs.key)],
    ]
    #expect(
      body == ["channel": "C1", "text": "hi", "thread_ts": "1795219000.000100", "metadata": metadata])
    let receipt = try ChatJobs.receipt(platform.next(job, after: [Self.posted]))
    #expect(receipt.messageID == "1795219201.000300")
    #expect(receipt.sentAt == Timestamp(microseconds: 1_795_219_201_000_300))
    let event: JSONValue = [
      "type": "message", "channel": "C1", "channel_type": "channel", "user": "U0BOT", "bot_id": "B1",
      "app_id": "A1", "text": "hi", "ts": "1795219201.000300", "thread_ts": "1795219000.000100",
      "metadata": metadata,
    ]
    let items = try ChatJobs.read(
      "slack", ["team_id": "T1", "api_app_id": "A1", "type": "event_callback", "event": event])
    guard case .message(let message)? = items.first else {
      Issue.record("no message")
      return
    }
    #expect(message.externalID == receipt.messageID && message.sentAt == receipt.sentAt)
    #expect(
      message.direction == .outbound && message.text == "hi" && message.conversation == job.conversation)
    #expect(message.details?["clientKey"]?.string == ChatJobs.key)
    // Another app's message is nobody's key.
    let other = try ChatJobs.read("slack", ["team_id": "T1", "api_app_id": "A2", "event": event])
    #expect(other.first?.json["details"]?["clientKey"] == nil)
  }

  static let actions: [(OutboundAction, String, JSONValue)] = [
    (
      .edit(OutboundEdit(messageID: "1.2", text: "new")), "chat.update",
      ["channel": "C1", "ts": "1.2", "text": "new"]
    ), (.delete(messageID: "1.2"), "chat.delete", ["channel": "C1", "ts": "1.2"]),
    (
      .react(messageID: "1.2", emoji: "👍", isSet: true), "reactions.add",
      ["channel": "C1", "timestamp": "1.2", "name": "+1"]
    ),
    (
      .react(messageID: "1.2", emoji: ":party_parrot:", isSet: false), "reactions.remove",
      ["channel": "C1", "timestamp": "1.2", "name": "party_parrot"]
    ),
    (
      .react(messageID: "1.2", emoji: "❤️", isSet: true), "reactions.add",
      ["channel": "C1", "timestamp": "1.2", "name": "heart"]
    ),
  ]

  @Test("edits, deletes and reacts", arguments: actions)
  func action(action: OutboundAction, method: String, body: JSONValue) throws {
    let platform = try ChatJobs.sender("slack")
    #expect(try ChatJobs.refusal("slack", Self.job(action)) == nil)
    let request = try ChatJobs.call(platform.next(Self.job(action), after: []))
    #expect(request.url == Self.api + method && request.isRepeatable)
    #expect(try ChatJobs.json(request) == body)
    let answer = ChatJobs.answer(["ok": true])
    #expect(try ChatJobs.receipt(platform.next(Self.job(action), after: [answer])) == SendReceipt())
  }

  @Test("takes what is so already for done")
  func already() throws {
    let cases: [(OutboundAction, String)] = [
      (.delete(messageID: "1.2"), "message_not_found"),
      (.react(messageID: "1.2", emoji: "x", isSet: true), "already_reacted"),
      (.react(messageID: "1.2", emoji: "x", isSet: false), "no_reaction"),
    ]
    for (action, error) in cases {
      let answer = ChatJobs.answer(["ok": false, "error": .string(error)])
      #expect(
        try ChatJobs.receipt(ChatJobs.sender("slack").next(Self.job(action), after: [answer]))
          == SendReceipt())
    }
  }

  @Test("uploads files, shares them in one message and finds its time")
  func files() throws {
    let platform = try ChatJobs.sender("slack")
    let files = [
      ChatJobs.file(.image, "image/png", name: "a.png", size: 10),
      ChatJobs.file(.file, "text/plain", name: "b.txt", size: 20),
    ]
    let job = Self.job(.message(OutboundMessage(kind: .image, text: "look", files: files, replyTo: "1.1")))
    func place(_ id: String) -> APIAnswer {
      ChatJobs.answer([
        "ok": true, "file_id": .string(id), "upload_url": .string("https://files.slack.com/\(id)"),
      ])
    }
    let stored = APIAnswer(status: 200, body: Array("OK - 10".utf8))
    let first = try ChatJobs.call(platform.next(job, after: []))
    #expect(first.url == Self.api + "files.getUploadURLExternal")
    #expect(try ChatJobs.form(first) == ["filename": "a.png", "length": "10"])
    var answers = [place("F1")]
    let upload = try ChatJobs.call(platform.next(job, after: answers))
    #expect(upload.url == "https://files.slack.com/F1" && upload.headers.isEmpty)
    #expect(upload.body == .file(0, type: "application/octet-stream"))
    answers += [stored]
    #expect(try ChatJobs.form(ChatJobs.call(platform.next(job, after: answers)))["filename"] == "b.txt")
    answers += [place("F2"), stored]
    let share = try ChatJobs.call(platform.next(job, after: answers))
    #expect(share.url == Self.api + "files.completeUploadExternal" && !share.isRepeatable)
    #expect(
      try ChatJobs.json(share) == [
        "channel_id": "C1", "initial_comment": "look", "thread_ts": "1.1",
        "files": [["id": "F1", "title": "a.png"], ["id": "F2", "title": "b.txt"]],
      ])
    answers.append(ChatJobs.answer(["ok": true, "files": [["id": "F1"], ["id": "F2"]]]))
    let lookup = try ChatJobs.call(platform.next(job, after: answers))
    #expect(lookup.url == Self.api + "files.info?file=F1")
    answers.append(ChatJobs.answer(["ok": true, "file": ["id": "F1"]]))
    let again = try ChatJobs.call(platform.next(job, after: answers))
    #expect(again.url == lookup.url)
    // Slack makes the message some time after its answer.
    #expect(lookup.delaySeconds > 0 && again.delaySeconds > lookup.delaySeconds)
    let shares: JSONValue = ["private": ["C1": [["ts": "1795219201.000400"]]]]
    let found = ChatJobs.answer(["ok": true, "file": ["id": "F1", "shares": shares]])
    #expect(
      try ChatJobs.receipt(platform.next(job, after: answers + [found])).messageID == "1795219201.000400")
    // It is shared, and nobody says where: done, without an id.
    for _ in 0..<5 { answers.append(ChatJobs.answer(["ok": true, "file": ["id": "F1"]])) }
    #expect(try ChatJobs.receipt(platform.next(job, after: answers)) == SendReceipt())
    let failed = platform.next(job, after: [place("F1"), APIAnswer(status: 500, body: [])])
    #expect(try ChatJobs.failure(failed).remedy == .later(seconds: nil))
  }

  @Test(
    "what is no mark of Slack's is written out, and marks stay",
    arguments: [
      ("Tom & Jerry", "Tom &amp; Jerry"), ("if x<y && y>z", "if x&lt;y &amp;&amp; y&gt;z"),
      ("List<String>", "List&lt;String&gt;"), ("<b>hi</b>", "&lt;b&gt;hi&lt;/b&gt;"),
      ("> quoted", "&gt; quoted"), ("a &amp; b &lt;c&gt;", "a &amp; b &lt;c&gt;"), ("&copy;", "&amp;copy;"),
      ("hi <@U024BE7LH>", "hi <@U024BE7LH>"), ("<#C024BE7LR|general>", "<#C024BE7LR|general>"),
      ("<!here> <!date^1^{date}|x>", "<!here> <!date^1^{date}|x>"),
      ("<https://a.example/?a=1&b=2|here>", "<https://a.example/?a=1&b=2|here>"),
      ("<mailto:a@b.example>", "<mailto:a@b.example>"), ("<https:>", "&lt;https:&gt;"),
      ("<@ada>", "&lt;@ada&gt;"), ("<!>", "&lt;!&gt;"), ("<<@U1AB>>", "&lt;<@U1AB>&gt;"), ("<", "&lt;"),
      ("<https://a\n>", "&lt;https://a\n&gt;"), ("häß 👍", "häß 👍"),
    ])
  func escapes(text: String, written: String) throws {
    let platform = try ChatJobs.sender("slack")
    for action in [
      OutboundAction.message(OutboundMessage(text: text)), .edit(OutboundEdit(messageID: "1.1", text: text)),
    ] {
      let body = try ChatJobs.json(ChatJobs.call(platform.next(Self.job(action), after: [])))
      #expect(body["text"]?.string == written)
    }
  }

  @Test("an edit takes less than a message")
  func longEdits() throws {
    func code(_ text: String) throws -> SendRefusal.Code? {
      try ChatJobs.refusal("slack", Self.job(.edit(OutboundEdit(messageID: "1.1", text: text))))
    }
    #expect(try code(String(repeating: "x", count: 4_000)) == nil)
    #expect(try code(String(repeating: "x", count: 4_001)) == .textTooLong)
    #expect(try code(String(repeating: "<", count: 1_001)) == .textTooLong)
    #expect(try code(String(repeating: "ж", count: 2_001)) == .textTooLong)
  }

  @Test("sends blocks")
  func blocks() throws {
    let message = OutboundMessage(extras: ["blocks": [["type": "divider"]], "unfurl_links": false])
    let job = Self.job(.message(message))
    #expect(try ChatJobs.refusal("slack", job) == nil)
    let body = try ChatJobs.json(ChatJobs.call(ChatJobs.sender("slack").next(job, after: [])))
    #expect(body["blocks"] == [["type": "divider"]] && body["unfurl_links"] == false && body["text"] == nil)
  }

  @Test("refuses before the network")
  func refuses() throws {
    #expect(try ChatJobs.refusal("slack", Self.job(.message(OutboundMessage(text: "")))) == .invalidContent)
    #expect(
      try ChatJobs.refusal("slack", Self.job(.react(messageID: "1", emoji: "🦒", isSet: true)))
        == .invalidContent)
    #expect(try ChatJobs.refusal("slack", Self.job(.typing(true))) == .notSupported)
    #expect(
      try ChatJobs.refusal("slack", ChatJobs.job(.delete(messageID: "1"), to: "C", [:]))
        == .missingCredentials)
    let long = OutboundMessage(text: String(repeating: "a", count: 40_001))
    #expect(try ChatJobs.refusal("slack", Self.job(.message(long))) == .textTooLong)
  }

  static let errors: [(Int, JSONValue, [String: String], APIFailure.Remedy)] = [
    (429, ["ok": false, "error": "ratelimited"], ["Retry-After": "12"], .pauseAccount(seconds: 12)),
    (429, [:], ["Retry-After": "3"], .pauseAccount(seconds: 3)),
    (200, ["ok": false, "error": "message_limit_exceeded"], [:], .later(seconds: 60)),
    (200, ["ok": false, "error": "channel_not_found"], [:], .none),
    (200, ["ok": false, "error": "msg_too_long"], [:], .none),
    (200, ["ok": false, "error": "fatal_error"], [:], .unknown),
    (200, ["ok": false, "error": "internal_error"], [:], .unknown),
    (503, ["ok": false, "error": "service_unavailable"], [:], .later(seconds: nil)),
    (
      200, ["ok": false, "error": "invalid_auth"], [:],
      .credentials(action: "give the account the bot token of the installed app")
    ),
    (
      200, ["ok": false, "error": "missing_scope", "needed": "chat:write"], [:],
      .credentials(action: "give the app the scopes chat:write and install it again")
    ),
    (
      200, ["ok": false, "error": "token_expired"], [:],
      .credentials(action: "give the account the bot token of the installed app")
    ), (500, [:], [:], .unknown), (200, [:], [:], .unknown), (200, ["ok": true], [:], .unknown),
  ]

  @Test("knows what an error means", arguments: errors)
  func error(status: Int, json: JSONValue, headers: [String: String], remedy: APIFailure.Remedy) throws {
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    #expect(
      try ChatJobs.remedy("slack", job, ChatJobs.answer(json, status: status, headers: headers)) == remedy)
  }

  @Test("rotates tokens")
  func tokens() throws {
    let platform = try #require(PlatformCatalogue.named("slack") as? any TokenPlatform)
    let values = ["refreshToken": "xoxe-1", "clientId": "1.2", "clientSecret": "s"]
    let secrets = ChatJobs.secrets(values)
    #expect(platform.tokenRequest(ChatJobs.secrets(Self.secrets), refresh: nil, now: ChatJobs.now) == nil)
    let request = try #require(platform.tokenRequest(secrets, refresh: "xoxe-2", now: ChatJobs.now))
    #expect(request.url == Self.api + "oauth.v2.access")
    #expect(
      try ChatJobs.form(request) == [
        "client_id": "1.2", "client_secret": "s", "grant_type": "refresh_token", "refresh_token": "xoxe-2",
      ])
    let good = ChatJobs.answer([
      "ok": true, "access_token": "xoxe.xoxb-1", "expires_in": 43_200, "refresh_token": "xoxe-3",
    ])
    let token = try platform.token(from: good, now: ChatJobs.now).get()
    #expect(token.value == "xoxe.xoxb-1" && token.refresh == "xoxe-3")
    #expect(token.expiresAt == Timestamp(seconds: ChatJobs.now.seconds + 43_200))
    let bad = ChatJobs.answer(["ok": false, "error": "invalid_refresh_token"])
    #expect(throws: APIFailure.self) { try platform.token(from: bad, now: ChatJobs.now).get() }
    var job = ChatJobs.job(.message(OutboundMessage(text: "hi")), to: "C1", values, token: "xoxe.xoxb-1")
    #expect(try ChatJobs.refusal("slack", job) == nil)
    let call = try ChatJobs.call(ChatJobs.sender("slack").next(job, after: []))
    #expect(ChatJobs.header(call, "Authorization") == "Bearer xoxe.xoxb-1")
    let expired = ChatJobs.answer(["ok": false, "error": "token_expired"])
    #expect(try ChatJobs.remedy("slack", job, expired) == .renewToken)
    job.secrets = ChatJobs.secrets(Self.secrets)
    #expect(try ChatJobs.remedy("slack", job, expired) != .renewToken)
  }
}
