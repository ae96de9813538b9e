import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct XPollingTests {
  private static let secrets = ["accessToken": "T", "userId": "433"]

  /// The id of an event of that many seconds from now.
  private static func id(_ seconds: Int64) -> String {
    String(UInt64((ChatJobs.now.seconds + seconds) * 1_000 - 1_288_834_974_657) << 22)
  }

  private static func later(_ seconds: Int64) -> Timestamp {
    Timestamp(seconds: ChatJobs.now.seconds + seconds)
  }

  private static func event(_ seconds: Int64, _ text: String, by sender: String = "906") -> JSONValue {
    [
      "id": .string(id(seconds)), "event_type": "MessageCreate", "text": .string(text),
      "sender_id": .string(sender), "dm_conversation_id": "433-906",
      "created_at": .string(Timestamp(seconds: ChatJobs.now.seconds + seconds).rfc3339),
    ]
  }

  /// Newest first, two a page.
  private static func serve(_ events: [JSONValue], _ request: APIRequest) -> APIAnswer {
    let start = Int(ChatJobs.query(request, "pagination_token") ?? "") ?? 0
    let rest = Array(events.reversed().dropFirst(start))
    var meta: [String: JSONValue] = ["result_count": .integer(Int64(min(rest.count, 2)))]
    if rest.count > 2 { meta["next_token"] = .string(String(start + 2)) }
    let users: JSONValue = [["id": "906", "name": "Ana", "username": "ana"]]
    return ChatJobs.answer([
      "data": .array(Array(rest.prefix(2))), "meta": .object(meta), "includes": ["users": users],
    ])
  }

  @Test("knows what was written where X has put its own links")
  func links() throws {
    let entities: JSONValue = [
      "urls": [
        [
          "url": "https://t.co/a", "expanded_url": "https://shop.example/x?y=1",
          "display_url": "shop.example/x",
        ],
        [
          "url": "https://t.co/b", "expanded_url": "https://twitter.com/messages/media/1",
          "display_url": "pic.twitter.com/b",
        ],
      ]
    ]
    let text = "see https://t.co/a https://t.co/b"
    let dm = Self.event(1, text, by: "433").object ?? [:]
    let event = JSONValue.object(dm.merging(["entities": entities]) { $1 })
    let begun = try ChatJobs.poll("x", Self.secrets) { _ in throw ChatJobs.Unexpected() }
    let polled = try ChatJobs.poll("x", cursor: begun.cursor, Self.secrets, now: Self.later(60)) {
      #expect((ChatJobs.query($0, "dm_event.fields") ?? "").hasSuffix("entities"))
      return Self.serve([event], $0)
    }
    let told = try ChatJobs.read(
      "x",
      [
        "for_user_id": "433",
        "direct_message_events": [
          [
            "type": "message_create", "id": "954", "created_timestamp": "1516403560557",
            "message_create": [
              "sender_id": "433", "target": ["recipient_id": "906"],
              "message_data": ["text": .string(text), "entities": entities],
            ],
          ]
        ],
      ])
    let all =
      polled.messages + told.compactMap { if case .message(let message) = $0 { message } else { nil } }
    #expect(all.count == 2)
    for message in all {
      #expect(message.text == text && message.written == "see https://shop.example/x?y=1 ")
    }
    // Of others it is of no use.
    let theirs = try ChatJobs.poll("x", cursor: begun.cursor, Self.secrets, now: Self.later(60)) {
      Self.serve([Self.event(1, text)], $0)
    }
    #expect(theirs.messages.map(\.written) == [nil])
  }

  @Test("begins now, and turns pages until it meets what it knows")
  func live() throws {
    let begun = try ChatJobs.poll("x", Self.secrets) { _ in throw ChatJobs.Unexpected() }
    #expect(begun.calls.isEmpty && begun.cursor?["since"] == .string(Self.id(0)))
    let old = (1...4).map { Self.event(-10 * $0, "old") }.reversed()
    let new = [Self.event(1, "a"), Self.event(2, "b", by: "433"), Self.event(3, "c")]
    let polled = try ChatJobs.poll("x", cursor: begun.cursor, Self.secrets, now: Self.later(60)) {
      Self.serve(old + new, $0)
    }
    #expect(polled.faults.isEmpty && polled.calls.count == 2)
    #expect(polled.messages.compactMap(\.text) == ["b", "c", "a"])
    #expect(polled.messages.map(\.direction) == [.outbound, .inbound, .inbound])
    #expect(
      polled.messages.allSatisfy { $0.conversation.externalID == "906" && $0.conversation.kind == .direct })
    #expect(polled.messages.last?.sender.name == "Ana" && polled.messages.last?.conversation.title == "Ana")
    #expect(polled.cursor?["since"] == .string(Self.id(3)))
    let request = try #require(polled.calls.first)
    #expect(
      request.url.hasPrefix("https://api.x.com/2/dm_events?dm_event.fields=")
        && ChatJobs.query(request, "max_results") == "100")
    let again = try ChatJobs.poll("x", cursor: polled.cursor, Self.secrets, now: Self.later(120)) {
      Self.serve(old + new, $0)
    }
    #expect(again.items.isEmpty && again.calls.count == 1)
    // At once there is nothing to ask for: X counts every call.
    let soon = try ChatJobs.poll("x", cursor: again.cursor, Self.secrets, now: Self.later(130)) { _ in
      throw ChatJobs.Unexpected()
    }
    #expect(soon.calls.isEmpty && soon.cursor == again.cursor)
  }

  @Test("the webhook and a poll name the same message alike")
  func alike() throws {
    let sweep = PollJob.Mode.sweep(since: ChatJobs.now)
    let polled = try ChatJobs.poll("x", sweep, Self.secrets) { Self.serve([Self.event(5, "hi")], $0) }
    let told: JSONValue = [
      "type": "message_create", "id": .string(Self.id(5)),
      "created_timestamp": .string(String((ChatJobs.now.seconds + 5) * 1_000)),
      "message_create": [
        "target": ["recipient_id": "433"], "sender_id": "906", "message_data": ["text": "hi"],
      ],
    ]
    let items = try ChatJobs.read("x", ["for_user_id": "433", "direct_message_events": [told]])
    guard case .message(let message)? = items.first, let read = polled.messages.first else {
      Issue.record("no message")
      return
    }
    #expect(
      read.externalID == message.externalID && read.text == message.text && read.sentAt == message.sentAt)
    #expect(
      read.conversation.externalID == message.conversation.externalID && read.sender.id == message.sender.id)
    #expect(read.direction == message.direction)
  }

  @Test("reads history down to its depth, media and people that come and go")
  func history() throws {
    var withMedia = Self.event(-20, "look").object ?? [:]
    withMedia["attachments"] = ["media_keys": ["3_1"]]
    let join: JSONValue = [
      "id": .string(Self.id(-10)), "event_type": "ParticipantsJoin", "participant_ids": ["7"],
      "dm_conversation_id": "1582", "created_at": "2026-11-20T23:59:50.000Z",
    ]
    let from = Timestamp(seconds: ChatJobs.now.seconds - 60)
    let polled = try ChatJobs.poll("x", .history(notBefore: from), Self.secrets) { _ in
      ChatJobs.answer([
        "data": [join, .object(withMedia), Self.event(-100, "old")], "meta": ["next_token": "more"],
        "includes": ["media": [["media_key": "3_1", "type": "photo", "url": "https://ton.x.com/1.jpg"]]],
      ])
    }
    #expect(polled.messages.map(\.text) == ["look"] && polled.calls.count == 1)
    #expect(polled.messages.first?.attachments.first?.url == "https://ton.x.com/1.jpg")
    #expect(polled.messages.first?.kind == .image)
    guard case .membership(let change)? = polled.items.last else {
      Issue.record("nobody joined")
      return
    }
    #expect(change.joined.map(\.id) == ["7"] && change.conversation.externalID == "1582")
  }

  @Test("says what stops it, and what it needs")
  func errors() throws {
    let platform = try ChatJobs.poller("x")
    #expect(
      platform.canPoll(ChatJobs.secrets(Self.secrets))
        && !platform.canPoll(ChatJobs.secrets(["accessToken": "T"])))
    let cases: [(Int, JSONValue?, APIFailure.Remedy)] = [
      (429, nil, .pauseAccount(seconds: 5)), (400, nil, .none),
      (500, nil, .later(seconds: nil)),
    ]
    for (status, cursor, remedy) in cases {
      let job = PollJob(
        mode: .sweep(since: ChatJobs.now), cursor: cursor, secrets: ChatJobs.secrets(Self.secrets),
        now: ChatJobs.now)
      guard case .failed(let failure) = platform.poll(job, after: [ChatJobs.answer([:], status: status)])
      else {
        Issue.record("no failure")
        continue
      }
      #expect(failure.remedy == remedy)
    }
  }
}
