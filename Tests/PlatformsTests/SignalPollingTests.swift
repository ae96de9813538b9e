import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite struct SignalPollingTests {
  private static let entry: JSONValue = [
    "envelope": [
      "sourceUuid": "u-7", "sourceName": "Ada", "timestamp": 1_795_219_190_123,
      "dataMessage": ["timestamp": 1_795_219_190_123, "message": "hi"],
    ], "account": "+4915100",
  ]

  private func poll(_ answers: [APIAnswer], _ mode: PollJob.Mode = .live) throws -> PollStep {
    let platform = try Dialogue.poller("signal")
    return platform.poll(Dialogue.poll(mode, secrets: SignalSendingTests.secrets), after: answers)
  }

  @Test("what is asked for, and the same message as by webhook")
  func page() throws {
    let request = try #require(try poll([]).request)
    #expect(request.line == "GET http://signal:8080/v1/receive/%2B4915100")
    #expect(request.query == ["timeout": "2", "max_messages": "100", "send_read_receipts": "false"])
    let page = try #require(try poll([Dialogue.answer([Self.entry])]).page)
    let message = try #require(page.content.messages.first)
    let pushed = try Dialogue.poller("signal").normalise(
      WebhookDelivery(body: Self.entry.encoded(), receivedAt: Dialogue.now))
    #expect(pushed.messages == [message] && message.externalID == "u-7:1795219190123")
    #expect(!page.hasMore && page.content.faults.isEmpty)
    let full = try #require(
      try poll([Dialogue.answer(.array(Array(repeating: Self.entry, count: 100)))]).page)
    #expect(full.hasMore)
  }

  @Test("what cannot be read does not take the rest with it, and is kept")
  func faults() throws {
    let page = try #require(
      try poll([Dialogue.answer([["envelope": [:]], 7, Self.entry])]).page)
    #expect(page.content.faults.count == 2 && page.content.messages.count == 1)
    let broken = try #require(try poll([APIAnswer(status: 200, body: Array("[{]".utf8))]).page)
    #expect(broken.content.faults == [.notJSON])
    let null = JSONValue.string("x\u{0}y")
    let entry: JSONValue = [
      "envelope": ["sourceUuid": "u-7", "timestamp": 1, "dataMessage": ["timestamp": 1, "message": null]]
    ]
    let read = try #require(try poll([Dialogue.answer([entry])]).page)
    #expect(read.content.messages.first?.text == "x\u{FFFD}y")
  }

  @Test("an interface that pushes is no place to ask")
  func mode() throws {
    let refused = try poll([APIAnswer(status: 400, body: Array("Bad Request".utf8))])
    guard case .credentials? = refused.failure?.remedy else {
      Issue.record("\(refused)")
      return
    }
    let away = try poll([Dialogue.answer(["error": "IOException: connection"], status: 400)])
    #expect(away.failure?.remedy == .later(seconds: nil))
  }

  @Test("signal-cli's own daemon is listened to, each event read by itself")
  func stream() throws {
    let platform = try Dialogue.poller("signal")
    let job = Dialogue.poll(secrets: SignalSendingTests.daemon)
    guard case .listen(let request) = platform.poll(job, after: []) else {
      Issue.record("no stream")
      return
    }
    #expect(request.url == "http://signal:8080/api/v1/events?account=%2B4915100" && request.isLongLived)
    let text = JSONValue.string(String(decoding: Self.entry.encoded(), as: UTF8.self))
    let answer = Dialogue.answer([
      ["event": "receive", "data": text], ["event": "receive", "data": "{"], ["event": "receive"],
    ])
    let page = try #require(platform.poll(job, after: [answer]).page)
    #expect(page.content.messages.map(\.text) == ["hi"] && page.content.faults.count == 2 && page.hasMore)
    let nothing = try #require(platform.poll(job, after: [Dialogue.answer([])]).page)
    #expect(nothing.content == Normalised() && nothing.hasMore)
    let unknown = platform.poll(job, after: [APIAnswer(status: 400, body: [])]).failure
    #expect(
      unknown?.remedy == .credentials(action: "register or link the account's number with signal-cli"))
  }
}
