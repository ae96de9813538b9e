import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Whatever a platform answers, a sender and a poller go on, end, or say why not.
@Suite struct ChatGarbageTests {
  private struct Dice {
    var state: UInt64

    mutating func roll(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }

  static let senders = [
    "whatsapp", "messenger", "instagram", "slack", "discord", "line", "viber", "twilio", "x",
  ]
  static let pollers = ["messenger", "instagram", "slack", "discord", "x", "linkedin"]

  private static let secrets = [
    "accessToken": "t", "phoneNumberId": "1", "pageId": "1", "instagramAccountId": "1", "botToken": "t",
    "channelAccessToken": "t", "authToken": "t", "senderName": "n", "accountSid": "AC1", "from": "+1",
    "userId": "1", "organization": "1",
  ]

  private static let actions: [OutboundAction] = [
    .message(OutboundMessage(text: "hi", replyTo: "1", threadID: "2")),
    .message(
      OutboundMessage(
        kind: .image, files: [ChatJobs.file(.image, "image/png", url: "https://hub.example.com/1")])),
    .message(OutboundMessage(kind: .video, files: [ChatJobs.file(.video, "video/mp4", url: "https://x/1")])),
    .message(OutboundMessage(kind: .location)), .message(OutboundMessage(kind: .contact)),
    .message(OutboundMessage(kind: .sticker)), .message(OutboundMessage(kind: .poll, extras: [1, "x"])),
    .edit(OutboundEdit(messageID: "1", text: "x")), .delete(messageID: ""),
    .react(messageID: "1", emoji: "🦒", isSet: true), .react(messageID: "1", emoji: "", isSet: false),
    .read(upTo: "1"), .typing(true), .typing(false),
  ]

  /// Names that answers have, so that what is found in them is often of the wrong type.
  private static let names = [
    "ok", "id", "ts", "error", "code", "data", "messages", "channels", "channel", "files", "file", "status",
    "message_token", "file_id", "upload_url", "sentMessages", "retry_after", "message_id", "sid", "paging",
    "cursors", "after", "next", "updated_time", "created_time", "from", "to", "attachments", "user_id",
    "bot_id", "response_metadata", "next_cursor", "threads", "type", "last_message_id", "edited_timestamp",
    "author", "content", "elements", "notificationId", "meta", "next_token", "includes", "media", "users",
    "text", "edited", "latest_reply", "sender_id", "dm_conversation_id", "processing_info", "state", "shares",
    "error_subcode", "errors", "window", "floor", "marks", "todo", "since", "page", "guilds", "listedAt",
    "roundAt", "guildsAt", "user", "isRound", "missing", "seen", "start", "until", "began", "newest",
  ]

  private static func value(_ dice: inout Dice, depth: Int) -> JSONValue {
    switch dice.roll(depth > 3 ? 11 : 16) {
    case 0: return nil
    case 1: return .bool(dice.roll(2) == 0)
    case 2: return .integer([0, -1, 1, .max, .min, 4, 10, 190, 429][dice.roll(9)])
    case 3: return .unsigned(.max)
    case 4: return .number([1e300, -1e300, 0.5, 64.57][dice.roll(4)])
    case 5: return ""
    case 6: return "1795219190.000200"
    case 7: return "334385199974967042"
    case 8: return "2026-11-21T00:00:00+0000"
    case 9: return .string(String(repeating: "é", count: dice.roll(3_000)))
    case 10: return "x\u{0}y"
    case 11, 12:
      return .array((0..<dice.roll(4)).map { _ in value(&dice, depth: depth + 1) })
    default:
      var members: [String: JSONValue] = [:]
      for _ in 0..<dice.roll(8) { members[names[dice.roll(names.count)]] = value(&dice, depth: depth + 1) }
      return .object(members)
    }
  }

  private static func answer(_ dice: inout Dice) -> APIAnswer {
    let status = [200, 200, 200, 200, 201, 204, 400, 401, 403, 404, 409, 429, 500, 503][dice.roll(14)]
    let headers = ["Retry-After", "x-rate-limit-reset", "X-Business-Use-Case-Usage"].map { name in
      APIField(
        name,
        ["", "-5", "1e400", "nan", "12", "{\"1\":[{\"estimated_time_to_regain_access\":1e300}]}"][
          dice.roll(6)])
    }
    var value = value(&dice, depth: 0)
    // Most answers are objects that say yes, or nothing of them would be read.
    if dice.roll(3) > 0, case .object(var members) = value {
      members["ok"] = true
      value = .object(members)
    }
    let body = dice.roll(12) == 0 ? Array("<html>".utf8) : value.encoded()
    return APIAnswer(status: status, headers: dice.roll(2) == 0 ? headers : [], body: body)
  }

