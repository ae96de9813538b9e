import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct DiscordPollingTests {
  private static let secrets = ["botToken": "MTk", "channelIds": "900"]
  private static let api = "https://discord.com/api/v10/"

  /// A guild with channels, a thread and a direct channel; pages of a hundred, as Discord has them.
  private struct Guild {
    var messages: [String: [JSONValue]] = ["10": [], "11": [], "12": [], "900": []]
    var closed: Set<String> = []
    /// The last message that the list of channels tells of, where it has been deleted since.
    var ghosts: [String: String] = [:]
    /// Who reacted, by the address of the question.
    var reactors: [String: [String]] = [:]

    private func channel(_ id: String, _ type: Int64) -> JSONValue {
      var members: [String: JSONValue] = ["id": .string(id), "type": .integer(type)]
      if type != 1 { members["name"] = .string("n-\(id)") }
      if type == 1 { members["recipients"] = [["id": "5", "username": "mason", "global_name": "Mason"]] }
      let last = ghosts[id] ?? messages[id]?.last?["id"]?.string
      members["last_message_id"] = last.map { .string($0) } ?? .null
      return .object(members)
    }

    func answer(_ request: APIRequest) throws -> APIAnswer {
      let path = ChatJobs.path(request, DiscordPollingTests.api)
      switch path {
      case "users/@me": return ChatJobs.answer(["id": "80", "username": "hub"])
      case "users/@me/guilds": return ChatJobs.answer([["id": "1", "name": "G"], ["id": "2"]])
      case "users/@me/channels": return ChatJobs.answer([])
      case "guilds/1/channels":
        return ChatJobs.answer([channel("10", 0), channel("11", 5), ["id": "13", "type": 4]])
      case "guilds/1/threads/active": return ChatJobs.answer(["threads": [channel("12", 11)]])
      case "guilds/2/channels", "guilds/2/threads/active":
        return ChatJobs.answer(["code": 50_001, "message": "Missing Access"], status: 403)
      case "channels/900": return ChatJobs.answer(channel("900", 1))
      default: break
      }
      let parts = path.split(separator: "/").map(String.init)
      if parts.count == 6, parts[4] == "reactions" {
        guard let users = reactors[path] else {
          return ChatJobs.answer(["code": 10_008, "message": "Unknown Message"], status: 404)
        }
        return ChatJobs.answer(.array(users.map { ["id": .string($0), "username": "u"] }))
      }
      guard parts.count == 3, parts[2] == "messages", let all = messages[parts[1]] else {
        throw ChatJobs.Unexpected()
      }
      if closed.contains(parts[1]) { return ChatJobs.answer(["code": 50_001], status: 403) }
      return ChatJobs.answer(.array(page(all, request)))
    }

    private func page(_ all: [JSONValue], _ request: APIRequest) -> [JSONValue] {
      func id(_ message: JSONValue) -> UInt64 { UInt64(message["id"]?.string ?? "") ?? 0 }
      if let after = ChatJobs.query(request, "after").flatMap({ UInt64($0) }) {
        return Array(all.filter { id($0) > after }.prefix(100).reversed())
      }
      let before = ChatJobs.query(request, "before").flatMap { UInt64($0) } ?? .max
      return Array(all.filter { id($0) < before }.suffix(100).reversed())
    }
  }

  /// The id of a message of that many seconds from now.
  private static func id(_ seconds: Int64, _ number: UInt64 = 0) -> String {
    let milliseconds = UInt64((ChatJobs.now.seconds + seconds) * 1_000 - 1_420_070_400_000)
    return String(milliseconds << 22 | number)
  }

  private static func message(
    _ id: String, _ text: String, by author: String = "5", edited: String? = nil, nonce: String? = nil
  ) -> JSONValue {
    var members: [String: JSONValue] = [
      "id": .string(id), "type": 0, "content": .string(text),
      "author": ["id": .string(author), "username": "u"],
      "edited_timestamp": edited.map { .string($0) } ?? .null,
    ]
    members["nonce"] = nonce.map { .string($0) }
    return .object(members)
  }

  private static func poll(
    _ guild: Guild, _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, at seconds: Int64 = 0
  ) throws -> ChatJobs.Polled {
    let now = Timestamp(seconds: ChatJobs.now.seconds + seconds)
    return try ChatJobs.poll("discord", mode, cursor: cursor, secrets, now: now, serve: guild.answer)
  }

  @Test("begins now: what was written before is history")
  func begins() throws {
    var guild = Guild()
    guild.messages["10"] = [Self.message(Self.id(-60), "old")]
    let first = try Self.poll(guild)
    #expect(first.items.isEmpty && first.faults.isEmpty)
    #expect(
      first.calls.map { ChatJobs.path($0, Self.api) } == [
        "users/@me", "users/@me/guilds", "guilds/1/channels", "guilds/1/threads/active", "guilds/2/channels",
        "guilds/2/threads/active", "users/@me/channels", "channels/900",
      ])
  }

  @Test("reads what is new in channels, threads and direct ones, over many pages, each once")
  func reads() throws {
    var guild = Guild()
    let begun = try Self.poll(guild)
    guild.messages["10"] = (0..<250).map { Self.message(Self.id(1, UInt64($0)), "m\($0)") }
    guild.messages["12"] = [Self.message(Self.id(2), "in the thread")]
    guild.messages["900"] = [Self.message(Self.id(3), "direct"), Self.message(Self.id(4), "mine", by: "80")]
    let polled = try Self.poll(guild, cursor: begun.cursor, at: 30)
    #expect(polled.faults.isEmpty && polled.messages.count == 253)
    #expect(polled.messages.prefix(250).map(\.text) == (0..<250).map { "m\($0)" })
    #expect(
      polled.messages.first?.conversation == ConversationRef(externalID: "10", kind: .group, title: "n-10"))
    let direct = try #require(polled.messages.first { $0.text == "direct" })
    #expect(direct.conversation == ConversationRef(externalID: "900", kind: .direct, title: "Mason"))
    #expect(polled.messages.first { $0.text == "mine" }?.direction == .outbound)
    #expect(polled.calls.filter { $0.url.contains("channels/11/messages") }.isEmpty)
    let again = try Self.poll(guild, cursor: polled.cursor, at: 60)
    #expect(again.items.isEmpty && again.faults.isEmpty)
    let soon = try Self.poll(guild, cursor: again.cursor, at: 62)
    #expect(soon.calls.isEmpty && soon.cursor == again.cursor)
  }

  @Test("knows its own message again, by id and by key")
  func own() throws {
    var guild = Guild()
    let begun = try Self.poll(guild)
    let job = ChatJobs.job(.message(OutboundMessage(text: "hello")), to: "10", .group, Self.secrets)
    let body = try ChatJobs.json(ChatJobs.call(ChatJobs.sender("discord").next(job, after: [])))
    let sent = Self.message(Self.id(5), "hello", by: "80", nonce: body["nonce"]?.string)
    let receipt = try ChatJobs.receipt(ChatJobs.sender("discord").next(job, after: [ChatJobs.answer(sent)]))
    guild.messages["10"] = [sent]
    let polled = try Self.poll(guild, cursor: begun.cursor, at: 30)
    let message = try #require(polled.messages.first)
    #expect(
      message.externalID == receipt.messageID && message.text == "hello" && message.direction == .outbound)
    #expect(
      message.sentAt == receipt.sentAt && message.conversation.externalID == job.conversation.externalID)
    #expect(message.details?["clientKey"]?.string == ChatJobs.key)
  }

  @Test("finds edits and deletions among the newest, and lets them rest after an hour")
  func changes() throws {
    var guild = Guild()
    let begun = try Self.poll(guild)
    guild.messages["10"] = (1...4).map { Self.message(Self.id($0), "m\($0)") }
    let first = try Self.poll(guild, cursor: begun.cursor, at: 30)
    let edited = "2026-11-21T00:00:40.000000+00:00"
    guild.messages["10"]?[2] = Self.message(Self.id(3), "better", edited: edited)
    guild.messages["10"]?.remove(at: 0)
    let second = try Self.poll(guild, cursor: first.cursor, at: 60)
    #expect(second.messages.isEmpty && second.deleted == [Self.id(1)])
    #expect(
      second.edits.map(\.text) == ["better"] && second.edits.first?.editedAt == Timestamp(rfc3339: edited))
    #expect(second.edits.first?.conversation.kind == .group)
    let third = try Self.poll(guild, cursor: second.cursor, at: 90)
    #expect(third.items.isEmpty)
    let later = try Self.poll(guild, cursor: third.cursor, at: 3_700)
    let quiet = try Self.poll(guild, cursor: later.cursor, at: 3_730)
    #expect(quiet.items.isEmpty && quiet.calls.filter { $0.url.contains("/messages") }.isEmpty)
  }

  @Test("asks whose the reactions are, and finds who took theirs back")
  func reactions() throws {
    var guild = Guild()
    let id = Self.id(1)
    var polled = try Self.poll(guild)
    func next(
      _ reactions: [JSONValue], _ users: [String: [String]], at seconds: Int64
    ) throws -> [String: ReactionChange] {
      let message = Self.message(id, "a").object ?? [:]
      guild.messages["10"] = [.object(message.merging(["reactions": .array(reactions)]) { $1 })]
      guild.reactors = Dictionary(
        uniqueKeysWithValues: users.map { ("channels/10/messages/\(id)/reactions/\($0.key)", $0.value) })
      polled = try Self.poll(guild, cursor: polled.cursor, at: seconds)
      #expect(polled.faults.isEmpty)
      let changes = polled.items.compactMap { item -> (String, ReactionChange)? in
        if case .reaction(let change) = item { (change.actor.id, change) } else { nil }
      }
      return Dictionary(uniqueKeysWithValues: changes)
    }
    let fire: JSONValue = ["emoji": ["id": nil, "name": "🔥"], "count": 2, "me": false]
    let own: JSONValue = ["emoji": ["id": "77", "name": "blob"], "count": 1, "me": true]
    let first = try next(
      [fire, own], ["%F0%9F%94%A5": ["5", "6"], "blob%3A77": ["80"]], at: 30)
    #expect(
      first.mapValues(\.change) == [
        "5": .replace(["🔥"]), "6": .replace(["🔥"]), "80": .replace(["<:blob:77>"]),
      ])
    #expect(first["80"]?.isOwn == true && first["5"]?.isOwn == false)
    #expect(first["5"]?.externalID == id && first["5"]?.conversation.externalID == "10")
    #expect(polled.messages.map(\.text) == ["a"])
    #expect(try next([fire, own], [:], at: 60).isEmpty)
    let less: JSONValue = ["emoji": ["id": nil, "name": "🔥"], "count": 1, "me": false]
    #expect(
      try next([less], ["%F0%9F%94%A5": ["6"]], at: 90).mapValues(\.change) == [
        "5": .replace([]), "6": .replace(["🔥"]), "80": .replace([]),
      ])
    #expect(polled.messages.isEmpty)
    // More than an answer names: who is missing may be among them.
    let many: JSONValue = ["emoji": ["id": nil, "name": "🔥"], "count": 120, "me": false]
    #expect(
      try next([many], ["%F0%9F%94%A5": ["7"]], at: 120).mapValues(\.change) == ["7": .replace(["🔥"])])
    // The message goes while it is asked about.
    #expect(try next([less, own], [:], at: 150).isEmpty)
    #expect(try next([], [:], at: 180).mapValues(\.change) == ["6": .replace([]), "7": .replace([])])
  }

  @Test("does not ask for ever for a message that is gone, nor for what is closed")
  func ghosts() throws {
    var guild = Guild()
    let begun = try Self.poll(guild)
    guild.ghosts["11"] = Self.id(5)
    guild.closed = ["10"]
    guild.messages["10"] = [Self.message(Self.id(6), "hidden")]
    let first = try Self.poll(guild, cursor: begun.cursor, at: 30)
    #expect(first.items.isEmpty && first.calls.filter { $0.url.contains("/messages") }.count == 2)
    let second = try Self.poll(guild, cursor: first.cursor, at: 60)
    #expect(second.calls.filter { $0.url.contains("/messages") }.isEmpty)
    guild.closed = []
    let third = try Self.poll(guild, cursor: second.cursor, at: 3_700)
    let open = try Self.poll(guild, cursor: third.cursor, at: 3_730)
    #expect(third.messages.map(\.text) + open.messages.map(\.text) == ["hidden"])
  }

  @Test("reads history and sweeps: newest first, down to the depth")
  func history() throws {
    var guild = Guild()
    guild.messages["10"] = (0..<300).map { Self.message(Self.id(-300 + Int64($0)), "m\($0)") }
    let from = Timestamp(seconds: ChatJobs.now.seconds - 250)
    for mode in [PollJob.Mode.history(notBefore: from), .sweep(since: from)] {
      let polled = try Self.poll(guild, mode)
      #expect(polled.messages.count == 249 && Set(polled.messages.map(\.externalID)).count == 249)
      #expect(polled.messages.first?.text == "m200" && polled.deleted.isEmpty)
      #expect(polled.messages.contains { $0.text == "m51" } && !polled.messages.contains { $0.text == "m50" })
    }
  }

  @Test("goes on after any page, as if nothing had happened between")
  func resumes() throws {
    var guild = Guild()
    let begun = try Self.poll(guild)
    guild.messages["10"] = (0..<230).map { Self.message(Self.id(1, UInt64($0)), "m\($0)") }
    let whole = try Self.poll(guild, cursor: begun.cursor, at: 30)
    let platform = try ChatJobs.poller("discord")
    var cursor = begun.cursor
    var items: [InboundItem] = []
    for _ in 0..<30 {
      let now = Timestamp(seconds: ChatJobs.now.seconds + 30)
      let job = PollJob(cursor: cursor, secrets: ChatJobs.secrets(Self.secrets), now: now)
      guard case .call(let request) = platform.poll(job, after: []),
        case .page(let page) = platform.poll(job, after: [try guild.answer(request)])
      else { break }
      items += page.content.items
      cursor = try JSONValue(parsing: page.cursor.encoded())
      if !page.hasMore { break }
    }
    #expect(items == whole.items && cursor == whole.cursor)
  }

  @Test("reads only the guilds that it is told")
  func guilds() throws {
    let secrets = ["botToken": "MTk", "guildIds": "2, 3"]
    let polled = try ChatJobs.poll("discord", secrets) { try Guild().answer($0) }
    #expect(!polled.calls.contains { $0.url.contains("guilds/1/") })
    #expect(polled.calls.contains { $0.url.contains("guilds/2/channels") })
  }

  @Test("says what stops it")
  func errors() throws {
    let job = PollJob(secrets: ChatJobs.secrets(Self.secrets), now: ChatJobs.now)
    let platform = try ChatJobs.poller("discord")
    for (status, remedy) in [
      (401, APIFailure.Remedy.credentials(action: "give the account the bot token of the application")),
      (500, .later(seconds: nil)), (429, .later(seconds: 5)),
    ] {
      guard case .failed(let failure) = platform.poll(job, after: [ChatJobs.answer([:], status: status)])
      else {
        Issue.record("no failure")
        continue
      }
      #expect(failure.remedy == remedy)
    }
    #expect(platform.canPoll(job.secrets) && !platform.canPoll(AccountSecrets()))
  }
}
