import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Where news begin: with the first poll. What was said before is history, however far a poll looks back.
@Suite struct PollBeginTests {
  private static let now = ChatJobs.now.seconds
  private static let begin = JSONValue.integer(now * 1_000)

  private static func job(_ cursor: JSONValue?, _ secrets: [String: String], later seconds: Int64 = 0)
    -> PollJob
  {
    PollJob(
      cursor: cursor, secrets: ChatJobs.secrets(secrets), token: "tok", now: Timestamp(seconds: now + seconds)
    )
  }

  @Test("Mattermost: roots of threads and what overlaps are no news")
  func mattermost() throws {
    func post(_ id: String, _ seconds: Int64) -> JSONValue {
      [
        "id": .string(id), "create_at": .integer((Self.now + seconds) * 1_000), "user_id": "ada",
        "update_at": .integer((Self.now + 10) * 1_000), "channel_id": "c", "message": .string(id),
      ]
    }
    let cursor: JSONValue = [
      "user": "me", "since": Self.begin, "begin": Self.begin, "until": Self.begin,
      "rooms": [["id": "c", "type": "O"]],
    ]
    let posts = ChatJobs.answer([
      "order": ["new"], "posts": ["new": post("new", 5), "root": post("root", -30)],
    ])
    let job = Self.job(cursor, ["server": "http://m", "accessToken": "T"])
    let step = try Dialogue.poller("mattermost").poll(job, after: [posts, ChatJobs.answer([])])
    let page = try #require(step.page)
    #expect(page.content.messages.map(\.externalID) == ["new"])
    #expect(page.cursor["begin"] == Self.begin)
  }

  @Test("Rocket.Chat: what overlaps is no news")
  func rocketChat() throws {
    func message(_ id: String, _ seconds: Int64) -> JSONValue {
      let time = JSONValue.string(Timestamp(seconds: Self.now + seconds).rfc3339)
      return [
        "_id": .string(id), "rid": "r", "msg": "m", "ts": time, "_updatedAt": time, "u": ["_id": "ada"],
      ]
    }
    let cursor: JSONValue = [
      "since": Self.begin, "begin": Self.begin, "until": Self.begin, "rooms": [["_id": "r", "t": "c"]],
      "me": "hub",
    ]
    let answer = ChatJobs.answer(
      ["result": ["updated": [message("new", 5), message("old", -30)], "deleted": []], "success": true])
    let job = Self.job(cursor, ["server": "http://r", "accessToken": "T", "userId": "me"])
    let page = try #require(try Dialogue.poller("rocketchat").poll(job, after: [answer]).page)
    #expect(page.content.messages.map(\.externalID) == ["new"])
    #expect(page.cursor["me"] == "hub")
  }

  @Test("Rocket.Chat: a cursor without the account's name learns it, and its reactions are known by it")
  func ownReactions() throws {
    let secrets = ["server": "http://r", "accessToken": "T", "userId": "me"]
    let poller = try Dialogue.poller("rocketchat")
    let old = Self.job(["since": Self.begin, "begin": Self.begin], secrets)
    #expect(poller.poll(old, after: []).request?.url == "http://r/api/v1/me")
    let me = ChatJobs.answer(["_id": "me", "username": "hub", "success": true])
    let named = try #require(poller.poll(old, after: [me]).page)
    #expect(named.hasMore && named.cursor["me"] == "hub" && named.cursor["since"] == Self.begin)

    let time = JSONValue.string(Timestamp(seconds: Self.now + 5).rfc3339)
    let reactions: JSONValue = [":+1:": ["usernames": ["hub", "ada"]]]
    let message: JSONValue = [
      "_id": "m", "rid": "r", "msg": "m", "ts": time, "_updatedAt": time, "u": ["_id": "ada"],
      "reactions": reactions,
    ]
    let cursor: JSONValue = [
      "since": Self.begin, "begin": Self.begin, "until": Self.begin, "rooms": [["_id": "r", "t": "c"]],
      "me": "hub",
    ]
    let answer = ChatJobs.answer(["result": ["updated": [message], "deleted": []], "success": true])
    let page = try #require(poller.poll(Self.job(cursor, secrets), after: [answer]).page)
    let found = page.content.items.compactMap { item -> [String: Bool]? in
      if case .reaction(let change) = item { [change.actor.id: change.isOwn] } else { nil }
    }
    #expect(found == [["ada": false], ["hub": true]])
  }

