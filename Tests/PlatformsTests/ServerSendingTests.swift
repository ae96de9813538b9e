import JSON
import Messaging
import Platforms
import Testing

/// Dialogues with self-hosted servers: Mattermost, Rocket.Chat, Zulip.
@Suite struct ServerSendingTests {
  static let secrets: [String: [String: [String]]] = [
    "mattermost": ["server": ["https://mm/"], "accessToken": ["tok"]],
    "rocketchat": ["server": ["https://rc"], "accessToken": ["tok"], "userId": ["u1"]],
    "zulip": ["server": ["https://z"], "apiKey": ["key"], "email": ["bot@z"]],
  ]

  static func next(
    _ platform: String, _ action: OutboundAction, to conversation: String, _ answers: [APIAnswer] = []
  ) throws -> SendStep {
    let job = Dialogue.job(action, to: conversation, secrets: Self.secrets[platform] ?? [:])
    return try Dialogue.sender(platform).next(job, after: answers)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let platform: String
    let name: String
    let action: OutboundAction
    var conversation = "c1"
    let line: String
    var json: JSONValue?
    var form: [String: String] = [:]
    var testDescription: String { "\(platform) \(name)" }
  }

  static let mattermost = [
    Case(
      platform: "mattermost", name: "text", action: .message(OutboundMessage(text: "hi")),
      line: "POST https://mm/api/v4/posts",
      json: [
        "channel_id": "c1", "message": "hi", "pending_post_id": "0199-key",
        "props": ["client_key": "0199-key"],
      ]),
    Case(
      platform: "mattermost", name: "thread", action: .message(OutboundMessage(text: "hi", threadID: "p0")),
      line: "POST https://mm/api/v4/posts",
      json: [
        "channel_id": "c1", "message": "hi", "pending_post_id": "0199-key", "root_id": "p0",
        "props": ["client_key": "0199-key"],
      ]),
    Case(
      platform: "mattermost", name: "edit", action: .edit(OutboundEdit(messageID: "p1", text: "new")),
      line: "PUT https://mm/api/v4/posts/p1/patch", json: ["message": "new"]),
    Case(
      platform: "mattermost", name: "delete", action: .delete(messageID: "p1"),
      line: "DELETE https://mm/api/v4/posts/p1"),
    Case(
      platform: "mattermost", name: "unreact", action: .react(messageID: "p1", emoji: "👍", isSet: false),
      line: "DELETE https://mm/api/v4/users/me/posts/p1/reactions/%2B1"),
    Case(
      platform: "mattermost", name: "typing", action: .typing(true),
      line: "POST https://mm/api/v4/users/me/typing", json: ["channel_id": "c1"]),
  ]

  static let rocketchat = [
    Case(
      platform: "rocketchat", name: "text", action: .message(OutboundMessage(text: "hi", threadID: "m0")),
      line: "POST https://rc/api/v1/chat.sendMessage",
      json: ["message": ["_id": "0199-key", "rid": "c1", "msg": "hi", "tmid": "m0"]]),
    Case(
      platform: "rocketchat", name: "edit", action: .edit(OutboundEdit(messageID: "m1", text: "new")),
      line: "POST https://rc/api/v1/chat.update", json: ["roomId": "c1", "msgId": "m1", "text": "new"]),
    Case(
      platform: "rocketchat", name: "delete", action: .delete(messageID: "m1"),
      line: "POST https://rc/api/v1/chat.delete", json: ["roomId": "c1", "msgId": "m1", "asUser": true]),
    Case(
      platform: "rocketchat", name: "react", action: .react(messageID: "m1", emoji: "🎉", isSet: true),
      line: "POST https://rc/api/v1/chat.react",
      json: ["messageId": "m1", "emoji": ":tada:", "shouldReact": true]),
  ]

  static let zulip = [
    Case(
      platform: "zulip", name: "direct", action: .message(OutboundMessage(text: "hi")),
      conversation: "direct:1,2", line: "POST https://z/api/v1/messages",
      form: ["type": "private", "to": "[1,2]", "content": "hi"]),
    Case(
      platform: "zulip", name: "channel", action: .message(OutboundMessage(text: "hi", threadID: "plans")),
      conversation: "7", line: "POST https://z/api/v1/messages",
      form: ["type": "stream", "to": "7", "topic": "plans", "content": "hi"]),
    Case(
      platform: "zulip", name: "edit", action: .edit(OutboundEdit(messageID: "5", text: "new")),
      line: "PATCH https://z/api/v1/messages/5", form: ["content": "new"]),
    Case(
      platform: "zulip", name: "delete", action: .delete(messageID: "5"),
      line: "DELETE https://z/api/v1/messages/5"),
    Case(
      platform: "zulip", name: "react", action: .react(messageID: "5", emoji: ":tada:", isSet: true),
      line: "POST https://z/api/v1/messages/5/reactions", form: ["emoji_name": "tada"]),
    Case(
      platform: "zulip", name: "unreact", action: .react(messageID: "5", emoji: "👍", isSet: false),
      line: "DELETE https://z/api/v1/messages/5/reactions"),
    Case(
      platform: "zulip", name: "typing", action: .typing(true), conversation: "direct:1,2",
      line: "POST https://z/api/v1/typing", form: ["op": "start", "to": "[1,2]"]),
  ]

