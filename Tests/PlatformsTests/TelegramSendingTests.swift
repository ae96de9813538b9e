import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// What the Bot API is asked for, and what its answers mean.
@Suite struct TelegramSendingTests {
  static let now = Timestamp(seconds: 1_795_219_200)

  private static func job(
    _ action: OutboundAction, conversation: String = "1001", token: String? = "1:abc"
  ) -> SendJob {
    SendJob(
      action: action, conversation: ConversationRef(externalID: conversation, kind: .direct),
      secrets: AccountSecrets(token.map { ["botToken": [$0]] } ?? [:]), key: "k", now: now)
  }

  private static func sender() throws -> any SendingPlatform {
    try #require(PlatformCatalogue.named("telegram") as? any SendingPlatform)
  }

  private static func call(_ job: SendJob, after answers: [APIAnswer] = []) throws -> APIRequest? {
    guard case .call(let request) = try sender().next(job, after: answers) else { return nil }
    return request
  }

  private static func answer(_ status: Int, _ json: JSONValue) -> APIAnswer {
    APIAnswer(status: status, body: json.encoded())
  }

  private static func failure(_ status: Int, _ json: JSONValue) throws -> APIFailure? {
    let step = try sender().next(job(.message(OutboundMessage(text: "x"))), after: [answer(status, json)])
    guard case .failed(let failure) = step else { return nil }
    return failure
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let action: OutboundAction
    var conversation = "1001"
    let method: String
    let body: JSONValue
    var testDescription: String { method }
  }

  static let cases: [Case] = [
    Case(
      action: .message(OutboundMessage(text: "hi", replyTo: "7", threadID: "3")), method: "sendMessage",
      body: [
        "chat_id": 1001, "text": "hi", "message_thread_id": 3,
        "reply_parameters": ["message_id": 7, "allow_sending_without_reply": true],
      ]),
    Case(
      action: .message(OutboundMessage(text: "hi", replyTo: "-5/7")), conversation: "-5",
      method: "sendMessage",
      body: [
        "chat_id": -5, "text": "hi",
        "reply_parameters": ["message_id": 7, "allow_sending_without_reply": true],
      ]),
    Case(
      action: .message(OutboundMessage(text: "hi")), conversation: "bc1:77", method: "sendMessage",
      body: ["chat_id": 77, "text": "hi", "business_connection_id": "bc1"]),
    Case(
      action: .message(
        OutboundMessage(kind: .location, extras: ["location": ["latitude": 1.5, "longitude": 2.5]])),
      method: "sendLocation", body: ["chat_id": 1001, "latitude": 1.5, "longitude": 2.5]),
    Case(
      action: .edit(OutboundEdit(messageID: "9", text: "new")), method: "editMessageText",
      body: ["chat_id": 1001, "message_id": 9, "text": "new"]),
    Case(
      action: .delete(messageID: "9"), method: "deleteMessage", body: ["chat_id": 1001, "message_id": 9]),
    Case(
      action: .delete(messageID: "9"), conversation: "bc1:77", method: "deleteBusinessMessages",
      body: ["business_connection_id": "bc1", "message_ids": [9]]),
    Case(
      action: .react(messageID: "9", emoji: "👍", isSet: true), method: "setMessageReaction",
      body: ["chat_id": 1001, "message_id": 9, "reaction": [["type": "emoji", "emoji": "👍"]]]),
    Case(
      action: .react(messageID: "9", emoji: "👍", isSet: false), method: "setMessageReaction",
      body: ["chat_id": 1001, "message_id": 9, "reaction": []]),
    Case(
      action: .react(messageID: "9", emoji: "❤️", isSet: true), method: "setMessageReaction",
      body: ["chat_id": 1001, "message_id": 9, "reaction": [["type": "emoji", "emoji": "\u{2764}"]]]),
    Case(action: .typing(true), method: "sendChatAction", body: ["chat_id": 1001, "action": "typing"]),
  ]

  @Test("asks for each action", arguments: cases)
  func requests(test: Case) throws {
    let request = try #require(try Self.call(Self.job(test.action, conversation: test.conversation)))
    #expect(request.url == "https://api.telegram.org/bot1:abc/\(test.method)")
    #expect(request.body == .json(test.body))
  }