  @Test("Rocket.Chat: a list of rooms that is refused is no end of the history")
  func refusedRooms() throws {
    let secrets = AccountSecrets(["server": ["http://r"], "accessToken": ["T"], "userId": ["me"]])
    let job = PollJob(
      mode: .history(notBefore: Timestamp(seconds: Self.now - 86_400)), cursor: nil, account: nil,
      secrets: secrets, now: Timestamp(seconds: Self.now), pace: 1)
    let me = ChatJobs.answer(["_id": "me", "username": "hub", "success": true])
    let refused = APIAnswer(status: 400, body: Array(#"{"success":false,"error":"no"}"#.utf8))
    #expect(try Dialogue.poller("rocketchat").poll(job, after: [me, refused]).failure?.reason == "no")
  }

  @Test("LinkedIn: what overlaps is no news, and the oldest is told first")
  func linkedIn() throws {
    func notification(_ id: Int64, _ seconds: Int64) -> JSONValue {
      [
        "notificationId": .integer(id), "action": "COMMENT", "organizationalEntity": "urn:li:organization:1",
        "lastModifiedAt": .integer((Self.now + seconds) * 1_000),
      ]
    }
    let secrets = ["organization": "1", "accessToken": "T"]
    let poller = try Dialogue.poller("linkedin")
    let begun = try #require(poller.poll(Self.job(nil, secrets), after: []).page)
    let answer = ChatJobs.answer([
      "elements": [notification(3, 20), notification(2, 10), notification(1, -30)]
    ])
    let page = try #require(
      poller.poll(Self.job(begun.cursor, secrets, later: 300), after: [answer]).page)
    #expect(page.content.messages.map(\.externalID) == ["2", "3"])
    #expect(page.cursor["begin"] == begun.cursor["begin"])
  }

  @Test("Messenger: what overlaps is no news")
  func messenger() throws {
    func message(_ id: String, _ seconds: Int64) -> JSONValue {
      [
        "id": .string(id), "created_time": .integer(Self.now + seconds), "message": "m",
        "from": ["id": "7"], "to": ["data": [["id": "1"]]],
      ]
    }
    let secrets = ["pageId": "1", "accessToken": "T"]
    let poller = try Dialogue.poller("messenger")
    let begun = try #require(poller.poll(Self.job(nil, secrets), after: []).page)
    let conversation: JSONValue = [
      "id": "t", "updated_time": .integer(Self.now + 5),
      "messages": ["data": [message("new", 5), message("old", -30)]],
    ]
    let job = Self.job(begun.cursor, secrets, later: 60)
    let page = try #require(poller.poll(job, after: [ChatJobs.answer(["data": [conversation]])]).page)
    #expect(page.content.messages.map(\.externalID) == ["new"])
  }

  @Test("Slack and Discord: a channel is read from the first poll on, however late it was listed")
  func firstPoll() throws {
    let slack = try Dialogue.poller("slack")
    let known = try #require(
      slack.poll(
        Self.job(nil, ["botToken": "T"]), after: [ChatJobs.answer(["ok": true, "user_id": "U"])]
      ).page)
    let channels: JSONValue = ["ok": true, "channels": [["id": "C1", "name": "c"]]]
    let listed = try #require(
      slack.poll(Self.job(known.cursor, ["botToken": "T"], later: 90), after: [ChatJobs.answer(channels)])
        .page)
    #expect(listed.cursor["channels"]?["C1"]?["window"]?["floor"] == .string("\(Self.now).000000"))

