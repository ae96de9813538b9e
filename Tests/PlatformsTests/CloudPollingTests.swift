import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of Google Chat, Mastodon and Intercom.
@Suite struct CloudPollingTests {
  static let secrets = CloudSendingTests.secrets.merging([
    "google-chat": [
      "serviceAccountKey": [CloudSendingTests.serviceAccount], "appUser": ["users/app"],
      "scopes": ["chat.bot chat.app.messages.readonly"],
    ]
  ]) { $1 }

  static func poll(
    _ platform: String, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, _ answers: [APIAnswer] = [],
    token: String? = "tok"
  ) throws -> PollStep {
    let job = Dialogue.poll(mode, cursor: cursor, secrets: Self.secrets[platform] ?? [:], token: token)
    return try Dialogue.poller(platform).poll(job, after: answers)
  }

  // MARK: Google Chat

  @Test("Google Chat: polls only who may read, space by space, with edits and deletions")
  func googleChat() throws {
    let poller = try Dialogue.poller("google-chat")
    #expect(!poller.canPoll(AccountSecrets(CloudSendingTests.secrets["google-chat"] ?? [:])))
    #expect(poller.canPoll(AccountSecrets(Self.secrets["google-chat"] ?? [:])))
    let spaces = Dialogue.answer([
      "spaces": [["name": "spaces/A", "spaceType": "SPACE", "displayName": "Team"]]
    ])
    let begun = try #require(try Self.poll("google-chat", [spaces]).page)
    #expect(begun.content == Normalised())
    let listed = try #require(try Self.poll("google-chat", cursor: begun.cursor, [spaces]).page)
    #expect(listed.hasMore)
    let ask = try #require(try Self.poll("google-chat", cursor: listed.cursor).request)
    #expect(ask.line == "GET https://chat.googleapis.com/v1/spaces/A/messages")
    #expect(ask.query["showDeleted"] == "true")
    func message(_ id: String, _ sender: String, _ more: [String: JSONValue]) -> JSONValue {
      let members: [String: JSONValue] = [
        "name": .string("spaces/A/messages/\(id)"), "sender": ["name": .string(sender)], "text": "hi",
        "createTime": "2026-11-21T00:00:10Z",
      ]
      return .object(members.merging(more) { $1 })
    }
    let messages = Dialogue.answer([
      "messages": [
        message("1", "users/1", ["lastUpdateTime": "2026-11-21T00:00:20Z"]), message("2", "users/app", [:]),
        message("3", "users/1", ["deleteTime": "2026-11-21T00:00:30Z"]),
        message("0", "users/1", ["createTime": "2026-11-20T12:00:00Z"]),
      ]
    ])
    let page = try #require(try Self.poll("google-chat", cursor: listed.cursor, [messages]).page)
    #expect(page.content.messages.map(\.externalID) == ["spaces/A/messages/1", "spaces/A/messages/2"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(page.content.edits.count == 1)
    #expect(page.content.deletions.map(\.externalIDs) == [["spaces/A/messages/3"]])
    #expect(!page.hasMore)
    #expect(page.cursor["rooms"] == nil)
    #expect(page.cursor["until"] == nil)
  }

  private static func poll(_ platform: String, _ answers: [APIAnswer]) throws -> PollStep {
    try poll(platform, .live, cursor: nil, answers)
  }

  private static func poll(
    _ platform: String, cursor: JSONValue, _ answers: [APIAnswer] = []
  ) throws -> PollStep { try poll(platform, .live, cursor: cursor, answers) }

  // MARK: Mastodon

  private static func status(_ id: String, _ account: String, _ more: [String: JSONValue] = [:]) -> JSONValue
  {
    let members: [String: JSONValue] = [
      "id": .string(id), "created_at": "2026-11-21T00:00:10.000Z", "content": "<p>@ana hi</p>",
      "account": ["id": .string(account), "acct": .string("a\(account)")], "visibility": "direct",
      "mentions": [["id": "7", "acct": "ana", "username": "ana"]],
    ]
    return .object(members.merging(more) { $1 })
  }