  @Test("sends one file by its kind and several as an album")
  func files() throws {
    func file(_ kind: Messaging.Attachment.Kind, _ type: String) -> OutboundFile {
      OutboundFile(kind: kind, name: "f", mimeType: type, sizeBytes: 1, storageKey: "uploads/1")
    }
    let one = OutboundMessage(kind: .image, text: "caption", files: [file(.image, "image/png")])
    let single = try #require(try Self.call(Self.job(.message(one))))
    #expect(single.url.hasSuffix("/sendPhoto"))
    #expect(
      single.body
        == .multipart([
          APIPart("chat_id", "1001"), APIPart("caption", "caption"),
          APIPart("photo", file: 0, filename: "f", type: "image/png"),
        ]))
    let two = OutboundMessage(
      kind: .image, text: "both", files: [file(.image, "image/png"), file(.video, "video/mp4")])
    let album = try #require(try Self.call(Self.job(.message(two))))
    #expect(album.url.hasSuffix("/sendMediaGroup"))
    guard case .multipart(let parts) = album.body else { throw NormaliseError.notJSON }
    #expect(parts.map(\.name) == ["chat_id", "media", "file0", "file1"])
  }

  @Test(
    "an album has what Telegram takes in one: else everything in it is a document",
    arguments: [
      (["image/png", "video/mp4"], ["photo", "video"]), (["audio/mpeg", "audio/mpeg"], ["audio", "audio"]),
      (["image/png", "application/pdf"], ["document", "document"]),
      (["image/png", "audio/mpeg"], ["document", "document"]),
      (["image/gif", "image/png"], ["document", "document"]),
      (["audio/ogg", "audio/ogg"], ["document", "document"]),
      (["image/tiff", "image/png"], ["document", "document"]),
    ])
  func albums(types: [String], wanted: [String]) throws {
    let files = types.map { type in
      let kind = ["image": Messaging.Attachment.Kind.image, "video": .video, "audio": .audio][
        String(type.prefix(5))]
      return OutboundFile(
        kind: kind ?? .file, name: "f", mimeType: type, sizeBytes: 1, storageKey: "uploads/1")
    }
    let message = OutboundMessage(
      kind: .file, text: "*all*", files: files, extras: ["parse_mode": "MarkdownV2"])
    let request = try #require(try Self.call(Self.job(.message(message))))
    guard case .multipart(let parts) = request.body,
      case .text(let media)? = parts.first(where: { $0.name == "media" })?.content
    else { throw NormaliseError.notJSON }
    let list = try #require(try JSONValue(parsing: media.utf8).array)
    #expect(list.compactMap { $0["type"]?.string } == wanted)
    // What marks the caption up belongs to it.
    #expect(list[0]["caption"] == "*all*" && list[0]["parse_mode"] == "MarkdownV2")
  }

  @Test("a picture that is too large for a photo, or of another type, goes as a document")
  func documents() throws {
    for (type, size) in [("image/png", Int64(10 << 20 + 1)), ("image/svg+xml", 9)] {
      let file = OutboundFile(
        kind: .image, name: "f", mimeType: type, sizeBytes: size, storageKey: "uploads/1")
      let request = try Self.call(Self.job(.message(OutboundMessage(kind: .image, files: [file]))))
      #expect(request?.url.hasSuffix("/sendDocument") == true)
    }
  }

  @Test("names the message as a webhook would")
  func receipt() throws {
    let answer = Self.answer(
      200,
      [
        "ok": true,
        "result": [
          "message_id": 5, "date": 1_795_219_201, "text": "x",
          "chat": ["id": -5, "type": "group", "title": "G"],
        ],
      ])
    let step = try Self.sender().next(
      Self.job(.message(OutboundMessage(text: "x")), conversation: "-5"), after: [answer])
    #expect(
      step
        == .done(SendReceipt(messageID: "-5/5", sentAt: Timestamp(seconds: 1_795_219_201), order: 5)))
  }

  @Test("follows a group that became a supergroup")
  func migration() throws {
    let moved = Self.answer(
      400,
      [
        "ok": false, "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": ["migrate_to_chat_id": -1_001_234],
      ])
    let request = try Self.call(
      Self.job(.message(OutboundMessage(text: "x")), conversation: "-5"), after: [moved])
    #expect(request?.body == .json(["chat_id": -1_001_234, "text": "x"]))
  }

  @Test("tells refusals apart")
  func failures() throws {
    #expect(
      try Self.failure(429, ["ok": false, "description": "slow", "parameters": ["retry_after": 7]])
        == APIFailure("slow", .pauseAccount(seconds: 7)))
    let blocked = "Forbidden: bot was blocked by the user"
    #expect(
      try Self.failure(403, ["ok": false, "description": .string(blocked)]) == APIFailure(blocked, .none))
    guard case .credentials? = try Self.failure(401, ["ok": false, "description": "Unauthorized"])?.remedy
    else {
      Issue.record("a bad token needs a person")
      return
    }
    #expect(try Self.failure(502, "<html>")?.remedy == .unknown)
    #expect(try Self.failure(200, ["ok": true, "nothing": 1])?.remedy == .unknown)
    #expect(try Self.failure(200, "<html>")?.remedy == .unknown)
  }

  @Test("takes an edit that changes nothing, and a message that is gone, for done")
  func harmless() throws {
    let same = Self.answer(400, ["ok": false, "description": "Bad Request: message is not modified: ..."])
    let edit = OutboundAction.edit(OutboundEdit(messageID: "1", text: "x"))
    #expect(try Self.sender().next(Self.job(edit), after: [same]) == .done(SendReceipt()))
    let gone = Self.answer(400, ["ok": false, "description": "Bad Request: message to delete not found"])
    #expect(
      try Self.sender().next(Self.job(.delete(messageID: "1")), after: [gone]) == .done(SendReceipt()))
  }

  @Test("refuses before the network what cannot be")
  func refusals() throws {
    let platform = try #require(PlatformCatalogue.named("telegram"))
    func code(_ action: OutboundAction, token: String? = "1:abc") -> SendRefusal.Code? {
      SendRules.refusal(of: Self.job(action, token: token), on: platform)?.code
    }
    #expect(code(.message(OutboundMessage(text: "x"))) == nil)
    #expect(code(.message(OutboundMessage(text: "x")), token: nil) == .missingCredentials)
    #expect(code(.message(OutboundMessage(text: String(repeating: "x", count: 4_097)))) == .textTooLong)
    #expect(code(.message(OutboundMessage(kind: .call))) == .kindNotSupported)
    #expect(code(.message(OutboundMessage(kind: .location))) == .invalidContent)
    // It would mark a message of that number in the bot's own chat with the person.
    let mark = OutboundAction.react(messageID: "9", emoji: "👍", isSet: true)
    #expect(code(mark) == nil)
    #expect(
      SendRules.refusal(of: Self.job(mark, conversation: "bc1:77"), on: platform)?.code == .notSupported)
    let old = SendRules.Target(sentAt: Timestamp(seconds: Self.now.seconds - 172_801), isOutbound: true)
    #expect(
      SendRules.refusal(of: Self.job(.delete(messageID: "1")), on: platform, target: old)?.code == .tooOld)
    let theirs = SendRules.Target(sentAt: Self.now, isOutbound: false)
    let edit = Self.job(.edit(OutboundEdit(messageID: "1", text: "x")))
    #expect(SendRules.refusal(of: edit, on: platform, target: theirs)?.code == .notSupported)
  }

  @Test("begins a poll behind what was stored, and keeps what cannot be read apart")
  func polling() throws {
    let poller = try #require(PlatformCatalogue.named("telegram") as? any PollingPlatform)
    var job = PollJob(
      cursor: ["offset": 5], secrets: AccountSecrets(["botToken": ["1:abc"]]), now: Self.now)
    guard case .call(let request) = poller.poll(job, after: []), case .json(let body) = request.body else {
      throw NormaliseError.notJSON
    }
    #expect(body["offset"] == 5)
    #expect(request.isLongLived && request.isRepeatable)
    let message: JSONValue = ["message_id": 1, "date": 1, "text": "x", "chat": ["id": 7, "type": "private"]]
    let answer = Self.answer(
      200,
      [
        "ok": true,
        "result": [["update_id": 9, "message": message], ["update_id": 10, "message": ["no": 1]]],
      ])
    guard case .page(let page) = poller.poll(job, after: [answer]) else { throw NormaliseError.notJSON }
    #expect(page.cursor == ["offset": 11])
    #expect(page.content.items.count == 1)
    #expect(page.content.faults == [.missing(path: "message_id")] || page.content.faults.count == 1)
    job.cursor = nil
    guard case .page(let empty) = poller.poll(job, after: [Self.answer(200, ["ok": true, "result": []])])
    else {
      throw NormaliseError.notJSON
    }
    #expect(empty.content.items.isEmpty && !empty.hasMore)
    guard case .failed = poller.poll(job, after: [Self.answer(409, ["ok": false])]) else {
      Issue.record("a second receiver is a failure")
      return
    }
  }

  @Test("never falls over an answer")
  func garbage() throws {
    let poller = try #require(PlatformCatalogue.named("telegram") as? any PollingPlatform)
    let secrets = AccountSecrets(["botToken": ["1:abc"]])
    for text in [
      "", "{", "null", "[]", "7", #"{"ok":1}"#, #"{"ok":true}"#,
      #"{"ok":true,"result":{"message_id":1e300}}"#,
    ] {
      for status in [200, 400, 429, 500] {
        let answer = APIAnswer(status: status, body: Array(text.utf8))
        for test in Self.cases { _ = try Self.sender().next(Self.job(test.action), after: [answer]) }
        _ = poller.poll(PollJob(secrets: secrets, now: Self.now), after: [answer])
      }
    }
  }
}