    let discord = try Dialogue.poller("discord")
    func poll(_ cursor: JSONValue?, _ answer: JSONValue) throws -> JSONValue {
      let job = Self.job(cursor, ["botToken": "T"], later: cursor == nil ? 0 : 90)
      return try #require(discord.poll(job, after: [ChatJobs.answer(answer)]).page).cursor
    }
    let guilds = try poll(try poll(nil, ["id": "9"]), [["id": "1"]])
    let cursor = try poll(guilds, [["id": "5", "type": 0, "last_message_id": "1"]])
    let floor = try #require(cursor["channels"]?["5"]?["window"]?["floor"]?.string.flatMap { UInt64($0) })
    #expect(floor >> 22 == UInt64(Self.now) * 1_000 - 1_420_070_400_000)
  }

  // MARK: Late first polls

  /// The first poll is ninety seconds late.
  private static func late(_ secrets: [String: String], cursor: JSONValue? = nil) -> PollJob {
    var job = job(cursor, secrets, later: 90)
    job.begin = Timestamp(seconds: now)
    return job
  }

  private static func first(_ platform: String, _ secrets: [String: String], _ answers: [APIAnswer] = [])
    throws -> JSONValue
  {
    try #require(try Dialogue.poller(platform).poll(late(secrets), after: answers).page).cursor
  }

  @Test("news begin when polling was set up, by the hub's clock or the server's")
  func lateFirstPoll() throws {
    let x = try Self.first("x", ["userId": "1", "accessToken": "T"])
    #expect(x["since"] == .string(String(UInt64(Self.now * 1_000 - 1_288_834_974_657) << 22)))
    let linkedIn = try Self.first("linkedin", ["organization": "1", "accessToken": "T"])
    #expect(linkedIn == ["since": Self.begin, "begin": Self.begin])
    let messenger = try Self.first("messenger", ["pageId": "1", "accessToken": "T"])
    #expect(messenger == ["since": .integer(Self.now * 1_000_000), "begin": .integer(Self.now)])
    // The server is a minute behind.
    let date = ["Date": "Sat, 21 Nov 2026 00:00:30 GMT"]
    let behind = JSONValue.integer((Self.now - 60) * 1_000)
    let server = ["server": "http://m", "accessToken": "T", "userId": "me"]
    let mattermost = try Self.first("mattermost", server, [Dialogue.answer(["id": "me"], date)])
    #expect(mattermost["begin"] == behind && mattermost["since"] == behind)
    let rocketChat = try Self.first("rocketchat", server, [Dialogue.answer(["success": true], date)])
    #expect(rocketChat["begin"] == behind && rocketChat["since"] == behind)
    let intercom = try Self.first("intercom", ["accessToken": "T"], [Dialogue.answer(["id": "1"], date)])
    #expect(intercom["begin"] == .integer(Self.now - 60))
    // It is ahead, or took its time.
    let late = Dialogue.answer(["id": "1"], ["Date": "Sat, 21 Nov 2026 00:01:50 GMT"])
    #expect(try Self.first("intercom", ["accessToken": "T"], [late])["begin"] == .integer(Self.now))
  }

  @Test("Mastodon: lists begin behind what is older than the connection")
  func mastodon() throws {
    func entry(_ id: String, _ seconds: Int64) -> JSONValue {
      ["id": .string(id), "created_at": .string(Timestamp(seconds: Self.now + seconds).rfc3339)]
    }
    let secrets = ["server": "http://m", "accessToken": "T"]
    let me = Dialogue.answer(["id": "1"], ["Date": "Sat, 21 Nov 2026 00:01:30 GMT"])
    let cursor = try Self.first(
      "mastodon", secrets,
      [
        me, Dialogue.answer([entry("92", 10), entry("91", -5)]),
        Dialogue.answer([entry("72", 20), entry("71", 5)]),
      ])
    #expect(cursor["notification"] == "91" && cursor["status"] == "70")
  }

  @Test("Bluesky: the log is read from the moment on, or from the newest revision before it")
  func bluesky() throws {
    func rev(_ newest: String) throws -> JSONValue? {
      let answer = Dialogue.answer(["convos": [["id": "c", "rev": .string(newest)]]])
      return try Self.first("bluesky", ["identifier": "a", "appPassword": "p"], [answer])["rev"]
    }
    #expect(try rev("2222222222222") == "2222222222222")
    let moment = try #require(try rev("zzzzzzzzzzzzz")?.string)
    #expect(moment.utf8.count == 13)
    var number: UInt64 = 0
    for letter in moment {
      let letters = Array("234567abcdefghijklmnopqrstuvwxyz")
      number = number * 32 + UInt64(try #require(letters.firstIndex(of: letter)))
    }
    #expect(number >> 10 == UInt64(Self.now) * 1_000_000)
  }

  @Test("Zulip: what was said before there was a queue is listed, page by page")
  func zulip() throws {
    func message(_ id: Int64, _ seconds: Int64) -> JSONValue {
      [
        "id": .integer(id), "type": "stream", "stream_id": 4, "display_recipient": "g", "subject": "t",
        "sender_id": 2, "content": "m", "timestamp": .integer(Self.now + seconds),
      ]
    }
    let secrets = ["server": "http://z", "apiKey": "k", "email": "e"]
    let poller = try Dialogue.poller("zulip")
    let cursor: JSONValue = [
      "user": "1", "queue": "q", "last": -1, "message": 9, "back": .integer(.max),
      "begin": .integer(Self.now),
    ]
    let news = Dialogue.answer([
      "result": "success", "messages": [message(8, 5), message(9, 6)], "found_oldest": false,
    ])
    let page = try #require(poller.poll(Self.late(secrets, cursor: cursor), after: [news]).page)
    #expect(page.content.messages.count == 2 && page.cursor["back"] == 8 && page.hasMore)
    let next = try #require(poller.poll(Self.late(secrets, cursor: page.cursor), after: []).request)
    #expect(next.query["anchor"] == "8" && next.query["num_before"] == "100")
    let older = Dialogue.answer([
      "result": "success", "messages": [message(7, -5), message(8, 5)], "found_oldest": false,
    ])
    let end = try #require(poller.poll(Self.late(secrets, cursor: page.cursor), after: [older]).page)
    #expect(end.content.messages.map(\.externalID) == ["8"] && end.cursor["back"] == nil)
  }

  // MARK: Others

  @Test("Telegram: another reader passes, a webhook does not")
  func conflicts() throws {
    let poller = try Dialogue.poller("telegram")
    func remedy(_ words: String) -> APIFailure.Remedy? {
      let answer = ChatJobs.answer(
        ["ok": false, "error_code": 409, "description": .string(words)], status: 409)
      return poller.poll(Self.job(["offset": 5], ["botToken": "1:a"]), after: [answer]).failure?.remedy
    }
    #expect(remedy("Conflict: terminated by other getUpdates request") == .later(seconds: nil))
    let webhook = remedy("Conflict: can't use getUpdates method while webhook is active")
    guard case .credentials? = webhook else {
      Issue.record("a webhook has to be removed by a person")
      return
    }
  }

  @Test("Reddit: a grant that is gone is refused without words")
  func redditGrant() throws {
    let platform = try #require(PlatformCatalogue.named("reddit") as? any TokenPlatform)
    func remedy(_ status: Int, _ json: JSONValue) -> APIFailure.Remedy? {
      guard
        case .failure(let failure) = platform.token(
          from: ChatJobs.answer(json, status: status), now: ChatJobs.now)
      else { return nil }
      return failure.remedy
    }
    let gone = APIFailure.Remedy.credentials(action: "connect the Reddit account again")
    #expect(remedy(400, ["message": "Bad Request", "error": 400]) == gone)
    #expect(remedy(200, ["error": "invalid_grant"]) == gone)
    #expect(remedy(401, ["message": "Unauthorized", "error": 401]) == gone)
    #expect(remedy(503, ["message": "Service Unavailable"]) == .later(seconds: nil))
    #expect(remedy(200, ["access_token": "T", "expires_in": 86_400]) == nil)
  }

  @Test("Intercom: what was redacted is deleted")
  func redacted() throws {
    let author: JSONValue = ["type": "user", "id": "u"]
    let part: JSONValue = [
      "id": "2", "part_type": "comment", "body": "<p><i>This message was deleted</i></p>", "redacted": true,
      "author": author, "created_at": .integer(Self.now + 1), "updated_at": .integer(Self.now + 9),
    ]
    let item: JSONValue = [
      "id": "5", "updated_at": .integer(Self.now + 9), "created_at": .integer(Self.now),
      "source": ["id": "1", "body": "<p>hi</p>", "author": author],
      "conversation_parts": ["conversation_parts": [part]],
    ]
    let body: JSONValue = [
      "topic": "conversation.user.replied", "created_at": .integer(Self.now), "data": ["item": item],
    ]
    let platform = try #require(PlatformCatalogue.named("intercom"))
    let read = try platform.normalise(WebhookDelivery(body: body.encoded(), receivedAt: ChatJobs.now))
    #expect(read.messages.map(\.externalID) == ["1"])
    #expect(read.deletions.map(\.externalIDs) == [["2"]])
    #expect(read.deletions.map(\.at) == [Timestamp(seconds: Self.now + 9)])
  }
}
