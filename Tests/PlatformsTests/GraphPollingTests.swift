import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite("Teams by Graph: polling")
struct GraphPollingTests {
  private static let chat = "19:a_b@unq.gbl.spaces"
  private static let group = "19:c@thread.v2"

  private static func message(_ id: Int64, _ text: String, _ more: [String: JSONValue] = [:]) -> JSONValue {
    let members: [String: JSONValue] = [
      "id": .string("\(id)"), "chatId": .string(chat), "messageType": "message",
      "createdDateTime": .string(Timestamp(milliseconds: id).rfc3339),
      "from": ["user": ["id": "u-7", "displayName": "Ada"]],
      "body": ["contentType": "text", "content": .string(text)],
    ]
    return .object(members.merging(more) { $1 })
  }

  private func job(
    _ mode: PollJob.Mode = .live, _ cursor: JSONValue? = nil,
    secrets: [String: [String]] = GraphSendingTests.secrets
  ) -> PollJob {
    Dialogue.poll(mode, cursor: cursor, secrets: secrets, token: "t")
  }

  private func poll(_ job: PollJob, _ answer: APIAnswer? = nil) throws -> PollStep {
    try Dialogue.poller("teams-graph").poll(job, after: answer.map { [$0] } ?? [])
  }

  private static let chats: JSONValue = [
    "value": [
      ["id": .string(chat), "topic": nil, "lastMessagePreview": ["createdDateTime": "2026-11-20T23:59:58Z"]],
      [
        "id": .string(group), "topic": "Ops",
        "lastMessagePreview": ["createdDateTime": "2026-11-20T23:00:00Z"],
      ],
      ["id": "19:old@thread.v2", "lastMessagePreview": ["createdDateTime": "2026-11-01T00:00:00Z"]],
      ["id": "19:empty@thread.v2", "lastMessagePreview": nil],
    ]
  ]

  /// A cursor of an account that began an hour ago.
  private static let begun: JSONValue = [
    "begin": .integer((Dialogue.now.seconds - 3_600) * 1_000),
    "since": .integer((Dialogue.now.seconds - 60) * 1_000),
  ]

