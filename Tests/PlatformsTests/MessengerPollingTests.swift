import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Messenger and Instagram.
@Suite struct MessengerPollingTests {
  private static let page = ["accessToken": "EAA", "pageId": "PAGE"]

  private static func time(_ seconds: Int64) -> JSONValue {
    .string(String(Timestamp(seconds: ChatJobs.now.seconds + seconds).rfc3339.prefix(19)) + "+0000")
  }

  private static func message(_ id: String, from: String, _ text: String, at seconds: Int64) -> JSONValue {
    [
      "id": .string(id), "created_time": time(seconds), "from": ["id": .string(from), "name": "N"],
      "to": ["data": [["id": .string(from == "PAGE" ? "PSID" : "PAGE")]]], "message": .string(text),
    ]
  }

  private static func conversation(_ messages: [JSONValue], at seconds: Int64) -> JSONValue {
    ["id": "t_1", "updated_time": time(seconds), "messages": ["data": .array(messages)]]
  }

  private static func list(_ conversations: [JSONValue], after: String? = nil) -> APIAnswer {
    var members: [String: JSONValue] = ["data": .array(conversations)]
    if let after {
      members["paging"] = ["cursors": ["after": .string(after)], "next": "https://graph.facebook.com/next"]
    }
    return ChatJobs.answer(.object(members))
  }

  @Test("begins now, without a call")
  func begins() throws {
    let first = try ChatJobs.poll("messenger", Self.page) { _ in
      Issue.record("nothing to ask for")
      return Self.list([])
    }
    #expect(first.items.isEmpty && first.calls.isEmpty)
    #expect(
      first.cursor
        == ["since": .integer(ChatJobs.now.microseconds), "begin": .integer(ChatJobs.now.seconds)])
  }

  @Test("reads what is new, both ways, as the webhook tells it")
  func reads() throws {
    let begun = try ChatJobs.poll("messenger", Self.page) { _ in Self.list([]) }
    let later = Timestamp(seconds: ChatJobs.now.seconds + 600)
    let polled = try ChatJobs.poll("messenger", cursor: begun.cursor, Self.page, now: later) { request in
      #expect(
        request.url
          == "https://graph.facebook.com/v25.0/PAGE/conversations?platform=messenger"
          + "&fields=id%2Cupdated_time%2Cmessages.limit%2820%29%7Bid%2Ccreated_time%2Cfrom%2Cto%2Cmessage%2Cattachments%2Csticker%7D"
          + "&limit=25")
      return Self.list([
        Self.conversation(
          [
            Self.message("m_2", from: "PAGE", "hello", at: 20),
            Self.message("m_1", from: "PSID", "hi", at: 10),
            Self.message("m_0", from: "PSID", "old", at: -4_000),
          ], at: 20)
      ])
    }
    #expect(polled.faults.isEmpty)
    #expect(
      polled.cursor == ["since": .integer(later.microseconds), "begin": .integer(ChatJobs.now.seconds)])
    #expect(polled.messages.map(\.externalID) == ["m_1", "m_2"])
    #expect(polled.messages.map(\.direction) == [.inbound, .outbound])
    #expect(polled.messages.map(\.conversation.externalID) == ["PSID", "PSID"])
    let event: JSONValue = [
      "sender": ["id": "PSID"], "recipient": ["id": "PAGE"],
      "timestamp": .integer((ChatJobs.now.seconds + 10) * 1_000), "message": ["mid": "m_1", "text": "hi"],
    ]
    let items = try ChatJobs.read("messenger", ["entry": [["id": "PAGE", "messaging": [event]]]])
    #expect(items.first == polled.items.first)
  }

  @Test("turns pages until it is past, and goes on where it stopped")
  func pages() throws {
    let since = Timestamp(seconds: ChatJobs.now.seconds - 3_600)
    var asked: [String?] = []
    let polled = try ChatJobs.poll("messenger", .sweep(since: since), Self.page) { request in
      asked.append(ChatJobs.query(request, "after"))
      let number = Int64(asked.count)
      return Self.list(
        [
          Self.conversation(
            [Self.message("m_\(number)", from: "P\(number)", "x", at: -1_500 * number)], at: -1_500 * number)
        ],
        after: "C\(number)")
    }
    // What was active meanwhile is looked for once more.
    #expect(asked == [nil, "C1", "C2", nil])
    #expect(polled.messages.map(\.externalID) == ["m_1", "m_2"])
  }

  @Test("reads history down to its depth, with its times")
  func history() throws {
    let from = Timestamp(seconds: ChatJobs.now.seconds - 10_000)
    let polled = try ChatJobs.poll("messenger", .history(notBefore: from), Self.page) { _ in
      Self.list([
        Self.conversation(
          [
            Self.message("m_1", from: "PSID", "x", at: -9_000),
            Self.message("m_0", from: "PSID", "y", at: -20_000),
          ], at: -9_000)
      ])
    }
    #expect(polled.messages.map(\.externalID) == ["m_1"])
    #expect(polled.messages.first?.sentAt == Timestamp(seconds: ChatJobs.now.seconds - 9_000))
  }

  @Test("reads files, and Instagram's conversations as Instagram's")
  func instagram() throws {
    var message = Self.message("m_1", from: "IGSID", "", at: -10).object ?? [:]
    message["attachments"] = [
      "data": [
        ["id": "1", "image_data": ["url": "https://scontent.example/1.jpg", "width": 4]],
        [
          "id": "2", "name": "a.pdf", "mime_type": "application/pdf", "file_url": "https://cdn.example/a.pdf",
        ],
        ["id": "3"],
      ]
    ]
    let secrets = ["accessToken": "IGA", "instagramAccountId": "IG", "apiURL": "https://graph.instagram.com"]
    let since = Timestamp(seconds: ChatJobs.now.seconds - 60)
    let polled = try ChatJobs.poll("instagram", .sweep(since: since), secrets) { request in
      #expect(request.url.hasPrefix("https://graph.instagram.com/v25.0/me/conversations?platform=instagram&"))
      return Self.list([Self.conversation([.object(message), ["id": "broken"]], at: -10)])
    }
    let found = try #require(polled.messages.first)
    #expect(polled.messages.count == 1 && found.kind == .image)
    #expect(found.attachments.map(\.kind) == [.image, .file] && found.attachments.last?.name == "a.pdf")
  }

  @Test("knows what it needs, and what an error means")
  func errors() throws {
    let platform = try ChatJobs.poller("messenger")
    #expect(platform.canPoll(ChatJobs.secrets(Self.page)))
    #expect(!platform.canPoll(ChatJobs.secrets(["pageId": "PAGE"])))
    let job = PollJob(
      mode: .sweep(since: ChatJobs.now), secrets: ChatJobs.secrets(Self.page), now: ChatJobs.now)
    let limit = ChatJobs.answer(["error": ["code": 4]], status: 403)
    guard case .failed(let failure) = platform.poll(job, after: [limit]) else {
      Issue.record("no failure")
      return
    }
    #expect(failure.remedy == .pauseApp(seconds: 60))
  }
}
