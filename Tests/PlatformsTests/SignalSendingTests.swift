import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite struct SignalSendingTests {
  static let secrets: [String: [String]] = [
    "server": ["http://signal:8080/"], "number": ["+4915100"], "uuid": ["me"],
  ]
  private static let peer = "6a0f-peer"
  private static let group = "R3JvdXBJZA=="

  private func job(
    _ action: OutboundAction, to id: String = peer, _ kind: ConversationRef.Kind = .direct
  ) -> SendJob {
    Dialogue.job(action, to: id, kind: kind, secrets: Self.secrets)
  }

  private func request(_ job: SendJob) throws -> APIRequest {
    try #require(try Dialogue.sender("signal").next(job, after: []).request)
  }

  @Test("a text goes by the second version of send, and its time is its name")
  func text() throws {
    let platform = try Dialogue.sender("signal")
    let job = job(.message(OutboundMessage(text: "hi")))
    let request = try request(job)
    #expect(request.line == "POST http://signal:8080/v2/send" && !request.isRepeatable)
    #expect(request.json == ["number": "+4915100", "recipients": ["6a0f-peer"], "message": "hi"])
    let sent = Dialogue.answer(["timestamp": "1795219190123"], status: 201)
    let receipt = try #require(platform.next(job, after: [sent]).receipt)
    #expect(
      receipt
        == SendReceipt(messageID: "own:1795219190123", sentAt: Timestamp(milliseconds: 1_795_219_190_123)))
    // A receipt that comes later names the same message.
    let body: JSONValue = [
      "envelope": [
        "sourceUuid": .string(Self.peer), "timestamp": 1_795_219_191_000,
        "receiptMessage": [
          "when": 1_795_219_191_000, "isDelivery": true, "timestamps": [1_795_219_190_123],
        ],
      ], "account": "+4915100",
    ]
    let read = try platform.normalise(WebhookDelivery(body: body.encoded(), receivedAt: Dialogue.now))
    guard case .status(let status)? = read.items.first else {
      Issue.record("no status")
      return
    }
    #expect(status.externalID == receipt.messageID && status.conversation.externalID == Self.peer)
  }

  @Test("files, quotes and groups")
  func content() throws {
    let file = OutboundFile(
      kind: .image, name: "../a;b,c.png", mimeType: "image/png;x", sizeBytes: 9, storageKey: "k")
    let message = OutboundMessage(
      kind: .image, text: "see", files: [file, Dialogue.file(.file)], replyTo: "\(Self.peer):17",
      extras: ["text_mode": "styled"])
    let request = try request(job(.message(message), to: Self.group, .group))
    guard case .jsonWithFiles(let document, let places) = request.body else {
      Issue.record("no files")
      return
    }
    #expect(
      document == [
        "number": "+4915100", "recipients": ["group.UjNKdmRYQkpaQT09"], "message": "see",
        "text_mode": "styled", "quote_timestamp": 17, "quote_author": .string(Self.peer),
        "base64_attachments": [
          "data:image/png;filename=.._a_b_c.png;base64,", "data:application/pdf;filename=a.pdf;base64,",
        ],
      ])
    #expect(
      places == [
        APIFilePlace(["base64_attachments", "0"], file: 0),
        APIFilePlace(["base64_attachments", "1"], file: 1),
      ])
    let own = try self.request(job(.message(OutboundMessage(text: "x", replyTo: "own:18"))))
    #expect(own.json?["quote_author"] == "+4915100" && own.json?["quote_timestamp"] == 18)
  }

  @Test("everything else has an address of its own")
  func changes() throws {
    let edit = try request(job(.edit(OutboundEdit(messageID: "own:18", text: "new"))))
    #expect(edit.line == "POST http://signal:8080/v2/send" && edit.isRepeatable)
    #expect(edit.json?["edit_timestamp"] == 18 && edit.json?["message"] == "new")
    let cases: [(OutboundAction, String, JSONValue)] = [
      (
        .delete(messageID: "own:18"), "DELETE http://signal:8080/v1/remote-delete/%2B4915100",
        ["recipient": "6a0f-peer", "timestamp": 18]
      ),
      (
        .react(messageID: "6a0f-peer:17", emoji: "👍", isSet: true),
        "POST http://signal:8080/v1/reactions/%2B4915100",
        ["recipient": "6a0f-peer", "reaction": "👍", "target_author": "6a0f-peer", "timestamp": 17]
      ),
      (
        .react(messageID: "own:18", emoji: "👍", isSet: false),
        "DELETE http://signal:8080/v1/reactions/%2B4915100",
        ["recipient": "6a0f-peer", "reaction": "👍", "target_author": "+4915100", "timestamp": 18]
      ),
      (
        .read(upTo: "6a0f-peer:17"), "POST http://signal:8080/v1/receipts/%2B4915100",
        ["recipient": "6a0f-peer", "receipt_type": "read", "timestamp": 17]
      ),
      (
        .typing(true), "PUT http://signal:8080/v1/typing-indicator/%2B4915100", ["recipient": "6a0f-peer"]
      ),
      (
        .typing(false), "DELETE http://signal:8080/v1/typing-indicator/%2B4915100",
        ["recipient": "6a0f-peer"]
      ),
    ]
    for (action, line, body) in cases {
      let request = try request(job(action))
      #expect(request.line == line && request.json == body && request.isRepeatable)
      let done = try Dialogue.sender("signal").next(job(action), after: [APIAnswer(status: 204, body: [])])
      #expect(done.receipt == SendReceipt())
    }
  }

  @Test("what cannot be sent is refused")
  func refusals() throws {
    let platform = try Dialogue.sender("signal")
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    let text = OutboundAction.message(OutboundMessage(text: "x"))
    #expect(code(job(text)) == nil)
    #expect(code(Dialogue.job(text, to: "a", secrets: ["server": ["http://x"]])) == .missingCredentials)
    #expect(code(job(.message(OutboundMessage()))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage(kind: .sticker)))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage(kind: .sticker, extras: ["sticker": "p:1"])))) == nil)
    #expect(code(job(.edit(OutboundEdit(messageID: "6a0f-peer:17", text: "x")))) == .notSupported)
    #expect(code(job(.delete(messageID: "6a0f-peer:17"))) == .notSupported)
    #expect(code(job(.react(messageID: "nothing", emoji: "👍", isSet: true))) == .invalidContent)
  }

  @Test(
    "failures",
    arguments: [
      (400, ["error": "Invalid group id"], APIFailure.Remedy.none),
      (400, ["error": "Failed to send message: IOException: timed out"], .unknown),
      (429, ["error": "rate limited", "challenge_tokens": ["x"]], .pauseAccount(seconds: 300)),
      (
        400, ["error": "User +4915100 is not registered."],
        .credentials(action: "register or link the account's number again with signal-cli")
      ),
      (500, ["error": "x"], .unknown), (503, [:], .later(seconds: nil)),
      (201, [:], .unknown),
      (
        201, ["timestamp": "1", "errors": ["recipients": [["reason": "UNREGISTERED_FAILURE"]]]],
        APIFailure.Remedy.none
      ),
      (
        201, ["timestamp": "1", "errors": ["recipients": [["reason": "RATE_LIMIT_FAILURE"]]]],
        .pauseAccount(seconds: 300)
      ),
    ] as [(Int, JSONValue, APIFailure.Remedy)])
  func failures(status: Int, body: JSONValue, remedy: APIFailure.Remedy) throws {
    let step = try Dialogue.sender("signal").next(
      job(.message(OutboundMessage(text: "x"))), after: [Dialogue.answer(body, status: status)])
    #expect(step.failure?.remedy == remedy)
  }

  @Test("a group has a message that did not reach everybody")
  func partly() throws {
    let answer = Dialogue.answer([
      "timestamp": "7", "errors": ["recipients": [["reason": "UNREGISTERED_FAILURE"]]],
    ])
    let job = job(.message(OutboundMessage(text: "x")), to: Self.group, .group)
    #expect(try Dialogue.sender("signal").next(job, after: [answer]).receipt?.messageID == "own:7")
  }

  // MARK: The daemon

  static let daemon = secrets.merging(["interface": ["daemon"]]) { $1 }

  private func daemonJob(
    _ action: OutboundAction, to id: String = peer, _ kind: ConversationRef.Kind = .direct
  ) -> SendJob {
    Dialogue.job(action, to: id, kind: kind, secrets: Self.daemon)
  }

  @Test("signal-cli's own daemon takes JSON-RPC")
  func rpc() throws {
    let cases: [(SendJob, String, JSONValue)] = [
      (
        daemonJob(.message(OutboundMessage(text: "hi", replyTo: "own:18"))), "send",
        [
          "recipient": ["6a0f-peer"], "message": "hi", "quoteTimestamp": 18, "quoteAuthor": "+4915100",
          "account": "+4915100",
        ]
      ),
      (
        daemonJob(.edit(OutboundEdit(messageID: "own:18", text: "new")), to: Self.group, .group), "send",
        [
          "groupId": .string(Self.group), "message": "new", "editTimestamp": 18, "account": "+4915100",
        ]
      ),
      (
        daemonJob(.delete(messageID: "own:18")), "remoteDelete",
        ["recipient": ["6a0f-peer"], "targetTimestamp": 18, "account": "+4915100"]
      ),
      (
        daemonJob(.react(messageID: "6a0f-peer:17", emoji: "👍", isSet: false)), "sendReaction",
        [
          "recipient": ["6a0f-peer"], "emoji": "👍", "targetAuthor": "6a0f-peer", "targetTimestamp": 17,
          "remove": true, "account": "+4915100",
        ]
      ),
      (
        daemonJob(.read(upTo: "6a0f-peer:17")), "sendReceipt",
        [
          "recipient": "6a0f-peer", "targetTimestamp": 17, "type": "read", "account": "+4915100",
        ]
      ),
      (
        daemonJob(.typing(false)), "sendTyping",
        ["recipient": ["6a0f-peer"], "stop": true, "account": "+4915100"]
      ),
    ]
    for (job, method, parameters) in cases {
      let request = try request(job)
      #expect(request.line == "POST http://signal:8080/api/v1/rpc")
      #expect(
        request.json == [
          "jsonrpc": "2.0", "id": .string(Dialogue.key), "method": .string(method), "params": parameters,
        ])
    }
    let file = try request(daemonJob(.message(OutboundMessage(kind: .file, files: [Dialogue.file(.file)]))))
    guard case .jsonWithFiles(let document, let places) = file.body else {
      Issue.record("no file")
      return
    }
    #expect(document["params"]?["attachments"] == ["data:application/pdf;filename=a.pdf;base64,"])
    #expect(places == [APIFilePlace(["params", "attachments", "0"], file: 0)])
  }

  @Test("the daemon's answers")
  func rpcAnswers() throws {
    let platform = try Dialogue.sender("signal")
    let text = OutboundAction.message(OutboundMessage(text: "x"))
    func step(_ answer: JSONValue, _ kind: ConversationRef.Kind = .direct) -> SendStep {
      platform.next(daemonJob(text, to: Self.peer, kind), after: [Dialogue.answer(answer)])
    }
    let failed: JSONValue = ["timestamp": 7, "results": [["type": "UNREGISTERED_FAILURE"]]]
    let sent = step(["result": ["timestamp": 1_795_219_190_123, "results": [["type": "SUCCESS"]]]])
    #expect(sent.receipt?.messageID == "own:1795219190123")
    #expect(step(["result": failed]).failure?.reason == "the other side is not on Signal any more")
    #expect(step(["result": failed], .group).receipt?.messageID == "own:7")
    let refused: JSONValue = [
      "error": ["code": -1, "message": "Failed to send message", "data": ["response": failed]]
    ]
    #expect(step(refused).failure?.reason == "the other side is not on Signal any more")
    let cases: [(Int64, String, APIFailure.Remedy)] = [
      (-1, "Invalid group id", .none), (-3, "IO", .unknown), (-5, "slow", .pauseAccount(seconds: 300)),
      (
        -32_602, "Specified account does not exist",
        .credentials(action: "register or link the account's number again with signal-cli")
      ),
    ]
    for (code, words, remedy) in cases {
      let answer: JSONValue = ["error": ["code": .integer(code), "message": .string(words)]]
      #expect(step(answer).failure == APIFailure(words, remedy))
    }
    let typing = platform.next(daemonJob(.typing(true)), after: [Dialogue.answer(["result": [:]])])
    #expect(typing.receipt == SendReceipt())
  }
}
