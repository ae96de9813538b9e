import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of a homeserver: a cursor and answers give the next call, or a page.
@Suite struct MatrixPollingTests {
  private static let secrets = ["homeserver": ["https://hs"], "accessToken": ["tok"], "userId": ["@hub:hs"]]

  private static func poll(
    _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, _ answers: [APIAnswer] = [],
    secrets: [String: [String]] = secrets
  ) throws -> PollStep {
    try Dialogue.poller("matrix").poll(
      Dialogue.poll(mode, cursor: cursor, secrets: secrets), after: answers)
  }

  private static func text(_ id: String, _ body: String, at: Int64 = 1_795_219_100_000) -> JSONValue {
    [
      "type": "m.room.message", "event_id": .string(id), "sender": "@ana:hs",
      "origin_server_ts": .integer(at), "content": ["msgtype": "m.text", "body": .string(body)],
    ]
  }

  private static func sync(_ rooms: JSONValue, next: String = "s2") -> APIAnswer {
    Dialogue.answer(["next_batch": .string(next), "rooms": rooms])
  }

  @Test("begins now: the first sync says where, and which rooms are of two")
  func begins() throws {
    let request = try #require(try Self.poll().request)
    #expect(request.line == "GET https://hs/_matrix/client/v3/sync")
    #expect(request.query["since"] == nil)
    #expect(request.query["timeout"] == "0")
    let answer = Dialogue.answer([
      "next_batch": "s1",
      "account_data": ["events": [["type": "m.direct", "content": ["@ana:hs": ["!d:hs"]]]]],
      "rooms": ["join": ["!r:hs": ["timeline": ["events": [Self.text("$old", "old")], "limited": true]]]],
    ])
    let page = try #require(try Self.poll([answer]).page)
    #expect(page.content == Normalised())
    #expect(page.cursor == ["since": "s1", "user": "@hub:hs", "direct": ["!d:hs"]])
    #expect(!page.hasMore)
  }

  private static func poll(_ answers: [APIAnswer]) throws -> PollStep { try poll(cursor: nil, answers) }

  @Test("waits for news with the cursor, and reads messages, receipts and typing of a room")
  func live() throws {
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs", "direct": ["!d:hs"]]
    let request = try #require(try Self.poll(cursor: cursor).request)
    #expect(request.query["since"] == "s1")
    #expect(request.query["timeout"] == "30000")
    #expect(request.isLongLived)
    #expect(request.timeoutSeconds > 30)
    let member: JSONValue = [
      "type": "m.room.member", "state_key": "@ana:hs", "sender": "@ana:hs", "event_id": "$m",
      "content": ["membership": "join", "displayname": "Ana"],
    ]
    let receipt: JSONValue = [
      "type": "m.receipt", "content": ["$x": ["m.read": ["@ana:hs": ["ts": 1_795_219_100_000]]]],
    ]
    let answer = Self.sync([
      "join": [
        "!d:hs": [
          "state": ["events": [member]], "timeline": ["events": [Self.text("$1", "hi")], "limited": false],
          "ephemeral": ["events": [receipt, ["type": "m.typing", "content": ["user_ids": ["@ana:hs"]]]]],
        ]
      ]
    ])
    let page = try #require(try Self.poll(cursor: cursor, [answer]).page)
    let message = try #require(page.content.messages.first)
    #expect(message.externalID == "$1")
    #expect(message.conversation == ConversationRef(externalID: "!d:hs", kind: .direct))
    #expect(message.sender == Person(id: "@ana:hs", name: "Ana"))
    #expect(page.content.items.count == 3)
    #expect(page.cursor["since"] == "s2")
    #expect(page.content.faults.isEmpty)
  }

  @Test("does not wait for news while something else is to be read")
  func doesNotWait() throws {
    var job = Dialogue.poll(cursor: ["since": "s1", "user": "@hub:hs"], secrets: Self.secrets)
    job.mayWait = false
    let request = try #require(try Dialogue.poller("matrix").poll(job, after: []).request)
    #expect(request.query["since"] == "s1")
    #expect(request.query["timeout"] == "0")
    #expect(!request.isLongLived)
  }

