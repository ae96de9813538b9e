import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Places among pages that a platform forgot: what was not read yet is read all the same.
@Suite struct PollRestartTests {
  private static let secrets: [String: [String: String]] = [
    "x": ["accessToken": "T", "userId": "433"], "messenger": ["accessToken": "T", "pageId": "1"],
    "slack": ["botToken": "T"], "intercom": ["accessToken": "T"],
    "reddit": ["clientId": "c", "username": "hub", "refreshToken": "r"], "google-chat": [:],
  ]
  private static let now = ChatJobs.now.seconds

  private static func page(
    _ platform: String, _ mode: PollJob.Mode, _ cursor: JSONValue, _ answer: APIAnswer
  ) throws -> PollPage {
    let job = PollJob(
      mode: mode, cursor: cursor, secrets: ChatJobs.secrets(secrets[platform] ?? [:]), token: "tok",
      now: ChatJobs.now)
    return try #require(try Dialogue.poller(platform).poll(job, after: [answer]).page)
  }

  /// In each mode the pass begins anew at the same time; news wait for the next interval.
  private static func expect(
    _ platform: String, _ cursor: JSONValue, _ answer: APIAnswer, leads wanted: JSONValue
  ) throws {
    let since = Timestamp(seconds: now - 100)
    for mode in [PollJob.Mode.live, .sweep(since: since), .history(notBefore: since)] {
      let page = try Self.page(platform, mode, cursor, answer)
      #expect(page.cursor == wanted, "\(platform)")
      #expect(page.hasMore == (mode != .live), "\(platform)")
      #expect(page.content == Normalised())
    }
  }

  @Test("X: a pagination token that is no longer good")
  func x() throws {
    let answer = ChatJobs.answer(["title": "Invalid Request"], status: 400)
    let cursor: JSONValue = ["since": "5", "newest": "9", "page": "p"]
    let page = try Self.page("x", .live, cursor, answer)
    #expect(page.cursor == ["since": "5"] && !page.hasMore)
    let swept = try Self.page("x", .sweep(since: ChatJobs.now), cursor, answer)
    #expect(swept.cursor["page"] == nil && swept.hasMore)
  }

  @Test("Messenger: a cursor of a list that has changed")
  func messenger() throws {
    let error: JSONValue = ["error": ["code": 100, "message": "(#100) Invalid cursors values"]]
    let cursor: JSONValue = ["since": 7_000_000, "began": 8, "after": "a", "begin": 6]
    let page = try Self.page("messenger", .live, cursor, ChatJobs.answer(error, status: 400))
    #expect(page.cursor == ["since": 7_000_000, "begin": 6] && !page.hasMore)
    let history = PollJob.Mode.history(notBefore: Timestamp(seconds: Self.now - 100))
    let passes: JSONValue = ["from": 5, "passes": 1, "began": 8]
    let at: JSONValue = .object((passes.object ?? [:]).merging(["after": "a"]) { $1 })
    let restarted = try Self.page("messenger", history, at, ChatJobs.answer(error, status: 400))
    #expect(restarted.cursor == passes && restarted.hasMore)
  }

  @Test("what moves in front of the pages of history is read in another pass")
  func passes() throws {
    let history = PollJob.Mode.history(notBefore: Timestamp(seconds: Self.now - 100_000))
    let more = ChatJobs.answer([
      "conversations": [], "pages": ["next": ["starting_after": "b"]],
    ])
    let end = ChatJobs.answer(["conversations": [], "pages": [:]])
    let first = try Self.page("intercom", history, [:], more)
    #expect(first.hasMore && first.cursor == ["after": "b", "began": .integer(Self.now)])
    let second = try Self.page("intercom", history, first.cursor, end)
    #expect(second.hasMore && second.cursor == ["from": .integer(Self.now - 180), "passes": 1])
    let third = try Self.page("intercom", history, second.cursor, end)
    #expect(!third.hasMore)
  }

  @Test("Slack: invalid_cursor")
  func slack() throws {
    let channels: JSONValue = ["C1": ["window": ["floor": "5.000000"]]]
    let cursor: JSONValue = [
      "user": "U", "channels": channels, "isListing": false, "isRound": true, "todo": ["C1"],
      "listedAt": .integer(Self.now),
    ]
    let at: JSONValue = .object((cursor.object ?? [:]).merging(["page": "gone"]) { $1 })
    let answer = ChatJobs.answer(["ok": false, "error": "invalid_cursor"])
    try Self.expect("slack", at, answer, leads: cursor)
  }

  @Test("Google Chat: a page token, of a space and of the list of spaces")
  func googleChat() throws {
    let answer = ChatJobs.answer(["error": ["code": 400, "status": "INVALID_ARGUMENT"]], status: 400)
    let since = JSONValue.integer(Self.now * 1_000)
    let space: JSONValue = ["since": since, "rooms": [["name": "spaces/A"]], "until": since]
    let inSpace: JSONValue = .object((space.object ?? [:]).merging(["page": "gone"]) { $1 })
    try Self.expect("google-chat", inSpace, answer, leads: space)
    try Self.expect(
      "google-chat", ["since": since, "until": since, "next": "gone"], answer,
      leads: ["since": since, "until": since])
  }

  @Test("Intercom: a cursor of a search")
  func intercom() throws {
    let answer = ChatJobs.answer(["errors": [["code": "client_error"]]], status: 400)
    try Self.expect(
      "intercom", ["since": 5, "begin": 1, "after": "a"], answer, leads: ["since": 5, "begin": 1])
  }

  @Test("Reddit: the entry behind which is read was deleted")
  func reddit() throws {
    let listing = ChatJobs.answer(["kind": "Listing", "data": ["children": [], "after": .null]])
    let cursor: JSONValue = [
      "since": .integer(Self.now - 60), "begin": .integer(Self.now - 90), "until": .integer(Self.now),
      "open": ["inbox"], "inbox": "t4_gone",
    ]
    let page = try Self.page("reddit", .live, cursor, listing)
    #expect(page.hasMore && page.cursor["inbox"] == nil && page.cursor["open"] == ["inbox"])
    #expect(page.cursor["since"] == .integer(Self.now - 60))
    // Without such a place an empty list is one.
    let first = try Self.page("reddit", .live, page.cursor, listing)
    #expect(!first.hasMore && first.cursor["since"] == .integer(Self.now))
  }
}
