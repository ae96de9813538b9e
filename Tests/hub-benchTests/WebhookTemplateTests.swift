import Bytes
import JSON
import Testing

@testable import hub_bench

@Suite("The webhook that is sent")
struct WebhookTemplateTests {
  private let template = WebhookTemplate(
    account: HubProcess.Account(id: "id", key: "the-key", secret: "the-secret", owner: "u", token: "t"),
    host: "127.0.0.1:3000")
  private let message = WebhookTemplate.Message(
    chat: 1_000_000_007, id: 1_000_000_123, date: 1_800_000_000, sentAtNanoseconds: 42, number: 9)

  private func parts() throws -> (head: String, body: [UInt8]) {
    let bytes = template.request(message)
    let text = String(decoding: bytes, as: UTF8.self)
    let end = try #require(text.firstRange(of: "\r\n\r\n"))
    return (String(text[..<end.lowerBound]), Array(text[end.upperBound...].utf8))
  }

  @Test("is a request with the right length")
  func head() throws {
    let (head, body) = try parts()
    #expect(head.hasPrefix("POST /webhooks/telegram/the-key HTTP/1.1\r\n"))
    #expect(head.contains("\r\nX-Telegram-Bot-Api-Secret-Token: the-secret\r\n"))
    #expect(head.hasSuffix("\r\nContent-Length: \(body.count)"))
  }

  @Test("is an Update with the numbers written in")
  func body() throws {
    let update = try JSONValue(parsing: try parts().body)
    #expect(update["update_id"] == 1_000_000_123)
    #expect(update["message"]?["message_id"] == 1_000_000_123)
    #expect(update["message"]?["chat"]?["id"] == 1_000_000_007)
    #expect(update["message"]?["date"] == 1_800_000_000)
    #expect(update["message"]?["text"] == "sent at 00000000000000000042 number 0000000009")
  }

  @Test("its marks are found again, wherever they stand")
  func marks() throws {
    let marks = try #require(WebhookTemplate.marks(in: template.request(message)))
    #expect(marks.sentAtNanoseconds == 42)
    #expect(marks.number == 9)
    #expect(WebhookTemplate.marks(in: Array("sent at 123 number".utf8)) == nil)
    #expect(WebhookTemplate.marks(in: Array("sent at ".utf8)) == nil)
    #expect(WebhookTemplate.marks(in: []) == nil)
  }
}

@Suite("Scanning an answer")
struct AnswerScannerTests {
  private static let answer =
    "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 5\r\nX-Length: 9\r\n\r\nhello"

  @Test("needs the whole answer, at each cut", arguments: 0..<AnswerScannerTests.answer.utf8.count)
  func cuts(cut: Int) throws {
    let bytes = Array(Self.answer.utf8)
    var buffer = ByteBuffer(bytes[..<cut])
    #expect(try AnswerScanner.read(&buffer) == nil)
    #expect(buffer.count == cut)
    buffer.append(contentsOf: bytes[cut...])
    #expect(try AnswerScanner.read(&buffer) == 200)
    #expect(buffer.isEmpty)
  }

  @Test("takes one answer and leaves the next")
  func pipelined() throws {
    var buffer = ByteBuffer(
      string: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" + Self.answer)
    #expect(try AnswerScanner.read(&buffer) == 503)
    #expect(try AnswerScanner.read(&buffer) == 200)
    #expect(try AnswerScanner.read(&buffer) == nil)
  }

  @Test("a 101 ends with its head")
  func upgrade() throws {
    var buffer = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}rest")
    #expect(try AnswerScanner.read(&buffer, hasBody: false) == 101)
    #expect(buffer.count == 5)
  }
}
