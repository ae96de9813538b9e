import JSON
import Messaging
import Platforms
import Testing

/// Dialogues with a homeserver: a job and answers give the next call.
@Suite struct MatrixSendingTests {
  private static let user = ["homeserver": ["https://hs"], "accessToken": ["tok"], "userId": ["@hub:hs"]]
  private static let service = [
    "apiURL": ["https://hs/"], "asToken": ["as"], "userId": ["@hub_*", "@hub:hs"],
  ]
  private static let room = "!r:hs"
  private static let base = "https://hs/_matrix/client/v3/rooms/%21r%3Ahs/"

  private static func next(
    _ action: OutboundAction, _ answers: [APIAnswer] = [], secrets: [String: [String]] = user
  ) throws -> SendStep {
    let job = Dialogue.job(action, to: room, kind: .group, secrets: secrets)
    return try Dialogue.sender("matrix").next(job, after: answers)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let action: OutboundAction
    let line: String
    let body: JSONValue
    var testDescription: String { name }
  }

  static let cases = [
    Case(
      name: "text", action: .message(OutboundMessage(text: "hi")),
      line: "PUT \(base)send/m.room.message/0199-key", body: ["msgtype": "m.text", "body": "hi"]),
    Case(
      name: "reply", action: .message(OutboundMessage(text: "hi", replyTo: "$a")),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.text", "body": "hi", "m.relates_to": ["m.in_reply_to": ["event_id": "$a"]],
      ]),
    Case(
      name: "thread", action: .message(OutboundMessage(text: "hi", threadID: "$root")),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.text", "body": "hi",
        "m.relates_to": [
          "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
          "m.in_reply_to": ["event_id": "$root"],
        ],
      ]),
    Case(
      name: "reply to what is in a thread",
      action: .message(OutboundMessage(text: "hi", replyTo: "$a", replyThreadID: "$root")),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.text", "body": "hi",
        "m.relates_to": [
          "rel_type": "m.thread", "event_id": "$root", "is_falling_back": false,
          "m.in_reply_to": ["event_id": "$a"],
        ],
      ]),
    Case(
      name: "reply in a thread",
      action: .message(OutboundMessage(text: "hi", replyTo: "$a", threadID: "$root")),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.text", "body": "hi",
        "m.relates_to": [
          "rel_type": "m.thread", "event_id": "$root", "is_falling_back": false,
          "m.in_reply_to": ["event_id": "$a"],
        ],
      ]),
    Case(
      name: "formatted",
      action: .message(
        OutboundMessage(
          text: "hi",
          extras: [
            "msgtype": "m.notice", "format": "org.matrix.custom.html", "formatted_body": "<b>hi</b>",
          ])),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.notice", "body": "hi", "format": "org.matrix.custom.html",
        "formatted_body": "<b>hi</b>",
      ]),
    Case(
      name: "location",
      action: .message(
        OutboundMessage(kind: .location, extras: ["location": ["latitude": 1.5, "longitude": -2]])),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: ["msgtype": "m.location", "body": "geo:1.5,-2.0", "geo_uri": "geo:1.5,-2.0"]),
    Case(
      name: "edit", action: .edit(OutboundEdit(messageID: "$a", text: "new")),
      line: "PUT \(base)send/m.room.message/0199-key",
      body: [
        "msgtype": "m.text", "body": "* new", "m.new_content": ["msgtype": "m.text", "body": "new"],
        "m.relates_to": ["rel_type": "m.replace", "event_id": "$a"],
      ]),
    Case(
      name: "delete", action: .delete(messageID: "$a"), line: "PUT \(base)redact/%24a/0199-key", body: [:]),
    Case(
      name: "react", action: .react(messageID: "$a", emoji: "👍", isSet: true),
      line: "PUT \(base)send/m.reaction/0199-key",
      body: ["m.relates_to": ["rel_type": "m.annotation", "event_id": "$a", "key": "👍"]]),
    Case(name: "read", action: .read(upTo: "$a"), line: "POST \(base)receipt/m.read/%24a", body: [:]),
    Case(
      name: "typing", action: .typing(true), line: "PUT \(base)typing/%40hub%3Ahs",
      body: ["typing": true, "timeout": 30_000]),
    Case(
      name: "no typing", action: .typing(false), line: "PUT \(base)typing/%40hub%3Ahs",
      body: ["typing": false]),
  ]

  @Test("does each action with one call that may be made again", arguments: cases)
  func actions(test: Case) throws {
    let request = try #require(try Self.next(test.action).request)
    #expect(request.line == test.line)
    #expect(request.json == test.body)
    #expect(request.isRepeatable)
    #expect(request.header("Authorization") == "Bearer tok")
    #expect(request.query.isEmpty)
    let done = try Self.next(test.action, [Dialogue.answer(["event_id": "$new"])])
    if case .message = test.action {
      #expect(done == .done(SendReceipt(messageID: "$new")))
    } else {
      #expect(done == .done(SendReceipt()))
    }
  }

  @Test("acts as an application service for the user that it names")
  func service() throws {
    let request = try #require(
      try Self.next(.message(OutboundMessage(text: "hi")), secrets: Self.service).request)
    #expect(request.header("Authorization") == "Bearer as")
    #expect(request.query == ["user_id": "@hub:hs"])
    #expect(request.url.hasPrefix("https://hs/_matrix/"))
  }

  @Test("uploads a file, then sends the event that names it")
  func files() throws {
    let action = OutboundAction.message(OutboundMessage(kind: .image, text: "look", files: [Dialogue.file()]))
    let upload = try #require(try Self.next(action).request)
    #expect(upload.line == "POST https://hs/_matrix/media/v3/upload")
    #expect(upload.body == .file(0, type: "image/png"))
    #expect(upload.query == ["filename": "a.png"])
    let answers = [Dialogue.answer(["content_uri": "mxc://hs/1"])]
    let send = try #require(try Self.next(action, answers).request)
    #expect(
      send.json == [
        "msgtype": "m.image", "body": "look", "filename": "a.png", "url": "mxc://hs/1",
        "info": ["mimetype": "image/png", "size": 9],
      ])
    let done = try Self.next(action, answers + [Dialogue.answer(["event_id": "$f"])])
    #expect(done == .done(SendReceipt(messageID: "$f")))
  }

  @Test("takes a reaction back by redacting its event, which it looks up page by page")
  func unreact() throws {
    let action = OutboundAction.react(messageID: "$a", emoji: "❤️", isSet: false)
    func event(_ id: String, _ sender: String, _ key: String) -> JSONValue {
      [
        "event_id": .string(id), "sender": .string(sender),
        "content": ["m.relates_to": ["key": .string(key)]],
      ]
    }
    let lookup = try #require(try Self.next(action).request)
    #expect(
      lookup.line
        == "GET https://hs/_matrix/client/v1/rooms/%21r%3Ahs/relations/%24a/m.annotation/m.reaction")
    let first = Dialogue.answer([
      "chunk": [event("$1", "@ana:hs", "❤️"), event("$2", "@hub:hs", "👍")], "next_batch": "n",
    ])
    let second = try #require(try Self.next(action, [first]).request)
    #expect(second.query == ["limit": "100", "from": "n"])
    let found = Dialogue.answer(["chunk": [event("$3", "@hub:hs", "❤")]])
    let redact = try #require(try Self.next(action, [first, found]).request)
    #expect(redact.line == "PUT \(Self.base)redact/%243/0199-key")
    let done = try Self.next(action, [first, found, Dialogue.answer(["event_id": "$r"])])
    #expect(done == .done(SendReceipt()))
    // It was taken back already.
    #expect(try Self.next(action, [Dialogue.answer(["chunk": []])]) == .done(SendReceipt()))
  }

  @Test("asks who it is where the credentials do not say")
  func whoami() throws {
    let secrets = ["homeserver": ["https://hs"], "accessToken": ["tok"]]
    let who = try Self.next(.typing(true), secrets: secrets)
    #expect(who.request?.line == "GET https://hs/_matrix/client/v3/account/whoami")
    let me = Dialogue.answer(["user_id": "@x:hs"])
    #expect(
      try Self.next(.typing(true), [me], secrets: secrets).request?.line == "PUT \(Self.base)typing/%40x%3Ahs"
    )
    #expect(
      try Self.next(.typing(true), [me, Dialogue.answer([:])], secrets: secrets) == .done(SendReceipt()))
  }

  @Test(
    "says what a refusal means",
    arguments: [
      (429, "M_LIMIT_EXCEEDED", 2_000, APIFailure.Remedy.pauseAccount(seconds: 2)),
      (
        401, "M_UNKNOWN_TOKEN", 0,
        .credentials(action: "give the account an access token that the homeserver takes")
      ),
      (403, "M_FORBIDDEN", 0, .none), (413, "M_TOO_LARGE", 0, .none),
      (502, "M_UNKNOWN", 0, .later(seconds: nil)),
      (503, "M_UNKNOWN", 0, .later(seconds: nil)),
    ])
  func failures(status: Int, code: String, wait: Int, remedy: APIFailure.Remedy) throws {
    var body: [String: JSONValue] = ["errcode": .string(code), "error": "words"]
    if wait > 0 { body["retry_after_ms"] = .integer(Int64(wait)) }
    let step = try Self.next(
      .message(OutboundMessage(text: "hi")), [Dialogue.answer(.object(body), status: status)])
    #expect(step.failure == APIFailure("words", remedy))
  }

  @Test("obeys the header before the body, and takes a reaction that is there for done")
  func special() throws {
    let limited = Dialogue.answer(
      ["errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1], status: 429, ["Retry-After": "7"])
    let text = OutboundAction.message(OutboundMessage(text: "hi"))
    #expect(try Self.next(text, [limited]).failure?.remedy == .pauseAccount(seconds: 7))
    let double = Dialogue.answer(["errcode": "M_DUPLICATE_ANNOTATION"], status: 400)
    let react = OutboundAction.react(messageID: "$a", emoji: "👍", isSet: true)
    #expect(try Self.next(react, [double]) == .done(SendReceipt()))
  }

  @Test("refuses what cannot be sent, before the network")
  func refusals() throws {
    let platform = try Dialogue.sender("matrix")
    func code(_ action: OutboundAction, _ secrets: [String: [String]] = Self.user) -> SendRefusal.Code? {
      SendRules.refusal(of: Dialogue.job(action, to: Self.room, secrets: secrets), on: platform)?.code
    }
    let text = OutboundAction.message(OutboundMessage(text: "hi"))
    #expect(code(text) == nil)
    #expect(code(text, ["accessToken": ["t"]]) == .missingCredentials)
    #expect(
      code(text, ["homeserver": ["https://hs"], "asToken": ["t"], "userId": ["@hub_*"]])
        == .missingCredentials)
    #expect(code(.message(OutboundMessage(text: String(repeating: "x", count: 60_001)))) == .textTooLong)
    let files = [Dialogue.file(), Dialogue.file()]
    #expect(code(.message(OutboundMessage(kind: .image, files: files))) == .invalidContent)
    #expect(code(.message(OutboundMessage(kind: .location))) == .invalidContent)
    #expect(code(.message(OutboundMessage(kind: .poll))) == .kindNotSupported)
  }

  @Test("reads what it wrote under the same id, with its own key")
  func echo() throws {
    let sent = try #require(try Self.next(.message(OutboundMessage(text: "hi", replyTo: "$a"))).request)
    let event: JSONValue = [
      "type": "m.room.message", "event_id": "$new", "room_id": .string(Self.room), "sender": "@hub:hs",
      "origin_server_ts": 1_795_219_200_000, "content": sent.json ?? .null,
      "unsigned": ["transaction_id": .string(Dialogue.key)],
    ]
    let delivery = WebhookDelivery(
      body: JSONValue.object(["events": [event]]).encoded(), receivedAt: Dialogue.now,
      secrets: AccountSecrets(Self.user))
    let read = try #require(try Dialogue.sender("matrix").normalise(delivery).messages.first)
    #expect(read.externalID == "$new")
    #expect(read.direction == .outbound)
    #expect(read.text == "hi")
    #expect(read.replyTo == "$a")
    #expect(read.details?["clientKey"]?.string == Dialogue.key)
  }
}
