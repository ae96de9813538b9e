import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of self-hosted servers: Mattermost, Rocket.Chat, Zulip.
@Suite struct ServerPollingTests {
  private static let millisecond: Int64 = 1_795_219_200_000

  private static func poll(
    _ platform: String, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, _ answers: [APIAnswer] = []
  ) throws -> PollStep {
    let job = Dialogue.poll(mode, cursor: cursor, secrets: ServerSendingTests.secrets[platform] ?? [:])
    return try Dialogue.poller(platform).poll(job, after: answers)
  }

  // MARK: Mattermost

  private static func post(_ id: String, _ more: [String: JSONValue] = [:]) -> JSONValue {
    let members: [String: JSONValue] = [
      "id": .string(id), "channel_id": "c1", "user_id": "ana", "message": "hi", "root_id": "",
      "create_at": .integer(millisecond), "update_at": .integer(millisecond), "delete_at": 0, "edit_at": 0,
    ]
    return .object(members.merging(more) { $1 })
  }

  @Test("Mattermost: begins now, then asks the channels with news for what changed")
  func mattermost() throws {
    let me = Dialogue.answer(["id": "hub"], ["Date": "Sat, 21 Nov 2026 00:00:00 GMT"])
    let begun = try #require(try Self.poll("mattermost", cursor: nil, [me]).page)
    #expect(begun.cursor == ["user": "hub", "since": 1_795_219_200_000])
    #expect(begun.content == Normalised())
    let channels = Dialogue.answer(
      [
        ["id": "c1", "type": "D", "name": "ana__hub", "display_name": "", "last_post_at": 1_795_219_210_000],
        ["id": "c2", "type": "O", "name": "town", "display_name": "Town", "last_post_at": 1_700_000_000_000],
      ], ["Date": "Sat, 21 Nov 2026 00:01:00 GMT"])
    let ask = try #require(try Self.poll("mattermost", cursor: begun.cursor, [channels]).request)
    #expect(ask.line == "GET https://mm/api/v4/channels/c1/posts")
    // A minute before what was read already.
    #expect(ask.query == ["since": "1795219140000"])
    let posts = Dialogue.answer([
      "order": ["p1", "p2"],
      "posts": [
        "p1": Self.post(
          "p1",
          [
            "edit_at": 1_795_219_205_000, "update_at": 1_795_219_206_000, "message": "new",
            "metadata": ["reactions": [["user_id": "ana", "emoji_name": "+1", "create_at": 1]]],
          ]),
        "p2": Self.post("p2", ["user_id": "hub", "props": ["client_key": "k"], "root_id": "p1"]),
        "p3": Self.post("p3", ["delete_at": 1_795_219_207_000]),
      ],
    ])
    let names = try #require(try Self.poll("mattermost", cursor: begun.cursor, [channels, posts]).request)
    #expect(names.line == "POST https://mm/api/v4/users/ids")
    #expect(names.json == ["ana", "hub"])
    let users = Dialogue.answer([["id": "ana", "username": "ana", "first_name": "Ana", "last_name": ""]])
    let page = try #require(try Self.poll("mattermost", cursor: begun.cursor, [channels, posts, users]).page)
    let place = ConversationRef(externalID: "c1", kind: .direct, title: "Ana")
    #expect(page.content.messages.map(\.externalID) == ["p1", "p2"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(page.content.messages[0].conversation == place)
    #expect(page.content.messages[0].sender == Person(id: "ana", name: "Ana"))
    #expect(page.content.messages[1].details?["clientKey"] == "k")
    #expect(page.content.messages[1].threadID == "p1")
    #expect(page.content.edits.map(\.text) == ["new"])
    #expect(page.content.deletions.map(\.externalIDs) == [["p3"]])
    // Of two people both are known: who has none took it back.
    #expect(page.content.reactions.map(\.actor.id) == ["ana", "hub"])
    #expect(page.content.reactions.map(\.change) == [.replace(["👍"]), .replace([])])
    #expect(page.cursor == ["user": "hub", "since": 1_795_219_260_000])
    #expect(!page.hasMore)
  }

  private static func poll(
    _ platform: String, cursor: JSONValue?, _ answers: [APIAnswer]
  ) throws -> PollStep { try poll(platform, .live, cursor: cursor, answers) }