  @Test("Mastodon: notifications, own statuses and conversations, from where they ended")
  func mastodon() throws {
    let me = Dialogue.answer(["id": "1"])
    let begun = try #require(
      try Self.poll("mastodon", [me, Dialogue.answer([["id": "90"]]), Dialogue.answer([["id": "100"]])]).page)
    #expect(begun.cursor["notification"] == "90")
    #expect(begun.cursor["status"] == "100")
    let first = try #require(try Self.poll("mastodon", cursor: begun.cursor).request)
    #expect(first.query == ["min_id": "90", "limit": "40"])
    let notifications = Dialogue.answer([
      [
        "id": "92", "type": "favourite", "created_at": "2026-11-21T00:00:11.000Z",
        "account": ["id": "7", "acct": "ana"], "status": Self.status("101", "1"),
      ],
      [
        "id": "91", "type": "mention", "created_at": "2026-11-21T00:00:10.000Z",
        "account": ["id": "7", "acct": "ana"], "status": Self.status("102", "7", ["mentions": []]),
      ],
    ])
    let own = Dialogue.answer([Self.status("101", "1"), Self.status("103", "1", ["mentions": []])])
    let edited = Self.status("102", "7", ["edited_at": "2026-11-21T00:00:15.000Z", "content": "<p>new</p>"])
    let conversations = Dialogue.answer([
      ["id": "5", "accounts": [["id": "7", "acct": "ana"]], "last_status": edited]
    ])
    let page = try #require(
      try Self.poll("mastodon", cursor: begun.cursor, [notifications, own, conversations]).page)
    #expect(page.content.faults.isEmpty)
    #expect(page.content.messages.map(\.externalID) == ["102", "101", "102"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound, .inbound])
    #expect(Set(page.content.messages.map(\.conversation.externalID)) == ["7"])
    #expect(page.content.messages[1].text == "hi")
    #expect(page.content.reactions.map(\.externalID) == ["101"])
    #expect(page.content.edits.map(\.text) == ["new"])
    #expect(page.cursor["notification"] == "92")
    #expect(page.cursor["status"] == "103")
  }

  @Test("Mastodon: history of both lists, down to a time")
  func mastodonHistory() throws {
    let mode = PollJob.Mode.history(notBefore: Timestamp(seconds: 1_795_219_205))
    let user = try #require(try Self.poll("mastodon", mode, cursor: nil, [Dialogue.answer(["id": "1"])]).page)
    let mention: JSONValue = [
      "id": "91", "type": "mention", "created_at": "2026-11-21T00:00:10.000Z",
      "status": Self.status("102", "7"),
    ]
    let old: JSONValue = ["id": "80", "type": "mention", "created_at": "2026-11-20T00:00:00.000Z"]
    let page = try #require(
      try Self.poll(
        "mastodon", mode, cursor: user.cursor,
        [Dialogue.answer([mention, old]), Dialogue.answer([Self.status("101", "1")])]
      ).page)
    #expect(page.content.messages.map(\.externalID) == ["102", "101"])
    #expect(page.hasMore)
    let next = try #require(try Self.poll("mastodon", mode, cursor: page.cursor).request)
    #expect(next.query["max_id"] == "101")
    let over = try #require(try Self.poll("mastodon", mode, cursor: page.cursor, [Dialogue.answer([])]).page)
    #expect(!over.hasMore)
  }

  // MARK: Intercom

  @Test("Intercom: searches for what changed, reads each conversation, and leaves out what is older")
  func intercom() throws {
    let begun = try #require(
      try Self.poll("intercom", [Dialogue.answer(["id": "9"], ["Date": "Sat, 21 Nov 2026 00:00:00 GMT"])])
        .page)
    let search = try #require(try Self.poll("intercom", cursor: begun.cursor).request)
    #expect(search.line == "POST https://api.intercom.io/conversations/search")
    #expect(search.json?["query"]?["value"] == 1_795_219_020)
    let found = Dialogue.answer([
      "conversations": [["id": "55", "updated_at": 1_795_219_300]],
      "pages": ["next": ["starting_after": "x"]],
    ])
    let read = try Self.poll("intercom", cursor: begun.cursor, [found]).request
    #expect(read?.line == "GET https://api.intercom.io/conversations/55")
    func part(_ id: String, _ type: String, _ at: Int64) -> JSONValue {
      [
        "id": .string(id), "part_type": "comment", "body": "<p>hi</p>", "created_at": .integer(at),
        "author": ["type": .string(type), "id": "3", "name": "Ana"],
      ]
    }
    let conversation = Dialogue.answer([
      "id": "55", "updated_at": 1_795_219_300, "created_at": 1_795_000_000,
      "source": ["id": "s", "body": "<p>old</p>", "author": ["type": "user", "id": "3", "name": "Ana"]],
      "conversation_parts": [
        "conversation_parts": [part("1", "user", 1_795_219_250), part("2", "admin", 1_795_219_300)]
      ],
    ])
    let page = try #require(try Self.poll("intercom", cursor: begun.cursor, [found, conversation]).page)
    #expect(page.content.messages.map(\.externalID) == ["1", "2"])
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(page.hasMore)
    // The pages of a search have one beginning.
    #expect(page.cursor["since"] == begun.cursor["since"])
    let last = Dialogue.answer(["conversations": [["id": "56", "updated_at": 1_795_219_400]]])
    let gone = Dialogue.answer(["errors": [["code": "not_found"]]], status: 404)
    let end = try #require(try Self.poll("intercom", cursor: page.cursor, [last, gone]).page)
    #expect(end.cursor["since"] == 1_795_219_400)
    #expect(!end.hasMore)
  }
}
