import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of Google Chat, Mastodon, Intercom, Bluesky and Reddit.
@Suite struct CloudPollingTests {
  static let secrets = CloudSendingTests.secrets.merging([
    "google-chat": [
      "serviceAccountKey": [CloudSendingTests.serviceAccount], "appUser": ["users/app"],
      "scopes": ["chat.bot chat.app.messages.readonly"],
    ]
  ]) { $1 }

  private static func poll(
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

  // MARK: Bluesky

  private static func entry(_ kind: String, _ rev: String, _ message: JSONValue) -> JSONValue {
    [
      "$type": .string("chat.bsky.convo.defs#log\(kind)"), "rev": .string(rev), "convoId": "c1",
      "message": message,
    ]
  }

  private static func message(_ id: String, _ sender: String) -> JSONValue {
    [
      "$type": "chat.bsky.convo.defs#messageView", "id": .string(id), "rev": "r", "text": "hi",
      "sender": ["did": .string(sender)], "sentAt": "2026-11-21T00:00:01.000Z",
    ]
  }

  @Test("Bluesky: begins at the newest revision, reads the log, and asks who is in a conversation")
  func bluesky() throws {
    let token = "e30." + Base64.encode(Array(#"{"sub":"did:plc:hub"}"#.utf8), .url) + ".x"
    let begun = try #require(
      try Self.poll("bluesky", [Dialogue.answer(["convos": [["id": "c1", "rev": "3a"]]])]).page)
    #expect(begun.cursor == ["rev": "3a"])
    let ask = try #require(try Self.poll("bluesky", cursor: begun.cursor).request)
    #expect(ask.line == "GET https://bsky.social/xrpc/chat.bsky.convo.getLog")
    #expect(ask.query == ["cursor": "3a"])
    let log = Dialogue.answer([
      "cursor": "3c",
      "logs": [
        Self.entry("CreateMessage", "3b", Self.message("m1", "did:plc:ana")),
        Self.entry("CreateMessage", "3c", Self.message("m2", "did:plc:hub")),
      ],
    ])
    #expect(try Self.poll("bluesky", cursor: begun.cursor, [log]).request?.query == ["convoId": "c1"])
    let convo = Dialogue.answer([
      "convo": [
        "id": "c1", "rev": "3c",
        "members": [
          ["did": "did:plc:hub", "handle": "hub.test"],
          ["did": "did:plc:ana", "handle": "ana.test", "displayName": "Ana"],
        ],
      ]
    ])
    let page = try #require(
      try Self.poll("bluesky", .live, cursor: begun.cursor, [log, convo], token: token).page)
    #expect(page.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(
      page.content.messages[0].conversation == ConversationRef(externalID: "c1", kind: .direct, title: "Ana"))
    #expect(page.content.messages[0].sender == Person(id: "did:plc:ana", name: "Ana"))
    #expect(page.cursor == ["rev": "3c"])
    #expect(page.hasMore)
    let quiet = Dialogue.answer(["cursor": "3c", "logs": []])
    #expect(try Self.poll("bluesky", cursor: page.cursor, [quiet]).page?.hasMore == false)
    let lost = Dialogue.answer(["error": "InvalidCursor"], status: 400)
    #expect(try Self.poll("bluesky", cursor: page.cursor, [lost]).failure?.remedy == .restart)
  }

  @Test("Bluesky: history conversation by conversation")
  func blueskyHistory() throws {
    let mode = PollJob.Mode.history(notBefore: Timestamp(seconds: 1_795_219_000))
    let list = Dialogue.answer([
      "convos": [
        ["id": "c1", "rev": "3c", "members": [], "lastMessage": Self.message("m2", "did:plc:ana")],
        ["id": "c0", "rev": "3a", "members": []],
      ]
    ])
    let listed = try #require(try Self.poll("bluesky", mode, cursor: nil, [list]).page)
    #expect(listed.hasMore)
    let messages = Dialogue.answer([
      "messages": [
        Self.message("m2", "did:plc:ana"),
        [
          "$type": "chat.bsky.convo.defs#deletedMessageView", "id": "m1", "sender": ["did": "did:plc:ana"],
          "sentAt": "2026-11-21T00:00:01.000Z",
        ],
      ]
    ])
    let page = try #require(try Self.poll("bluesky", mode, cursor: listed.cursor, [messages]).page)
    #expect(page.content.messages.map(\.externalID) == ["m2"])
    #expect(page.content.deletions.map(\.externalIDs) == [["m1"]])
    #expect(!page.hasMore)
  }

  // MARK: Reddit

  private static func mail(_ name: String, _ author: String, _ at: Double, first: JSONValue = nil)
    -> JSONValue
  {
    [
      "kind": "t4",
      "data": [
        "name": .string(name), "author": .string(author), "body": "hi", "dest": "ana",
        "created_utc": .number(at), "first_message_name": first,
      ],
    ]
  }

  private static func listing(_ children: [JSONValue], after: JSONValue = nil) -> APIAnswer {
    Dialogue.answer(["kind": "Listing", "data": ["children": .array(children), "after": after]])
  }

  @Test("Reddit: both lists down to what was read, over pages")
  func reddit() throws {
    let begun = try #require(
      try Self.poll("reddit", [Dialogue.answer(["name": "hub"], ["Date": "Sat, 21 Nov 2026 00:00:00 GMT"])])
        .page)
    let ask = try #require(try Self.poll("reddit", cursor: begun.cursor).request)
    #expect(ask.line == "GET https://oauth.reddit.com/message/inbox")
    let inbox = Self.listing([Self.mail("t4_c", "ana", 1_795_219_300)], after: "t4_c")
    let sent = Self.listing([
      Self.mail("t4_d", "Hub", 1_795_219_310, first: "t4_c"), Self.mail("t4_a", "hub", 1_795_000_000),
    ])
    let first = try #require(try Self.poll("reddit", cursor: begun.cursor, [inbox, sent]).page)
    #expect(first.content.messages.map(\.externalID) == ["t4_c", "t4_d"])
    #expect(first.content.messages.map(\.direction) == [.inbound, .outbound])
    #expect(Set(first.content.messages.map(\.conversation.externalID)) == ["t4_c"])
    #expect(first.hasMore)
    let next = try #require(try Self.poll("reddit", cursor: first.cursor).request)
    #expect(next.query["after"] == "t4_c")
    let end = try #require(try Self.poll("reddit", cursor: first.cursor, [Self.listing([])]).page)
    #expect(!end.hasMore)
    #expect(end.cursor["since"] == 1_795_219_200)
    #expect(end.cursor["until"] == nil)
  }

  // MARK: All

  @Test("has no webhook and says so", arguments: ["bluesky", "reddit"])
  func polledOnly(platform: String) throws {
    let poller = try Dialogue.poller(platform)
    #expect(!poller.hasWebhook)
    let request = WebhookRequest(headers: [], body: Array("{}".utf8))
    let context = WebhookContext(secrets: AccountSecrets(Self.secrets[platform] ?? [:]), now: Dialogue.now)
    guard case .refused = poller.receive(request, context) else {
      Issue.record("it takes what nobody sends")
      return
    }
  }
}