  @Test("does each action with one call", arguments: mattermost + rocketchat + zulip)
  func actions(test: Case) throws {
    let request = try #require(
      try Self.next(test.platform, test.action, to: test.conversation).request)
    #expect(request.line == test.line)
    #expect(request.json == test.json)
    #expect(request.form == test.form)
    let isSigned = request.header("Authorization") ?? request.header("X-Auth-Token")
    #expect(isSigned?.isEmpty == false)
    guard case .message = test.action else {
      let done = Dialogue.answer(["result": "success", "success": true])
      let step = try Self.next(test.platform, test.action, to: test.conversation, [done])
      #expect(step == .done(SendReceipt()))
      return
    }
  }

  @Test("Mattermost: files, then the post that is answered, then the post")
  func mattermostSteps() throws {
    let action = OutboundAction.message(
      OutboundMessage(
        kind: .image, text: "look", files: [Dialogue.file(), Dialogue.file(.file)], replyTo: "p5"))
    let upload = try #require(try Self.next("mattermost", action, to: "c1").request)
    #expect(upload.line == "POST https://mm/api/v4/files")
    #expect(
      upload.body
        == .multipart([
          APIPart("channel_id", "c1"), APIPart("files", file: 0, filename: "a.png", type: "image/png"),
          APIPart("files", file: 1, filename: "a.pdf", type: "application/pdf"),
        ]))
    let files = Dialogue.answer(["file_infos": [["id": "f1"], ["id": "f2"]]], status: 201)
    let parent = try #require(try Self.next("mattermost", action, to: "c1", [files]).request)
    #expect(parent.line == "GET https://mm/api/v4/posts/p5")
    let inThread = Dialogue.answer(["id": "p5", "root_id": "p0"])
    let post = try #require(try Self.next("mattermost", action, to: "c1", [files, inThread]).request)
    #expect(post.json?["root_id"] == "p0")
    #expect(post.json?["file_ids"] == ["f1", "f2"])
    #expect(!post.isRepeatable)
    let made = Dialogue.answer(["id": "p9", "create_at": 1_795_219_200_000], status: 201)
    let done = try Self.next("mattermost", action, to: "c1", [files, inThread, made])
    #expect(done == .done(SendReceipt(messageID: "p9", sentAt: Dialogue.now)))
  }

  @Test("Mattermost: adding a reaction names the user")
  func mattermostReaction() throws {
    let action = OutboundAction.react(messageID: "p1", emoji: "👍", isSet: true)
    #expect(try Self.next("mattermost", action, to: "c1").request?.line == "GET https://mm/api/v4/users/me")
    let me = Dialogue.answer(["id": "u1"])
    let add = try Self.next("mattermost", action, to: "c1", [me]).request
    #expect(add?.json == ["user_id": "u1", "post_id": "p1", "emoji_name": "+1"])
    #expect(try Self.next("mattermost", action, to: "c1", [me, me]) == .done(SendReceipt()))
  }

  @Test("Rocket.Chat: a message that the server will not make is looked for by its id")
  func rocketchatRepeats() throws {
    let action = OutboundAction.message(OutboundMessage(text: "hi"))
    let refused = Dialogue.answer(["success": false, "error": "words"], status: 400)
    let look = try #require(try Self.next("rocketchat", action, to: "c1", [refused]).request)
    #expect(look.line == "GET https://rc/api/v1/chat.getMessage")
    #expect(look.query == ["msgId": "0199-key"])
    let there = Dialogue.answer([
      "success": true, "message": ["_id": "0199-key", "ts": "2026-11-21T00:00:00.000Z"],
    ])
    let done = try Self.next("rocketchat", action, to: "c1", [refused, there])
    #expect(done.receipt?.messageID == "0199-key")
    #expect(try Self.next("rocketchat", action, to: "c1", [refused, refused]).failure == APIFailure("words"))
    #expect(try Dialogue.sender("rocketchat").isRepeatable(action))
  }

  @Test("Rocket.Chat: a file is uploaded and confirmed, or both at once on an older server")
  func rocketchatFiles() throws {
    let action = OutboundAction.message(OutboundMessage(kind: .image, text: "look", files: [Dialogue.file()]))
    #expect(try !Dialogue.sender("rocketchat").isRepeatable(action))
    let upload = try Self.next("rocketchat", action, to: "c1").request
    #expect(upload?.line == "POST https://rc/api/v1/rooms.media/c1")
    let file = Dialogue.answer(["success": true, "file": ["_id": "f1"]])
    let confirm = try Self.next("rocketchat", action, to: "c1", [file]).request
    #expect(confirm?.line == "POST https://rc/api/v1/rooms.mediaConfirm/c1/f1")
    #expect(confirm?.json == ["msg": "look"])
    let made = Dialogue.answer(["success": true, "message": ["_id": "m1"]])
    #expect(try Self.next("rocketchat", action, to: "c1", [file, made]).receipt?.messageID == "m1")
    let old = Dialogue.answer(["error": "API endpoint not found"], status: 404)
    let once = try Self.next("rocketchat", action, to: "c1", [old]).request
    #expect(once?.line == "POST https://rc/api/v1/rooms.upload/c1")
    #expect(try Self.next("rocketchat", action, to: "c1", [old, made]).receipt?.messageID == "m1")
  }

  @Test("Zulip: uploads become links, and what is answered is quoted under its topic")
  func zulipSteps() throws {
    let action = OutboundAction.message(
      OutboundMessage(kind: .file, text: "look", files: [Dialogue.file(.file)], replyTo: "5"))
    let upload = try Self.next("zulip", action, to: "7").request
    #expect(upload?.line == "POST https://z/api/v1/user_uploads")
    let file = Dialogue.answer(["result": "success", "url": "/user_uploads/1/a.pdf"])
    let ask = try Self.next("zulip", action, to: "7", [file]).request
    #expect(ask?.line == "GET https://z/api/v1/messages/5")
    let quoted = Dialogue.answer([
      "result": "success",
      "message": ["content": "a ``` b", "sender_full_name": "Ana", "sender_id": 3, "subject": "plans"],
    ])
    let send = try #require(try Self.next("zulip", action, to: "7", [file, quoted]).request)
    #expect(send.form["topic"] == "plans")
    #expect(
      send.form["content"]
        == "@_**Ana|3** [said](https://z/#narrow/near/5):\n````quote\na ``` b\n````\nlook\n"
        + "[a.pdf](/user_uploads/1/a.pdf)")
    let made = Dialogue.answer(["result": "success", "id": 42])
    #expect(try Self.next("zulip", action, to: "7", [file, quoted, made]).receipt?.messageID == "42")
  }

  @Test("Zulip: what the hub wrote around a user's words is told from them in the message that comes back")
  func zulipWritten() throws {
    let quoted = Dialogue.answer([
      "result": "success",
      "message": ["content": "a ``` b\n[x](/user_uploads/0/x)", "sender_full_name": "Ana"],
    ])
    let file = Dialogue.answer(["result": "success", "url": "/user_uploads/1/a.pdf"])
    let cases: [(OutboundMessage, [APIAnswer])] = [
      (OutboundMessage(text: "look\nhere"), []),
      (OutboundMessage(text: "look\nhere", replyTo: "5"), [quoted]),
      (OutboundMessage(kind: .file, text: "look\nhere", files: [Dialogue.file(.file)]), [file]),
      (
        OutboundMessage(kind: .file, text: "look\nhere", files: [Dialogue.file(.file)], replyTo: "5"),
        [file, quoted]
      ),
    ]
    for (message, answers) in cases {
      let send = try #require(try Self.next("zulip", .message(message), to: "7", answers).request)
      let event: JSONValue = [
        "id": 2, "type": "message",
        "message": [
          "id": 42, "type": "stream", "stream_id": 7, "subject": "plans", "sender_id": 1,
          "timestamp": 1_795_219_200, "content": .string(send.form["content"] ?? ""),
        ],
      ]
      let cursor: JSONValue = ["queue": "q", "last": 1, "user": "1", "message": 40]
      let job = Dialogue.poll(cursor: cursor, secrets: Self.secrets["zulip"] ?? [:])
      let answer = Dialogue.answer(["result": "success", "events": [event]])
      let own = try #require(
        try Dialogue.poller("zulip").poll(job, after: [answer]).page?.content.messages.first)
      // A link that the hub put behind the words is a file again.
      let content = send.form["content"] ?? ""
      let link = content.firstRange(of: "\n[a.pdf](")
      let text = try #require(own.text)
      #expect(own.direction == .outbound && text == content[..<(link?.lowerBound ?? content.endIndex)])
      #expect(own.attachments.count == message.files.count && own.written == "look\nhere")
    }
  }

  @Test(
    "Zulip: a reaction has Zulip's own name of its sign",
    arguments: [
      ("😄", "big_smile"), ("🙂", "smile"), ("❌", "cross_mark"), ("✅", "check"), ("✔️", "check_mark"),
      ("👌", "ok"), ("👍", "+1"), ("❤️", "heart"), (":smile:", "smile"),
    ])
  func zulipEmoji(emoji: String, name: String) throws {
    for isSet in [true, false] {
      let action = OutboundAction.react(messageID: "5", emoji: emoji, isSet: isSet)
      let request = try #require(try Self.next("zulip", action, to: "7").request)
      #expect((isSet ? request.form : request.query)["emoji_name"] == name)
    }
  }

  @Test("Zulip: what answers no message is under the topic last spoken of")
  func zulipTopic() throws {
    var job = Dialogue.job(
      .message(OutboundMessage(text: "hi")), to: "7", secrets: Self.secrets["zulip"] ?? [:])
    let sender = try Dialogue.sender("zulip")
    #expect(sender.next(job, after: []).request?.form["topic"] == "(no topic)")
    job.lastInboundThreadID = "orders"
    #expect(sender.next(job, after: []).request?.form["topic"] == "orders")
    job.action = .typing(true)
    #expect(sender.next(job, after: []).request?.form["topic"] == "orders")
  }

  private static let refused: [(String, Int, JSONValue, String)] = [
    ("mattermost", 401, ["message": "no"], "credentials"),
    ("mattermost", 429, ["message": "no"], "pause"), ("mattermost", 403, ["message": "no"], "none"),
    ("mattermost", 500, ["message": "no"], "unknown"), ("mattermost", 503, ["message": "no"], "later"),
    ("rocketchat", 401, ["message": "no"], "credentials"), ("rocketchat", 429, ["error": "no"], "pause"),
    (
      "rocketchat", 400,
      ["errorType": "error-too-many-requests", "error": "must wait 7 seconds before trying"], "pause"
    ), ("rocketchat", 502, [:], "later"),
    (
      "zulip", 429, ["result": "error", "code": "RATE_LIMIT_HIT", "retry-after": 1.5, "msg": "no"], "pause"
    ),
    ("zulip", 401, ["result": "error", "code": "UNAUTHORIZED", "msg": "no"], "credentials"),
    ("zulip", 400, ["result": "error", "code": "BAD_REQUEST", "msg": "no"], "none"),
    ("zulip", 500, [:], "unknown"), ("zulip", 200, "<html>", "unknown"),
  ]

  @Test("says what a refusal means", arguments: refused)
  func failures(platform: String, status: Int, body: JSONValue, meaning: String) throws {
    let action = OutboundAction.message(OutboundMessage(text: "hi"))
    let step = try Self.next(platform, action, to: "7", [Dialogue.answer(body, status: status)])
    #expect(Self.meaning(try #require(step.failure)) == meaning)
  }

  @Test(
    "a call before the message that fails is made again: nothing was said yet",
    arguments: ["mattermost", "rocketchat", "zulip"])
  func stepsFail(platform: String) throws {
    let failed = Dialogue.answer([:], status: 500)
    let file = OutboundMessage(kind: .image, text: "hi", files: [Dialogue.file()])
    for message in [file, OutboundMessage(text: "hi", replyTo: "5")] {
      let step = try Self.next(platform, .message(message), to: "7", [failed])
      #expect(Self.meaning(try #require(step.failure)) == "later")
    }
  }

  static func meaning(_ failure: APIFailure) -> String {
    switch failure.remedy {
    case .none: "none"
    case .later: "later"
    case .pauseAccount, .pauseApp: "pause"
    case .renewToken: "renew"
    case .credentials: "credentials"
    case .unknown: "unknown"
    case .restart: "restart"
    }
  }

  @Test("refuses what cannot be sent, before the network", arguments: ["mattermost", "rocketchat", "zulip"])
  func refusals(platform: String) throws {
    let sender = try Dialogue.sender(platform)
    func code(_ action: OutboundAction, _ secrets: [String: [String]]? = Self.secrets[platform])
      -> SendRefusal.Code?
    {
      SendRules.refusal(of: Dialogue.job(action, to: "c1", secrets: secrets ?? [:]), on: sender)?.code
    }
    #expect(code(.message(OutboundMessage(text: "hi"))) == nil)
    #expect(code(.message(OutboundMessage(text: "hi")), [:]) == .missingCredentials)
    #expect(code(.react(messageID: "1", emoji: "🦖", isSet: true)) == .invalidContent)
    #expect(code(.react(messageID: "1", emoji: ":dino:", isSet: true)) == nil)
    let files = (0..<11).map { _ in Dialogue.file() }
    #expect(code(.message(OutboundMessage(kind: .image, files: files))) == .invalidContent)
    #expect(code(.message(OutboundMessage(kind: .location))) == .kindNotSupported)
  }
}
