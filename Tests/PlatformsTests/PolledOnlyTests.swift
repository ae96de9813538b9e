import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of what has no webhooks: Bluesky and Reddit.
@Suite struct PolledOnlyTests {
  private static func poll(
    _ platform: String, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, _ answers: [APIAnswer] = [],
    token: String? = "tok"
  ) throws -> PollStep {
    try CloudPollingTests.poll(platform, mode, cursor: cursor, answers, token: token)
  }

  private static func poll(_ platform: String, _ answers: [APIAnswer]) throws -> PollStep {
    try poll(platform, .live, cursor: nil, answers)
  }

  private static func poll(
    _ platform: String, cursor: JSONValue, _ answers: [APIAnswer] = []
  ) throws -> PollStep { try poll(platform, .live, cursor: cursor, answers) }

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
    let old = Self.listing([Self.mail("t4_0", "ana", 1_795_000_000)])
    let end = try #require(try Self.poll("reddit", cursor: first.cursor, [old]).page)
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
    let context = WebhookContext(
      secrets: AccountSecrets(CloudPollingTests.secrets[platform] ?? [:]), now: Dialogue.now)
    guard case .refused = poller.receive(request, context) else {
      Issue.record("it takes what nobody sends")
      return
    }
  }
}