  @Test("names a room that was there before, when something comes from it")
  func titles() throws {
    let name: JSONValue = [
      "type": "m.room.name", "event_id": "$n", "sender": "@ana:hs", "state_key": "",
      "origin_server_ts": 1_795_219_000_000, "content": ["name": "Kitchen"],
    ]
    let begun = try #require(
      try Self.poll([Self.sync(["join": ["!r:hs": ["state": ["events": [name]]]]], next: "s1")]).page)
    #expect(begun.content == Normalised())
    #expect(begun.cursor["titles"] == [["!r:hs", "Kitchen", 1_795_219_000_000]])
    let other = try #require(
      try Self.poll(
        cursor: begun.cursor,
        [Self.sync(["join": ["!o:hs": ["timeline": ["events": [Self.text("$1", "hi")]]]]])]
      ).page)
    #expect(other.cursor["titles"] == begun.cursor["titles"])
    let page = try #require(
      try Self.poll(
        cursor: other.cursor,
        [Self.sync(["join": ["!r:hs": ["timeline": ["events": [Self.text("$2", "hi")]]]]])]
      ).page)
    #expect(
      page.content.items.first
        == .conversation(
          ConversationChange(
            conversation: ConversationRef(externalID: "!r:hs", kind: .group, title: "Kitchen"),
            at: Timestamp(milliseconds: 1_795_219_000_000))))
    #expect(page.content.messages.map(\.externalID) == ["$2"])
    #expect(page.cursor["titles"] == nil)
  }

  @Test(
    "does not read its own reactions again, and knows them by the key of a job",
    arguments: [("01936f3e-7c00-7000-8000-000000000001", 0), ("m1795219100000.1", 1), (nil, 1)])
  func ownReactions(key: String?, count: Int) throws {
    var reaction: [String: JSONValue] = [
      "type": "m.reaction", "event_id": "$r", "sender": "@hub:hs", "origin_server_ts": 1_795_219_100_000,
      "content": ["m.relates_to": ["rel_type": "m.annotation", "event_id": "$1", "key": "👍"]],
    ]
    if let key { reaction["unsigned"] = ["transaction_id": .string(key)] }
    let answer = Self.sync(["join": ["!r:hs": ["timeline": ["events": [.object(reaction)]]]]])
    let page = try #require(
      try Self.poll(cursor: ["since": "s1", "user": "@hub:hs"], [answer]).page)
    #expect(page.content.reactions.count == count)
    #expect(page.content.faults.isEmpty)
  }

  @Test("fills what a sync left out, page by page, before it syncs again")
  func gaps() throws {
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs"]
    let answer = Self.sync([
      "join": [
        "!r:hs": ["timeline": ["events": [Self.text("$9", "9")], "limited": true, "prev_batch": "p9"]]
      ]
    ])
    let limited = try #require(try Self.poll(cursor: cursor, [answer]).page)
    #expect(limited.hasMore)
    #expect(limited.cursor["gaps"] == [["!r:hs", "p9", "s1"]])
    let request = try #require(try Self.poll(cursor: limited.cursor).request)
    #expect(request.line == "GET https://hs/_matrix/client/v3/rooms/%21r%3Ahs/messages")
    #expect(request.query["from"] == "p9")
    #expect(request.query["to"] == "s1")
    #expect(request.query["dir"] == "b")
    let first = Dialogue.answer(["chunk": [Self.text("$8", "8"), Self.text("$7", "7")], "end": "p7"])
    let second = try #require(try Self.poll(cursor: limited.cursor, [first]).page)
    #expect(second.content.messages.map(\.externalID) == ["$8", "$7"])
    #expect(second.cursor["gaps"] == [["!r:hs", "p7", "s1"]])
    let last = Dialogue.answer(["chunk": [Self.text("$6", "6")]])
    let third = try #require(try Self.poll(cursor: second.cursor, [last]).page)
    #expect(third.cursor == ["since": "s2", "user": "@hub:hs"])
    #expect(third.hasMore)
    // A room that cannot be read any more does not hold up the others.
    let forbidden = Dialogue.answer(["errcode": "M_FORBIDDEN", "error": "no"], status: 403)
    #expect(try Self.poll(cursor: second.cursor, [forbidden]).page?.cursor["gaps"] == nil)
    let busy = Dialogue.answer(["errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 500], status: 429)
    #expect(try Self.poll(cursor: second.cursor, [busy]).failure?.remedy == .pauseAccount(seconds: 0.5))
  }

  @Test("takes a reaction back whose event it has seen, and deletes what else is redacted")
  func redactions() throws {
    let reaction: JSONValue = [
      "type": "m.reaction", "event_id": "$re", "sender": "@ana:hs", "origin_server_ts": 1,
      "content": ["m.relates_to": ["rel_type": "m.annotation", "event_id": "$1", "key": "👍"]],
    ]
    func redaction(_ id: String, _ target: String) -> JSONValue {
      [
        "type": "m.room.redaction", "event_id": .string(id), "sender": "@ana:hs",
        "origin_server_ts": 1_795_219_100_000, "content": ["redacts": .string(target)],
      ]
    }
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs"]
    let first = try #require(
      try Self.poll(
        cursor: cursor, [Self.sync(["join": ["!r:hs": ["timeline": ["events": [reaction]]]]])]
      ).page)
    #expect(first.content.reactions.map(\.change) == [.add("👍")])
    let events: JSONValue = [redaction("$x", "$re"), redaction("$y", "$1")]
    let second = try #require(
      try Self.poll(
        cursor: first.cursor, [Self.sync(["join": ["!r:hs": ["timeline": ["events": events]]]])]
      ).page)
    #expect(second.content.reactions.map(\.change) == [.remove("👍")])
    #expect(second.content.reactions.map(\.externalID) == ["$1"])
    #expect(second.content.deletions.map(\.externalIDs) == [["$1"]])
  }

  @Test("tells of invitations, and takes them where it is asked to")
  func invitations() throws {
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs"]
    let state: JSONValue = [
      [
        "type": "m.room.member", "sender": "@ana:hs", "state_key": "@hub:hs",
        "content": ["membership": "invite", "is_direct": true],
      ],
      ["type": "m.room.name", "sender": "@ana:hs", "content": ["name": "Plans"]],
    ]
    let answer = Self.sync(["invite": ["!n:hs": ["invite_state": ["events": state]]]])
    let told = try #require(try Self.poll(cursor: cursor, [answer]).page?.content.messages.first)
    #expect(told.kind == .system)
    #expect(told.conversation == ConversationRef(externalID: "!n:hs", kind: .direct, title: "Plans"))
    let joining = Self.secrets.merging(["joinInvites": ["true"]]) { $1 }
    let join = try #require(try Self.poll(cursor: cursor, [answer], secrets: joining).request)
    #expect(join.line == "POST https://hs/_matrix/client/v3/join/%21n%3Ahs")
    let page = try Self.poll(cursor: cursor, [answer, Dialogue.answer([:], status: 403)], secrets: joining)
      .page
    #expect(page?.cursor["since"] == "s2")
  }

  @Test("begins anew when the homeserver lost the place, and says when the token is gone")
  func failures() throws {
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs"]
    let lost = Dialogue.answer(["errcode": "M_UNKNOWN_POS", "error": "lost"], status: 400)
    #expect(try Self.poll(cursor: cursor, [lost]).failure == APIFailure("lost", .restart))
    let revoked = Dialogue.answer(["errcode": "M_UNKNOWN_TOKEN", "error": "gone"], status: 401)
    guard case .credentials = try Self.poll(cursor: cursor, [revoked]).failure?.remedy else {
      Issue.record("the token's end asks for a person")
      return
    }
    let broken = APIAnswer(status: 502, body: Array("<html>".utf8))
    #expect(try Self.poll(cursor: cursor, [broken]).failure?.remedy == .later(seconds: nil))
  }

  @Test("reads history room by room, newest first, down to a time, with the rooms' names")
  func history() throws {
    let notBefore = Timestamp(milliseconds: 1_795_219_000_000)
    let mode = PollJob.Mode.history(notBefore: notBefore)
    let me = Dialogue.answer(["user_id": "@hub:hs"])
    let none = Dialogue.answer(["errcode": "M_NOT_FOUND"], status: 404)
    let rooms = Dialogue.answer(["joined_rooms": ["!b:hs", "!a:hs"]])
    #expect(try Self.poll(mode, [me]).request?.line.hasSuffix("/account_data/m.direct") == true)
    let list = try #require(try Self.poll(mode, [me, none, rooms]).page)
    #expect(list.cursor["rooms"] == ["!a:hs", "!b:hs"])
    #expect(list.hasMore)
    let messages = Dialogue.answer([
      "chunk": [Self.text("$2", "2"), Self.text("$1", "1", at: 1_795_218_999_999)], "end": "e1",
    ])
    #expect(
      try Self.poll(mode, cursor: list.cursor, [messages]).request?.line.hasSuffix("state/m.room.name")
        == true)
    let name = Dialogue.answer(["name": "Plans"])
    let page = try #require(try Self.poll(mode, cursor: list.cursor, [messages, name]).page)
    #expect(page.content.messages.map(\.externalID) == ["$2"])
    #expect(
      page.content.items.contains { item in
        if case .conversation(let change) = item { change.conversation.title == "Plans" } else { false }
      })
    #expect(page.cursor["rooms"] == ["!b:hs"])
    #expect(page.hasMore)
    let over = try #require(
      try Self.poll(mode, cursor: page.cursor, [Dialogue.answer(["chunk": []]), none]).page)
    #expect(!over.hasMore)
  }

  private static func poll(_ mode: PollJob.Mode, _ answers: [APIAnswer]) throws -> PollStep {
    try poll(mode, cursor: nil, answers)
  }

  @Test("reads the same event with the same id by sync and by an application service")
  func sameID() throws {
    let cursor: JSONValue = ["since": "s1", "user": "@hub:hs"]
    let event = Self.text("$1", "hi")
    let answer = Self.sync(["join": ["!r:hs": ["timeline": ["events": [event]]]]])
    let polled = try #require(try Self.poll(cursor: cursor, [answer]).page?.content.messages.first)
    var members = event.object ?? [:]
    members["room_id"] = "!r:hs"
    let body: JSONValue = ["events": [.object(members)]]
    let delivery = WebhookDelivery(body: body.encoded(), receivedAt: Dialogue.now)
    #expect(try Dialogue.poller("matrix").normalise(delivery).messages == [polled])
  }
}
