import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of self-hosted servers: Mattermost and Rocket.Chat.
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
    #expect(begun.cursor == ["user": "hub", "since": 1_795_219_200_000, "begin": 1_795_219_200_000])
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
      "order": ["p2", "p1"],
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
    #expect(page.cursor == ["user": "hub", "since": 1_795_219_260_000, "begin": 1_795_219_200_000])
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

  @Test("Mattermost: what an integration says in attachments is its text")
  func mattermostAttachments() throws {
    let channels = Dialogue.answer([
      ["id": "c2", "type": "O", "name": "town", "display_name": "Town", "last_post_at": 1_795_219_210_000]
    ])
    let attachments: JSONValue = [
      ["fallback": "Build 7 failed", "title": "Build 7", "fields": [["title": "Branch", "value": "main"]]]
    ]
    let posts = Dialogue.answer([
      "order": ["p1"],
      "posts": ["p1": Self.post("p1", ["message": "", "props": ["attachments": attachments]])],
    ])
    let cursor: JSONValue = ["user": "hub", "since": 1_795_219_200_000, "begin": 1_795_219_200_000]
    let page = try #require(
      try Self.poll("mattermost", cursor: cursor, [channels, posts, Dialogue.answer([])]).page)
    #expect(page.content.messages.map(\.text) == ["Build 7\nBranch: main"])
  }

  // MARK: Rocket.Chat

  @Test("Rocket.Chat: a file's description is its text, and so is what is said in attachments")
  func rocketchatAttachments() throws {
    let begun = try #require(try Self.poll("rocketchat", cursor: nil, [Dialogue.answer(["_id": "u1"])]).page)
    let room: JSONValue = ["_id": "r1", "t": "c", "name": "general", "lm": "2026-11-21T00:00:10.000Z"]
    let rooms = Dialogue.answer(["success": true, "update": [room]])
    func message(_ id: String, _ more: [String: JSONValue]) -> JSONValue {
      let members: [String: JSONValue] = [
        "_id": .string(id), "rid": "r1", "msg": "", "ts": "2026-11-21T00:00:01.000Z",
        "u": ["_id": "ana", "username": "ana"],
      ]
      return .object(members.merging(more) { $1 })
    }
    let file: JSONValue = ["_id": "f1", "name": "a.png", "type": "image/png"]
    let quoted: JSONValue = ["message_link": "https://rc/channel/general?msg=m0", "text": "lunch?"]
    let changed = Dialogue.answer([
      "success": true,
      "result": [
        "updated": [
          message("m1", ["file": file, "attachments": [["title": "a.png", "description": "the plan"]]]),
          message("m2", ["file": file, "attachments": [["title": "a.png", "title_link_download": true]]]),
          message("m3", ["attachments": [["title": "Build 7", "text": "failed"]]]),
          message("m4", ["attachments": [quoted]]),
        ], "deleted": [],
      ],
    ])
    let page = try #require(try Self.poll("rocketchat", cursor: begun.cursor, [rooms, changed]).page)
    let read = page.content.messages.sorted { $0.externalID < $1.externalID }
    #expect(read.map(\.text) == ["the plan", nil, "Build 7\nfailed", nil])
  }

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
            "_id": "m2", "rid": "r1", "msg": "mine", "ts": "2026-11-21T00:00:04.000Z", "tmid": "m1",
            "u": ["_id": "u1", "username": "hub"],
          ],
          [
            "_id": "m1", "rid": "r1", "msg": "new", "ts": "2026-11-21T00:00:01.000Z", "u": user,
            "editedAt": "2026-11-21T00:00:02.000Z", "_updatedAt": "2026-11-21T00:00:03.000Z",
            "reactions": [":+1:": ["usernames": ["hub"]]],
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
    let me = Dialogue.answer(["success": true, "_id": "u1", "username": "hub"])
    let list = try #require(try Self.poll("rocketchat", mode, cursor: nil, [me, rooms]).page)
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
}