  @Test("a sender", arguments: senders)
  func sends(name: String) throws {
    let platform = try ChatJobs.sender(name)
    var dice = Dice(state: UInt64(name.utf8.count))
    for round in 0..<1_500 {
      let action = Self.actions[round % Self.actions.count]
      let job = ChatJobs.job(action, to: ["1", "C1", "US.1", "", "CH1"][dice.roll(5)], Self.secrets)
      _ = SendRules.refusal(of: job, on: platform)
      var answers: [APIAnswer] = []
      for _ in 0..<60 {
        let step = platform.next(job, after: answers)
        guard case .call(let request) = step else { break }
        #expect(request.url.hasPrefix("https://"))
        answers.append(Self.answer(&dice))
      }
      #expect(answers.count < 60)
      check(platform.next(job, after: answers))
    }
  }

  /// A wait is one that a scheduler can keep.
  private func check(_ step: SendStep) {
    guard case .failed(let failure) = step else { return }
    check(failure)
  }

  private func check(_ failure: APIFailure) {
    switch failure.remedy {
    case .later(let seconds?), .pauseAccount(let seconds), .pauseApp(let seconds):
      #expect(seconds.isFinite && seconds >= 0 && seconds <= 3_600)
    default: break
    }
  }

  @Test("a poller", arguments: pollers)
  func polls(name: String) throws {
    let platform = try ChatJobs.poller(name)
    var dice = Dice(state: UInt64(name.utf8.count) &* 7)
    let modes: [PollJob.Mode] = [
      .live, .live, .history(notBefore: Timestamp(seconds: 0)), .sweep(since: .latest),
      .sweep(since: .earliest),
    ]
    for round in 0..<600 {
      var cursor: JSONValue? = round % 3 == 0 ? nil : Self.value(&dice, depth: 0)
      let mode = modes[dice.roll(modes.count)]
      for _ in 0..<8 {
        let job = PollJob(
          mode: mode, cursor: cursor, secrets: ChatJobs.secrets(Self.secrets), now: ChatJobs.now)
        guard let page = page(platform, job, &dice) else { break }
        #expect(page == self.page(platform, job, page: page))
        let texts = page.content.items.map { String(decoding: $0.json.encoded(), as: UTF8.self) }
        #expect(!texts.contains { $0.contains("\\u0000") })
        cursor = page.cursor
      }
    }
  }

  @Test("a token's reader", arguments: ["slack", "line", "x", "linkedin"])
  func tokens(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name) as? any TokenPlatform)
    var dice = Dice(state: 7)
    let lives: [JSONValue] = [.integer(.max), .integer(.min), .unsigned(.max), .number(1e300), "x", nil, 60]
    for life in lives {
      let answer = ChatJobs.answer(["ok": true, "access_token": "t", "expires_in": life])
      let token = try platform.token(from: answer, now: ChatJobs.now).get()
      #expect(token.expiresAt >= ChatJobs.now)
    }
    for _ in 0..<300 {
      guard case .failure(let failure) = platform.token(from: Self.answer(&dice), now: ChatJobs.now) else {
        continue
      }
      check(failure)
    }
  }

  private func page(_ platform: any PollingPlatform, _ job: PollJob, _ dice: inout Dice) -> PollPage? {
    var answers: [APIAnswer] = []
    while answers.count < 60 {
      switch platform.poll(job, after: answers) {
      case .call: answers.append(Self.answer(&dice))
      case .page(let page):
        #expect(platform.poll(job, after: answers) == .page(page))
        return page
      case .failed(let failure):
        check(failure)
        return nil
      }
    }
    Issue.record("it asks for ever")
    return nil
  }

  /// A cursor is stored as text: it reads as it was written.
  private func page(_ platform: any PollingPlatform, _ job: PollJob, page: PollPage) -> PollPage {
    var stored = page
    stored.cursor = (try? JSONValue(parsing: page.cursor.encoded())) ?? .null
    return stored
  }
}