  @Test("it begins now, with the user's own id where nobody said it")
  func begin() throws {
    var secrets = GraphSendingTests.secrets
    secrets["userId"] = nil
    let me = try #require(try poll(job(secrets: secrets)).request)
    #expect(me.url == "https://graph.microsoft.com/v1.0/me?%24select=id")
    let named = try #require(try poll(job(secrets: secrets), Dialogue.answer(["id": "me-9"])).page)
    #expect(named.hasMore && named.cursor == ["user": "me-9"])
    let list = try #require(try poll(job(.live, named.cursor, secrets: secrets)).request)
    #expect(list.line == "GET https://graph.microsoft.com/v1.0/me/chats")
    #expect(list.query == ["$expand": "lastMessagePreview", "$top": "50"])
    let first = try #require(
      try poll(job(.live, named.cursor, secrets: secrets), Dialogue.answer(Self.chats)).page)
    let now = JSONValue.integer(Dialogue.now.seconds * 1_000)
    #expect(first.cursor == ["user": "me-9", "begin": now, "since": now])
    #expect(!first.hasMore && first.content == Normalised())
  }

  @Test("a round asks the chats that may have news, each from its own place")
  func round() throws {
    let listed = try #require(try poll(job(.live, Self.begun), Dialogue.answer(Self.chats)).page)
    #expect(
      listed.hasMore
        && listed.cursor["rooms"] == [
          ["id": .string(Self.chat)], ["id": .string(Self.group), "topic": "Ops"],
        ])
    let request = try #require(try poll(job(.live, listed.cursor)).request)
    #expect(
      request.line == "GET https://graph.microsoft.com/v1.0/chats/19%3Aa_b%40unq.gbl.spaces/messages/delta")
    #expect(
      request.query == ["$top": "50", "$filter": "lastModifiedDateTime gt 2026-11-20T23:58:00.000Z"])
    let id = Dialogue.now.seconds * 1_000 - 5_000
    let answer = Dialogue.answer([
      "value": [Self.message(id, "hi")],
      "@odata.nextLink": "https://graph.microsoft.com/v1.0/chats/x/messages/delta?$skiptoken=p%2B2",
    ])
    let paged = try #require(try poll(job(.live, listed.cursor), answer).page)
    #expect(paged.hasMore && paged.content.messages.map(\.text) == ["hi"])
    #expect(try poll(job(.live, paged.cursor)).request?.query == ["$skiptoken": "p+2"])
    let end = Dialogue.answer([
      "value": [], "@odata.deltaLink": "https://evil.test/messages/delta?%24deltatoken=d1",
    ])
    let done = try #require(try poll(job(.live, paged.cursor), end).page)
    #expect(done.hasMore && done.cursor["places"] == [Self.chat: "d1"])
    let other = try #require(try poll(job(.live, done.cursor), Dialogue.answer(["value": []])).page)
    #expect(!other.hasMore && other.cursor["since"] == .integer(Dialogue.now.seconds * 1_000))
    guard case .conversation(let change)? = other.content.items.first else {
      Issue.record("no title")
      return
    }
    #expect(change.conversation.title == "Ops")
    let again = try #require(try poll(job(.live, other.cursor), Dialogue.answer(Self.chats)).page)
    #expect(try poll(job(.live, again.cursor)).request?.query == ["$deltatoken": "d1"])
  }

  @Test("edits, deletions, reactions and own messages; the same ids as a notification's")
  func changes() throws {
    let listed = try #require(try poll(job(.live, Self.begun), Dialogue.answer(Self.chats)).page)
    let id = Dialogue.now.seconds * 1_000 - 9_000
    let edited = Self.message(
      id, "new",
      [
        "lastEditedDateTime": "2026-11-20T23:59:59Z",
        "reactions": [
          [
            "reactionType": "like", "user": ["user": ["id": "u-8"]],
            "createdDateTime": "2026-11-20T23:59:59Z",
          ]
        ],
      ])
    let deleted = Self.message(id + 1, "", ["deletedDateTime": "2026-11-20T23:59:59Z"])
    let own = Self.message(id + 2, "mine", ["from": ["user": ["id": "me-1"]]])
    let old = Self.message(1_700_000_000_000, "history")
    let page = try #require(
      try poll(
        job(.live, listed.cursor), Dialogue.answer(["value": [edited, deleted, own, old, 7]])
      ).page)
    #expect(page.content.messages.map(\.text) == ["new", "mine"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(page.content.messages.first?.externalID == "\(id)")
    #expect(page.content.edits.map(\.externalID) == ["\(id)"])
    #expect(page.content.deletions.map(\.externalIDs) == [["\(id + 1)"]])
    #expect(page.content.reactions.first?.externalID == "\(id)")
    #expect(page.content.faults.count == 1)
  }

  @Test("a lost place is read again from the last round")
  func lost() throws {
    var cursor = try #require(Self.begun.object)
    cursor["rooms"] = [["id": .string(Self.chat)]]
    cursor["places"] = [Self.chat: "d1"]
    let gone = Dialogue.answer(["error": ["code": "syncStateNotFound"]], status: 410)
    let page = try #require(try poll(job(.live, .object(cursor)), gone).page)
    #expect(page.hasMore && page.cursor["places"] == nil)
    #expect(try poll(job(.live, page.cursor)).request?.query["$filter"] != nil)
  }

  @Test("a chat that the user left does not hold up the others, and limits do")
  func refused() throws {
    var cursor = try #require(Self.begun.object)
    cursor["rooms"] = [["id": .string(Self.chat)], ["id": .string(Self.group)]]
    let forbidden = Dialogue.answer(["error": ["code": "Forbidden", "message": "no"]], status: 403)
    let page = try #require(try poll(job(.live, .object(cursor)), forbidden).page)
    #expect(page.hasMore && page.cursor["rooms"] == [["id": .string(Self.group)]])
    let limited = Dialogue.answer([:], status: 429, ["Retry-After": "3"])
    #expect(
      try poll(job(.live, .object(cursor)), limited).failure?.remedy == .pauseAccount(seconds: 3))
    #expect(
      try poll(job(.live, .object(cursor)), Dialogue.answer([:], status: 401)).failure?.remedy == .renewToken)
    #expect(try poll(job(.live, Self.begun), forbidden).failure?.remedy == APIFailure.Remedy.none)
  }

  @Test("history goes back to its end, and a sweep forward")
  func history() throws {
    let notBefore = Timestamp(seconds: Dialogue.now.seconds - 86_400)
    let mode = PollJob.Mode.history(notBefore: notBefore)
    let listed = try #require(try poll(job(mode), Dialogue.answer(Self.chats)).page)
    let request = try #require(try poll(job(mode, listed.cursor)).request)
    #expect(request.line.hasSuffix("/messages"))
    #expect(request.query == ["$top": "50", "$orderby": "createdDateTime desc"])
    let next = "https://graph.microsoft.com/v1.0/chats/x/messages?$skiptoken=h2"
    let young = Self.message(notBefore.seconds * 1_000 + 1, "young")
    let first = try #require(
      try poll(
        job(mode, listed.cursor),
        Dialogue.answer(["value": [young], "@odata.nextLink": .string(next)])
      ).page)
    #expect(first.hasMore && first.cursor["page"] == "h2")
    let old = Self.message(notBefore.seconds * 1_000 - 1, "old")
    let second = try #require(
      try poll(
        job(mode, first.cursor), Dialogue.answer(["value": [old], "@odata.nextLink": .string(next)])
      ).page)
    #expect(second.content.messages.isEmpty && second.cursor["page"] == nil)
    let sweep = try #require(
      try poll(job(.sweep(since: notBefore), ["rooms": [["id": .string(Self.chat)]]])).request)
    #expect(
      sweep.query == ["$top": "50", "$filter": "lastModifiedDateTime gt 2026-11-19T23:59:00.000Z"])
  }

  @Test("the app alone reads the chats of the user that it is told")
  func app() throws {
    var secrets = GraphSendingTests.secrets
    secrets["refreshToken"] = nil
    #expect(try !Dialogue.poller("teams-graph").canPoll(AccountSecrets(secrets)))
    secrets["appPassword"] = ["p"]
    #expect(try Dialogue.poller("teams-graph").canPoll(AccountSecrets(secrets)))
    let list = try #require(try poll(job(secrets: secrets)).request)
    #expect(list.line == "GET https://graph.microsoft.com/v1.0/users/me-1/chats")
  }
}
