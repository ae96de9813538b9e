import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Polls of a Zulip server.
@Suite struct ZulipPollingTests {
  private static func poll(
    _ platform: String, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, _ answers: [APIAnswer] = []
  ) throws -> PollStep {
    let job = Dialogue.poll(mode, cursor: cursor, secrets: ServerSendingTests.secrets[platform] ?? [:])
    return try Dialogue.poller(platform).poll(job, after: answers)
  }

  private static let zulipMessage: JSONValue = [
    "id": 41, "type": "private", "content": "hi", "sender_id": 2, "sender_full_name": "Ana",
    "timestamp": 1_795_219_200,
    "display_recipient": [["id": 1, "full_name": "Hub"], ["id": 2, "full_name": "Ana"]], "reactions": [],
    "client": "website", "subject": "",
  ]

  @Test("registers a queue, waits for its events, and knows where their messages stand")
  func zulip() throws {
    let me = Dialogue.answer(["result": "success", "user_id": 1])
    let register = try #require(try Self.poll("zulip", .live, cursor: nil, [me]).request)
    #expect(register.line == "POST https://z/api/v1/register")
    let queue = Dialogue.answer([
      "result": "success", "queue_id": "q", "last_event_id": -1, "max_message_id": 40,
    ])
    let registered = try #require(try Self.poll("zulip", .live, cursor: nil, [me, queue]).page)
    #expect(registered.hasMore && registered.content == Normalised())
    // What was said before there was a queue is looked for.
    let list = try #require(try Self.poll("zulip", .live, cursor: registered.cursor).request)
    #expect(list.line == "GET https://z/api/v1/messages" && list.query["anchor"] == "newest")
    let old = Dialogue.answer(["result": "success", "messages": [["id": 39, "timestamp": 1_795_219_100]]])
    let begun = try #require(try Self.poll("zulip", .live, cursor: registered.cursor, [old]).page)
    #expect(begun.content == Normalised())
    let wait = try #require(try Self.poll("zulip", .live, cursor: begun.cursor).request)
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
    let page = try #require(try Self.poll("zulip", .live, cursor: begun.cursor, [events]).page)
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
    let gone = try #require(try Self.poll("zulip", .live, cursor: page.cursor, [deletion]).page)
    #expect(gone.content.deletions.map(\.conversation.externalID) == ["direct:1,2"])
  }

  @Test("asks for a message that it does not remember")
  func zulipUnknown() throws {
    let cursor: JSONValue = ["user": "1", "queue": "q", "last": 1, "message": 40]
    let events = Dialogue.answer([
      "result": "success",
      "events": [
        ["id": 3, "type": "reaction", "op": "remove", "message_id": 41, "user_id": 2, "emoji_name": "tada"]
      ],
    ])
    let ask = try Self.poll("zulip", .live, cursor: cursor, [events]).request
    #expect(ask?.line == "GET https://z/api/v1/messages/41")
    let found = Dialogue.answer(["result": "success", "message": Self.zulipMessage])
    let page = try #require(try Self.poll("zulip", .live, cursor: cursor, [events, found]).page)
    #expect(page.content.reactions.map(\.change) == [.remove(":tada:")])
    let gone = Dialogue.answer(
      ["result": "error", "code": "BAD_REQUEST", "msg": "Invalid message(s)"], status: 400)
    #expect(
      try Self.poll("zulip", .live, cursor: cursor, [events, gone]).page?.content.items.isEmpty == true)
  }

  @Test("a lost queue is registered anew, and what came meanwhile is listed")
  func zulipLost() throws {
    let cursor: JSONValue = ["user": "1", "queue": "q", "last": 9, "message": 40]
    let bad = Dialogue.answer(
      ["result": "error", "code": "BAD_EVENT_QUEUE_ID", "msg": "gone"], status: 400)
    let lost = try #require(try Self.poll("zulip", .live, cursor: cursor, [bad]).page)
    #expect(lost.hasMore)
    let queue = Dialogue.answer([
      "result": "success", "queue_id": "q2", "last_event_id": -1, "max_message_id": 99,
    ])
    let registered = try #require(try Self.poll("zulip", .live, cursor: lost.cursor, [queue]).page)
    #expect(registered.hasMore)
    let list = try #require(try Self.poll("zulip", .live, cursor: registered.cursor).request)
    #expect(list.query["anchor"] == "40")
    let messages = Dialogue.answer([
      "result": "success", "messages": [Self.zulipMessage], "found_newest": true,
    ])
    let page = try #require(try Self.poll("zulip", .live, cursor: registered.cursor, [messages]).page)
    #expect(page.content.messages.map(\.externalID) == ["41"])
    #expect(page.cursor["queue"] == "q2")
    #expect(try Self.poll("zulip", .live, cursor: page.cursor).request?.line == "GET https://z/api/v1/events")
  }

  @Test("the same message has the same id and place by webhook, event and list")
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
