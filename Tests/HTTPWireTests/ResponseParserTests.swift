import Bytes
import HTTPWire
import Testing

@Suite struct ResponseParserTests {
  /// What a client sees of one response, body parts joined.
  struct Outcome: Equatable {
    var informational: [Int] = []
    var code: Int?
    var kind: HTTPBodyKind?
    var keepAlive: Bool?
    var body: [UInt8] = []
    var trailers: HTTPHeaders?
    var error: HTTPParseError?
  }

  func run(_ pieces: [[UInt8]], _ method: HTTPMethod, closes: Bool) -> Outcome {
    var parser = ResponseParser()
    parser.begin(method)
    var buffer = ByteBuffer()
    var outcome = Outcome()
    do {
      for piece in pieces {
        buffer.append(contentsOf: piece)
        reading: while true {
          let event = try parser.read(&buffer)
          if event == .needMoreData { break reading }
          note(event, &outcome)
        }
      }
      if closes, let event = try parser.endOfInput() { note(event, &outcome) }
    } catch {
      outcome.error = error
    }
    return outcome
  }

  func note(_ event: ResponseParser.Event, _ outcome: inout Outcome) {
    switch event {
    case .needMoreData: break
    case .informational(let head): outcome.informational.append(head.status.code)
    case .head(let head, let kind):
      (outcome.code, outcome.kind, outcome.keepAlive) = (head.status.code, kind, head.keepAlive)
    case .bodyPart(let part): outcome.body += part
    case .end(let trailers): outcome.trailers = trailers
    }
  }

  func verify(_ text: String, _ method: HTTPMethod = .get, closes: Bool = false) -> Outcome {
    let input = Array(text.utf8)
    let whole = run([input], method, closes: closes)
    #expect(run(input.map { [$0] }, method, closes: closes) == whole)
    for cut in 1..<input.count {
      #expect(run([Array(input[..<cut]), Array(input[cut...])], method, closes: closes) == whole)
    }
    return whole
  }

  @Test("reads lengths, chunks and 1xx answers before them")
  func bodies() {
    let length = verify("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nhi")
    #expect(length.informational == [100] && length.code == 201 && length.body == Array("hi".utf8))
    #expect(length.trailers == [:] && length.keepAlive == true)
    let chunked = verify("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: u\r\n\r\n")
    #expect(chunked.body == [97] && chunked.trailers == ["T": "u"])
  }

  @Test("reads a body until close")
  func untilClose() {
    let outcome = verify("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", closes: true)
    #expect(outcome.kind == .untilClose && outcome.keepAlive == false)
    #expect(outcome.body == Array("all of it".utf8) && outcome.trailers == [:])
  }

  @Test("knows which responses have no body")
  func noBody() {
    #expect(verify("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", .head).trailers == [:])
    #expect(verify("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").trailers == [:])
    #expect(verify("HTTP/1.1 204 No Content\r\n\r\n").trailers == [:])
    #expect(verify("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").code == 101)
  }

  @Test("reports an early end and malformed status lines")
  func faults() {
    #expect(verify("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", closes: true).error == .endedEarly)
    #expect(verify("HTTP/1.1 200", closes: true).error == .endedEarly)
    #expect(verify("HTTP/1.1 99 x\r\n\r\n").error == .statusLineMalformed)
    #expect(verify("HTTP/1.1 200OK\r\n\r\n").error == .statusLineMalformed)
    #expect(verify("ICY 200 OK   \r\n\r\n").error == .statusLineMalformed)
    #expect(
      verify("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n").error
        == .contentLengthRepeated)
  }
}