  @Test("Mattermost: a round goes over pages, and its cursor carries what is left")
  func mattermostPages() throws {
    let list = (0..<15).map { index in
      JSONValue.object([
        "id": .string("c\(index)"), "type": "O", "display_name": "x",
        "last_post_at": .integer(Self.millisecond),
      ])
    }
    let cursor: JSONValue = ["user": "hub", "since": 1_795_219_200_000]
    let none = Dialogue.answer(["order": [], "posts": [:]])
    let gone = Dialogue.answer(["message": "no"], status: 403)
    let first = [Dialogue.answer(.array(list))] + Array(repeating: none, count: 9) + [gone]
    let page = try #require(try Self.poll("mattermost", cursor: cursor, first).page)
    #expect(page.hasMore)
    #expect(page.cursor["rooms"]?.array?.count == 5)
    #expect(page.cursor["since"] == 1_795_219_200_000)
    let rest = try #require(
      try Self.poll("mattermost", cursor: page.cursor, Array(repeating: none, count: 5)).page)
    #expect(!rest.hasMore)
    #expect(rest.cursor["rooms"] == nil)
  }

  @Test("Mattermost: history channel by channel, down to a time")
  func mattermostHistory() throws {
    let mode = PollJob.Mode.history(notBefore: Timestamp(milliseconds: Self.millisecond - 1_000))
    let me = Dialogue.answer(["id": "hub"])
    let channels = Dialogue.answer([
      ["id": "c1", "type": "O", "display_name": "One", "last_post_at": 1_795_219_200_000],
      ["id": "c2", "type": "O", "display_name": "Two", "last_post_at": 1_795_219_300_000],
      ["id": "c3", "type": "O", "display_name": "Old", "last_post_at": 1],
    ])
    let list = try #require(try Self.poll("mattermost", mode, cursor: nil, [me, channels]).page)
    #expect(list.cursor["rooms"]?.array?.compactMap { $0["id"]?.string } == ["c2", "c1"])
    let posts = Dialogue.answer([
      "order": ["p2", "p1"],
      "posts": ["p1": Self.post("p1", ["create_at": 5]), "p2": Self.post("p2")],
    ])
    let users = Dialogue.answer([])
    let page = try #require(try Self.poll("mattermost", mode, cursor: list.cursor, [posts, users]).page)
    #expect(page.content.messages.map(\.externalID) == ["p2"])
    #expect(page.content.messages.first?.conversation.title == "Two")
    #expect(page.cursor["rooms"]?.array?.count == 1)
    #expect(page.hasMore)
  }

  // MARK: Rocket.Chat

  @Test("Rocket.Chat: rooms with news are asked for what changed")
  func rocketchat() throws {
    let begun = try #require(try Self.poll("rocketchat", cursor: nil, [Dialogue.answer(["_id": "u1"])]).page)
    let rooms = Dialogue.answer([
      "success": true,
      "update": [
        ["_id": "r1", "t": "d", "usersCount": 2, "fname": "Ana", "lm": "2026-11-21T00:00:10.000Z"],
        ["_id": "r2", "t": "c", "name": "general", "lm": "2020-01-01T00:00:00.000Z"],
      ],
    ])
    let ask = try #require(try Self.poll("rocketchat", cursor: begun.cursor, [rooms]).request)
    #expect(ask.line == "GET https://rc/api/v1/chat.syncMessages")
    #expect(ask.query["roomId"] == "r1")
    #expect(ask.query["lastUpdate"] == "2026-11-20T23:59:00.000Z")
    let user: JSONValue = ["_id": "ana", "username": "ana", "name": "Ana"]
    let changed = Dialogue.answer([
      "success": true,
      "result": [
        "updated": [
          [
            "_id": "m1", "rid": "r1", "msg": "new", "ts": "2026-11-21T00:00:01.000Z", "u": user,
            "editedAt": "2026-11-21T00:00:02.000Z", "_updatedAt": "2026-11-21T00:00:03.000Z",
            "reactions": [":+1:": ["usernames": ["hub"]]],
          ],
          [
            "_id": "m2", "rid": "r1", "msg": "mine", "ts": "2026-11-21T00:00:04.000Z", "tmid": "m1",
            "u": ["_id": "u1", "username": "hub"],
          ],
        ],
        "deleted": [["_id": "m3", "_deletedAt": "2026-11-21T00:00:05.000Z"]],
      ],
    ])
    let page = try #require(try Self.poll("rocketchat", cursor: begun.cursor, [rooms, changed]).page)
    #expect(page.content.faults.isEmpty)
    #expect(page.content.messages.map(\.externalID) == ["m1", "m2"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(page.content.messages[1].threadID == "m1")
    #expect(page.content.edits.map(\.text) == ["new"])
    #expect(page.content.deletions.map(\.externalIDs) == [["m3"]])
    #expect(page.content.reactions.map(\.change) == [.replace(["👍"])])
    #expect(
      page.content.messages[0].conversation
        == ConversationRef(externalID: "r1", kind: .direct, title: "Ana"))
  }

  @Test("Rocket.Chat: history with the method of the room's kind")
  func rocketchatHistory() throws {
    let mode = PollJob.Mode.history(notBefore: Timestamp(seconds: 1_795_219_000))
    let rooms = Dialogue.answer([
      "success": true,
      "update": [["_id": "r1", "t": "p", "fname": "Team", "lm": "2026-11-21T00:00:10.000Z"]],
    ])
    let list = try #require(try Self.poll("rocketchat", mode, cursor: nil, [rooms]).page)
    let ask = try #require(try Self.poll("rocketchat", mode, cursor: list.cursor).request)
    #expect(ask.line == "GET https://rc/api/v1/groups.history")
    let messages = Dialogue.answer([
      "success": true,
      "messages": [
        ["_id": "m1", "msg": "a", "ts": "2026-11-21T00:00:01.000Z", "u": ["_id": "ana"]]
      ],
    ])
    let page = try #require(try Self.poll("rocketchat", mode, cursor: list.cursor, [messages]).page)
    #expect(page.content.messages.map(\.externalID) == ["m1"])
    #expect(!page.hasMore)
  }

  // MARK: Zulip

  private static let zulipMessage: JSONValue = [
    "id": 41, "type": "private", "content": "hi", "sender_id": 2, "sender_full_name": "Ana",
    "timestamp": 1_795_219_200,
    "display_recipient": [["id": 1, "full_name": "Hub"], ["id": 2, "full_name": "Ana"]], "reactions": [],
    "client": "website", "subject": "",
  ]

  @Test("Zulip: registers a queue, waits for its events, and knows where their messages stand")
  func zulip() throws {
    let me = Dialogue.answer(["result": "success", "user_id": 1])
    let register = try #require(try Self.poll("zulip", cursor: nil, [me]).request)
    #expect(register.line == "POST https://z/api/v1/register")
    let queue = Dialogue.answer([
      "result": "success", "queue_id": "q", "last_event_id": -1, "max_message_id": 40,
    ])
    let begun = try #require(try Self.poll("zulip", cursor: nil, [me, queue]).page)
    #expect(begun.content == Normalised())
    let wait = try #require(try Self.poll("zulip", cursor: begun.cursor).request)
    #expect(wait.isLongLived)
    #expect(wait.query == ["queue_id": "q", "last_event_id": "-1"])
    var busy = Dialogue.poll(cursor: begun.cursor, secrets: ServerSendingTests.secrets["zulip"] ?? [:])
    busy.mayWait = false
    let look = try #require(try Dialogue.poller("zulip").poll(busy, after: []).request)
    #expect(look.query["dont_block"] == "true")
    #expect(!look.isLongLived)
    let reaction: JSONValue = [
      "id": 3, "type": "reaction", "op": "add", "message_id": 41, "user_id": 2, "emoji_name": "+1",
      "emoji_code": "1f44d", "reaction_type": "unicode_emoji",
    ]
    let edit: JSONValue = [
      "id": 4, "type": "update_message", "message_id": 41, "content": "new", "edit_timestamp": 1_795_219_260,
    ]
    let events = Dialogue.answer([
      "result": "success",
      "events": [["id": 2, "type": "message", "message": Self.zulipMessage], reaction, edit],
    ])
    let page = try #require(try Self.poll("zulip", cursor: begun.cursor, [events]).page)
    let place = ConversationRef(externalID: "direct:1,2", kind: .direct, title: "Ana")
    #expect(page.content.messages.map(\.conversation) == [place])
    #expect(page.content.reactions.map(\.change) == [.add("👍")])
    #expect(page.content.reactions.map(\.conversation.externalID) == ["direct:1,2"])
    #expect(page.content.edits.map(\.text) == ["new"])
    #expect(page.cursor["last"] == 4)
    #expect(page.cursor["message"] == 41)
    // A deletion says where only in channels; the message is remembered.
    let deletion = Dialogue.answer([
      "result": "success",
      "events": [["id": 5, "type": "delete_message", "message_id": 41, "message_type": "private"]],
    ])
    let gone = try #require(try Self.poll("zulip", cursor: page.cursor, [deletion]).page)
    #expect(gone.content.deletions.map(\.conversation.externalID) == ["direct:1,2"])
  }

  @Test("Zulip: asks for a message that it does not remember")
  func zulipUnknown() throws {
    let cursor: JSONValue = ["user": "1", "queue": "q", "last": 1, "message": 40]
    let events = Dialogue.answer([
      "result": "success",
      "events": [
        ["id": 3, "type": "reaction", "op": "remove", "message_id": 41, "user_id": 2, "emoji_name": "tada"]
      ],
    ])
    let ask = try Self.poll("zulip", cursor: cursor, [events]).request
    #expect(ask?.line == "GET https://z/api/v1/messages/41")
    let found = Dialogue.answer(["result": "success", "message": Self.zulipMessage])
    let page = try #require(try Self.poll("zulip", cursor: cursor, [events, found]).page)
    #expect(page.content.reactions.map(\.change) == [.remove(":tada:")])
    let gone = Dialogue.answer(
      ["result": "error", "code": "BAD_REQUEST", "msg": "Invalid message(s)"], status: 400)
    #expect(try Self.poll("zulip", cursor: cursor, [events, gone]).page?.content.items.isEmpty == true)
  }

  @Test("Zulip: a lost queue is registered anew, and what came meanwhile is listed")
  func zulipLost() throws {
    let cursor: JSONValue = ["user": "1", "queue": "q", "last": 9, "message": 40]
    let bad = Dialogue.answer(
      ["result": "error", "code": "BAD_EVENT_QUEUE_ID", "msg": "gone"], status: 400)
    let lost = try #require(try Self.poll("zulip", cursor: cursor, [bad]).page)
    #expect(lost.hasMore)
    let queue = Dialogue.answer([
      "result": "success", "queue_id": "q2", "last_event_id": -1, "max_message_id": 99,
    ])
    let registered = try #require(try Self.poll("zulip", cursor: lost.cursor, [queue]).page)
    #expect(registered.hasMore)
    let list = try #require(try Self.poll("zulip", cursor: registered.cursor).request)
    #expect(list.query["anchor"] == "40")
    let messages = Dialogue.answer([
      "result": "success", "messages": [Self.zulipMessage], "found_newest": true,
    ])
    let page = try #require(try Self.poll("zulip", cursor: registered.cursor, [messages]).page)
    #expect(page.content.messages.map(\.externalID) == ["41"])
    #expect(page.cursor["queue"] == "q2")
    #expect(try Self.poll("zulip", cursor: page.cursor).request?.line == "GET https://z/api/v1/events")
  }

  @Test("Zulip: the same message has the same id and place by webhook, event and list")
  func zulipSame() throws {
    let body: JSONValue = ["token": "t", "trigger": "direct_message", "message": Self.zulipMessage]
    let delivery = WebhookDelivery(body: body.encoded(), receivedAt: Dialogue.now)
    let pushed = try #require(try Dialogue.poller("zulip").normalise(delivery).messages.first)
    let mode = PollJob.Mode.sweep(since: Timestamp(seconds: 1_795_219_000))
    let list = Dialogue.answer([
      "result": "success", "messages": [Self.zulipMessage], "found_oldest": true,
    ])
    let me = Dialogue.answer(["result": "success", "user_id": 1])
    let page = try #require(try Self.poll("zulip", mode, cursor: nil, [me, list]).page)
    let listed = try #require(page.content.messages.first)
    #expect(listed.externalID == pushed.externalID)
    #expect(listed.conversation == pushed.conversation)
    #expect(listed.text == pushed.text)
    #expect(listed.sentAt == pushed.sentAt)
  }
}
