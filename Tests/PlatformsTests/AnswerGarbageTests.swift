import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Whatever a platform answers, a step comes out: no crash, and no dialogue without an end.
@Suite struct AnswerGarbageTests {
  private struct Dice {
    var state: UInt64
    mutating func roll(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }

  /// Names that the readers of some platform look at.
  private static let names = [
    "id", "_id", "event_id", "next_batch", "rooms", "join", "timeline", "events", "limited", "prev_batch",
    "chunk", "end", "user_id", "errcode", "retry_after_ms", "order", "posts", "create_at", "edit_at",
    "delete_at", "update_at", "metadata", "reactions", "result", "updated", "deleted", "update", "success",
    "message", "messages", "queue_id", "last_event_id", "type", "content", "sender", "sender_id", "name",
    "spaces", "nextPageToken", "createTime", "status", "statuses", "account", "acct", "last_status",
    "accounts", "conversations", "pages", "next", "starting_after", "convos", "logs", "cursor", "rev",
    "convoId", "sentAt", "data", "children", "after", "kind", "created_utc", "json", "errors", "things",
    "file", "file_infos", "url", "content_uri", "accessJwt", "conversation_parts", "updated_at", "list",
  ]

  private static func value(_ dice: inout Dice, depth: Int) -> JSONValue {
    switch dice.roll(depth > 4 ? 9 : 13) {
    case 0: return nil
    case 1: return .bool(dice.roll(2) == 0)
    case 2: return .integer([.min, -1, 0, 1_795_219_200, 1_795_219_200_000, .max][dice.roll(6)])
    case 3: return .number([-1e308, 0.5, 1e300, 1_795_219_200.25][dice.roll(4)])
    case 4: return .unsigned(.max)
    case 5: return "2026-11-21T00:00:00.000Z"
    case 6: return .string(["", "x\u{0}y", "success", "message", "m.room.message", "42"][dice.roll(6)])
    case 7: return .string(names[dice.roll(names.count)])
    case 8: return .string(String(repeating: "é", count: 1_200))
    case 9: return .array((0..<dice.roll(4)).map { _ in value(&dice, depth: depth + 1) })
    default:
      var members: [String: JSONValue] = [:]
      for _ in 0..<dice.roll(8) { members[names[dice.roll(names.count)]] = value(&dice, depth: depth + 1) }
      return .object(members)
    }
  }

  private static func answer(_ dice: inout Dice) -> APIAnswer {
    let statuses = [200, 200, 200, 200, 201, 202, 206, 302, 400, 401, 403, 404, 412, 422, 429, 500, 503]
    let headers = [
      APIField("Date", ["Sat, 21 Nov 2026 00:00:00 GMT", "x"][dice.roll(2)]),
      APIField("Retry-After", ["1", "-1", "1e400", "x", "99999999999999999999"][dice.roll(5)]),
      APIField("X-RateLimit-Reset", ["0", "nan", "1795219300"][dice.roll(3)]),
    ]
    let body = dice.roll(12) == 0 ? Array("<html>".utf8) : value(&dice, depth: 0).encoded()
    return APIAnswer(status: statuses[dice.roll(statuses.count)], headers: headers, body: body)
  }

  static let secrets: [String: [String: [String]]] = CloudPollingTests.secrets
    .merging(ServerSendingTests.secrets) { $1 }
    .merging(["matrix": ["homeserver": ["https://hs"], "accessToken": ["t"]]]) { $1 }

  private static let actions: [OutboundAction] = [
    .message(OutboundMessage(text: "hi", replyTo: "42", threadID: nil)),
    .message(
      OutboundMessage(
        kind: .image, text: "hi", files: [Dialogue.file(url: "https://h/a.png")], replyTo: "42")),
    .edit(OutboundEdit(messageID: "42", text: "new")), .delete(messageID: "42"),
    .react(messageID: "42", emoji: "👍", isSet: true), .react(messageID: "42", emoji: "👍", isSet: false),
    .read(upTo: "42"), .typing(true),
  ]

  @Test("ends every dialogue of a sender", arguments: secrets.keys.sorted())
  func senders(platform: String) throws {
    let sender = try Dialogue.sender(platform)
    var dice = Dice(state: UInt64(platform.utf8.count) &* 7_919)
    for round in 0..<400 {
      let action = Self.actions[round % Self.actions.count]
      let job = Dialogue.job(
        action, to: ["c1", "direct:1,2", "7"][round % 3], secrets: Self.secrets[platform] ?? [:], token: "t")
      var answers: [APIAnswer] = []
      var step = sender.next(job, after: answers)
      while step.request != nil, answers.count < 40 {
        answers.append(Self.answer(&dice))
        step = sender.next(job, after: answers)
      }
      #expect(answers.count < 40)
      #expect(sender.next(job, after: answers) == step)
    }
  }

  @Test("ends every page of a poller, with whatever cursor", arguments: secrets.keys.sorted())
  func pollers(platform: String) throws {
    guard let poller = PlatformCatalogue.named(platform) as? any PollingPlatform else { return }
    var dice = Dice(state: UInt64(platform.utf8.count) &* 104_729)
    let modes: [PollJob.Mode] = [
      .live, .history(notBefore: Timestamp(seconds: 1_700_000_000)), .sweep(since: Dialogue.now),
    ]
    for round in 0..<400 {
      var cursor: JSONValue?
      for _ in 0..<4 {
        let job = Dialogue.poll(
          modes[round % 3], cursor: cursor, secrets: Self.secrets[platform] ?? [:], token: "t")
        var answers: [APIAnswer] = []
        var step = poller.poll(job, after: answers)
        while step.request != nil, answers.count < 80 {
          answers.append(Self.answer(&dice))
          step = poller.poll(job, after: answers)
        }
        #expect(answers.count < 80)
        #expect(poller.poll(job, after: answers) == step)
        let texts = step.page?.content.items.map { String(decoding: $0.json.encoded(), as: UTF8.self) } ?? []
        #expect(!texts.contains { $0.contains("\\u0000") })
        cursor = step.page?.cursor ?? (round % 7 == 0 ? Self.value(&dice, depth: 0) : cursor)
      }
    }
  }
}
