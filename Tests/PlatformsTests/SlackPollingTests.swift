import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct SlackPollingTests {
  private static let secrets = ["botToken": "xoxb-1"]
  private static let api = "https://slack.com/api/"

  /// A workspace with what was said in it, in pages of three.
  private struct Workspace {
    var messages: [String: [JSONValue]] = [:]
    var replies: [String: [JSONValue]] = [:]
    var lost: Set<String> = []
    private let pageMax = 3

    func answer(_ request: APIRequest) throws -> APIAnswer {
      func query(_ name: String) -> String { ChatJobs.query(request, name) ?? "" }
      switch ChatJobs.path(request, SlackPollingTests.api) {
      case "auth.test":
        return ChatJobs.answer(["ok": true, "user_id": "U0BOT", "bot_id": "B1", "team_id": "T1"])
      case "users.conversations":
        let names = messages.keys.sorted()
        let half = query("cursor").isEmpty ? names.prefix(1) : names.dropFirst()
        let next = query("cursor").isEmpty && names.count > 1 ? "more" : ""
        return ChatJobs.answer([
          "ok": true, "response_metadata": ["next_cursor": .string(next)],
          "channels": .array(
            half.map { id in
              ["id": .string(id), "name": .string("n-\(id)"), "is_im": .bool(id.hasPrefix("D"))]
            }),
        ])
      case "conversations.history":
        if lost.contains(query("channel")) {
          return ChatJobs.answer(["ok": false, "error": "not_in_channel"])
        }
        return page(messages[query("channel")] ?? [], request)
      case "conversations.replies":
        return page(replies[query("ts")] ?? [], request, isNewestFirst: false)
      default: throw ChatJobs.Unexpected()
      }
    }

    private func page(_ all: [JSONValue], _ request: APIRequest, isNewestFirst: Bool = true) -> APIAnswer {
      let oldest = ChatJobs.query(request, "oldest") ?? ""
      let found = all.filter { ($0["ts"]?.string ?? "") > oldest }
      let sorted = isNewestFirst ? found.reversed() : found
      let start = Int(ChatJobs.query(request, "cursor") ?? "") ?? 0
      let rest = sorted.dropFirst(start)
      let next = rest.count > pageMax ? String(start + pageMax) : ""
      return ChatJobs.answer([
        "ok": true, "messages": .array(Array(rest.prefix(pageMax))), "has_more": .bool(!next.isEmpty),
        "response_metadata": ["next_cursor": .string(next)],
      ])
    }
  }

  private static func stamp(_ seconds: Int64) -> String { "\(ChatJobs.now.seconds + seconds).000100" }

  private static func message(
    _ seconds: Int64, _ text: String, user: String = "U1", edited: Int64? = nil, latestReply: Int64? = nil
  ) -> JSONValue {
    var members: [String: JSONValue] = [
      "type": "message", "user": .string(user), "text": .string(text), "ts": .string(stamp(seconds)),
    ]
    members["edited"] = edited.map { ["user": .string(user), "ts": .string(stamp($0))] }
    if let latestReply {
      members["thread_ts"] = .string(stamp(seconds))
      members["reply_count"] = 1
      members["latest_reply"] = .string(stamp(latestReply))
    }
    return .object(members)
  }

  private static func poll(
    _ workspace: Workspace, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, at seconds: Int64 = 0
  ) throws -> ChatJobs.Polled {
    let now = Timestamp(seconds: ChatJobs.now.seconds + seconds)
    return try ChatJobs.poll("slack", mode, cursor: cursor, secrets, now: now, serve: workspace.answer)
  }

  @Test("begins now: what was said before is history")
  func begins() throws {
    let workspace = Workspace(messages: ["C1": [Self.message(-10, "old")], "D1": []])
    let first = try Self.poll(workspace)
    #expect(first.items.isEmpty && first.faults.isEmpty)
    #expect(
      first.calls.map { ChatJobs.path($0, Self.api) } == [
        "auth.test", "users.conversations", "users.conversations",
      ])
    #expect(ChatJobs.header(first.calls[0], "Authorization") == "Bearer xoxb-1")
  }

  @Test("reads what is new, page by page, each once, and the app's own as outbound")
  func reads() throws {
    var workspace = Workspace(messages: ["C1": [Self.message(-10, "old")], "D1": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"]? += (1...7).map { Self.message($0, "m\($0)") }
    workspace.messages["D1"] = [Self.message(3, "mine", user: "U0BOT")]
    let polled = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    #expect(polled.faults.isEmpty)
    let read = polled.messages.sorted { $0.sentAt < $1.sentAt }
    #expect(read.compactMap(\.text).sorted() == ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "mine"])
    let own = try #require(read.first { $0.text == "mine" })
    #expect(own.direction == .outbound && own.conversation.kind == .direct)
    #expect(read.first { $0.text == "m1" }?.conversation.title == "n-C1")
    let again = try Self.poll(workspace, cursor: polled.cursor, at: 60)
    #expect(again.items.isEmpty && again.faults.isEmpty && again.calls.count == 4)
    let soon = try Self.poll(workspace, cursor: again.cursor, at: 65)
    #expect(soon.calls.isEmpty && soon.cursor == again.cursor)
  }

  @Test("an event and a poll name the same message alike")
  func alike() throws {
    var workspace = Workspace(messages: ["C1": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"] = [Self.message(5, "hi")]
    let polled = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    var event = Self.message(5, "hi").object ?? [:]
    event["channel"] = "C1"
    event["channel_type"] = "channel"
    let items = try ChatJobs.read("slack", ["team_id": "T1", "event": .object(event)])
    guard case .message(let told)? = items.first else {
      Issue.record("no message")
      return
    }
    var read = try #require(polled.messages.first)
    read.conversation.title = nil
    #expect(read == told)
  }

  @Test("finds edits and deletions among the newest")
  func changes() throws {
    var workspace = Workspace(messages: ["C1": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"] = (1...5).map { Self.message($0, "m\($0)") }
    let first = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    workspace.messages["C1"]?[3] = Self.message(4, "m4 better", edited: 40)
    workspace.messages["C1"]?.remove(at: 1)
    let second = try Self.poll(workspace, cursor: first.cursor, at: 60)
    #expect(second.messages.isEmpty && second.deleted == [Self.stamp(2)])
    #expect(second.edits.map(\.externalID) == [Self.stamp(4)] && second.edits.first?.text == "m4 better")
    let third = try Self.poll(workspace, cursor: second.cursor, at: 90)
    #expect(third.items.isEmpty)
    // A day later they are settled.
    let later = try Self.poll(workspace, cursor: third.cursor, at: 90_000)
    workspace.messages["C1"] = []
    #expect(try Self.poll(workspace, cursor: later.cursor, at: 90_030).items.isEmpty)
  }

  @Test("follows threads that grow")
  func threads() throws {
    var workspace = Workspace(messages: ["C1": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"] = [Self.message(1, "root", latestReply: 5)]
    func reply(_ seconds: Int64) -> JSONValue {
      var members = Self.message(seconds, "r\(seconds)").object ?? [:]
      members["thread_ts"] = .string(Self.stamp(1))
      return .object(members)
    }
    workspace.replies[Self.stamp(1)] = [Self.message(1, "root", latestReply: 5)] + (2...5).map(reply)
    let first = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    #expect(first.messages.map(\.text) == ["root", "r2", "r3", "r4", "r5"])
    #expect(first.messages.dropFirst().allSatisfy { $0.threadID == Self.stamp(1) })
    workspace.messages["C1"] = [Self.message(1, "root", latestReply: 40)]
    workspace.replies[Self.stamp(1)]?.append(reply(40))
    let second = try Self.poll(workspace, cursor: first.cursor, at: 60)
    #expect(second.messages.map(\.text) == ["r40"])
    #expect(try Self.poll(workspace, cursor: second.cursor, at: 90).items.isEmpty)
  }

  @Test("goes on after any page, as if nothing had happened between")
  func resumes() throws {
    var workspace = Workspace(messages: ["C1": [], "C2": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"] = (1...8).map { Self.message($0, "a\($0)") }
    workspace.messages["C2"] = (1...4).map { Self.message($0, "b\($0)") }
    let whole = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    // One page a poll, each by its cursor alone.
    let platform = try ChatJobs.poller("slack")
    var cursor = begun.cursor
    var items: [InboundItem] = []
    for _ in 0..<20 {
      let now = Timestamp(seconds: ChatJobs.now.seconds + 30)
      let job = PollJob(cursor: cursor, secrets: ChatJobs.secrets(Self.secrets), now: now)
      guard case .call(let request) = platform.poll(job, after: []),
        case .page(let page) = platform.poll(job, after: [try workspace.answer(request)])
      else { break }
      items += page.content.items
      cursor = try JSONValue(parsing: page.cursor.encoded())
      if !page.hasMore { break }
    }
    #expect(items == whole.items && cursor == whole.cursor)
  }

  @Test("leaves out what is closed, and reads the others")
  func lost() throws {
    var workspace = Workspace(messages: ["C1": [], "C2": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C2"] = [Self.message(1, "b")]
    workspace.lost = ["C1"]
    let polled = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    #expect(polled.messages.map(\.text) == ["b"])
  }

  @Test("reads history and sweeps, threads too")
  func history() throws {
    var workspace = Workspace(messages: [
      "C1": (1...7).map { Self.message(-100 * $0, "m\($0)") }.reversed(), "D1": [],
    ])
    workspace.messages["C1"]?.append(Self.message(-50, "root", latestReply: -40))
    var reply = Self.message(-40, "reply").object ?? [:]
    reply["thread_ts"] = .string(Self.stamp(-50))
    workspace.replies[Self.stamp(-50)] = [Self.message(-50, "root", latestReply: -40), .object(reply)]
    let from = Timestamp(seconds: ChatJobs.now.seconds - 450)
    for mode in [PollJob.Mode.history(notBefore: from), .sweep(since: from)] {
      let polled = try Self.poll(workspace, mode)
      #expect(polled.messages.compactMap(\.text).sorted() == ["m1", "m2", "m3", "m4", "reply", "root"])
      #expect(
        polled.messages.first?.sentAt
          == Timestamp(microseconds: (ChatJobs.now.seconds - 50) * 1_000_000 + 100))
    }
  }

  @Test("tells reactions as they stand, once, and who is missing keeps the others")
  func reactions() throws {
    func reacted(_ users: [JSONValue]) -> JSONValue {
      let reactions: JSONValue = [["name": "thumbsup", "count": 2, "users": .array(users)]]
      return .object((Self.message(1, "a").object ?? [:]).merging(["reactions": reactions]) { $1 })
    }
    var workspace = Workspace(messages: ["C1": []])
    let begun = try Self.poll(workspace)
    workspace.messages["C1"] = [Self.message(1, "a")]
    let first = try Self.poll(workspace, cursor: begun.cursor, at: 30)
    #expect(first.messages.count == 1 && first.items.count == 1)
    workspace.messages["C1"] = [reacted(["U2", "U1"])]
    let second = try Self.poll(workspace, cursor: first.cursor, at: 60)
    let changes = second.items.compactMap { item -> ReactionChange? in
      if case .reaction(let change) = item { change } else { nil }
    }
    #expect(changes.map(\.actor.id) == ["U1", "U2"])
    #expect(changes.map(\.change) == [.replace(["👍"]), .replace(["👍"])])
    #expect(changes.map(\.externalID) == [Self.stamp(1), Self.stamp(1)])
    #expect(second.messages.isEmpty)
    let third = try Self.poll(workspace, cursor: second.cursor, at: 90)
    #expect(third.items.isEmpty)
  }

  @Test("tells of who took the last reaction back, where Slack shows all that are left")
  func unreactions() throws {
    func reacted(_ users: [JSONValue], count: Int64) -> JSONValue {
      let reactions: JSONValue = [["name": "eyes", "count": .integer(count), "users": .array(users)]]
      return .object((Self.message(1, "a").object ?? [:]).merging(["reactions": reactions]) { $1 })
    }
    var workspace = Workspace(messages: ["C1": []])
    var polled = try Self.poll(workspace)
    func next(_ message: JSONValue, at seconds: Int64) throws -> [String: ReactionChange.Change] {
      workspace.messages["C1"] = [message]
      polled = try Self.poll(workspace, cursor: polled.cursor, at: seconds)
      let changes = polled.items.compactMap { item -> (String, ReactionChange.Change)? in
        if case .reaction(let change) = item { (change.actor.id, change.change) } else { nil }
      }
      return Dictionary(uniqueKeysWithValues: changes)
    }
    #expect(
      try next(reacted(["U1", "U2", "U3"], count: 3), at: 30)
        == ["U1": .replace(["👀"]), "U2": .replace(["👀"]), "U3": .replace(["👀"])])
    #expect(
      try next(reacted(["U2", "U3"], count: 2), at: 60)
        == ["U1": .replace([]), "U2": .replace(["👀"]), "U3": .replace(["👀"])])
    // One more than is named: who is missing may still be among them.
    #expect(try next(reacted(["U3"], count: 3), at: 90) == ["U3": .replace(["👀"])])
    #expect(try next(Self.message(1, "a"), at: 120) == ["U2": .replace([]), "U3": .replace([])])
    #expect(try next(Self.message(1, "a"), at: 150).isEmpty)
  }

  @Test("a sweep finds answers in threads that began before it")
  func oldThreads() throws {
    var workspace = Workspace(messages: [
      "C1": [
        Self.message(-9 * 86_400, "too old", latestReply: -40),
        Self.message(-86_400, "root", latestReply: -40),
        Self.message(-80_000, "silent", latestReply: -70_000),
        Self.message(-500, "before"), Self.message(-60, "new"),
      ]
    ])
    func reply(_ seconds: Int64) -> JSONValue {
      var members = Self.message(seconds, "r\(seconds)").object ?? [:]
      members["thread_ts"] = .string(Self.stamp(-86_400))
      return .object(members)
    }
    workspace.replies[Self.stamp(-86_400)] = [
      Self.message(-86_400, "root", latestReply: -40), reply(-600), reply(-40),
    ]
    let since = Timestamp(seconds: ChatJobs.now.seconds - 450)
    let polled = try Self.poll(workspace, .sweep(since: since))
    #expect(polled.messages.compactMap(\.text).sorted() == ["new", "r-40"])
    #expect(polled.calls.filter { $0.url.contains("conversations.replies") }.count == 1)
    // History is what was said since its depth.
    let history = try Self.poll(workspace, .history(notBefore: since))
    #expect(history.messages.compactMap(\.text) == ["new"])
  }

  @Test("says what stops it")
  func errors() throws {
    let job = PollJob(secrets: ChatJobs.secrets(Self.secrets), now: ChatJobs.now)
    let cases: [(APIAnswer, APIFailure.Remedy)] = [
      (
        ChatJobs.answer(["ok": false, "error": "ratelimited"], status: 429, headers: ["Retry-After": "30"]),
        .pauseAccount(seconds: 30)
      ),
      (ChatJobs.answer(["ok": false, "error": "invalid_cursor"]), .restart),
      (ChatJobs.answer([:], status: 500), .later(seconds: nil)),
    ]
    for (answer, remedy) in cases {
      guard case .failed(let failure) = try ChatJobs.poller("slack").poll(job, after: [answer]) else {
        Issue.record("no failure")
        continue
      }
      #expect(failure.remedy == remedy)
    }
  }
}
