import Fuzzing
import HTTPWire
import Testing

/// What comes after a message went wrong in the middle of it.
@Suite("Garbage in HTTP") struct GarbageTests {
  struct Garbage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    /// The only errors that may end it.
    let errors: [HTTPParseError]

    static let lineFeeds = Garbage(
      testDescription: "line feeds", bytes: [UInt8](repeating: 0x0a, count: 40),
      errors: [.bareLineFeed, .chunkSizeMalformed, .chunkEndMissing])
    static let highBytes = Garbage(
      testDescription: "high bytes", bytes: [UInt8](repeating: 0xff, count: 34_000),
      errors: [
        .requestLineTooLong(limitBytes: 8_192), .headerTooLarge(limitBytes: 32_768),
        .headerTooLarge(limitBytes: 8_192), .chunkSizeMalformed, .chunkEndMissing,
        .chunkExtensionTooLong(limitBytes: 256),
      ])
  }

  private static let requests = Array(
    ("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
      + "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;n=\"v\"\r\nhello\r\n0\r\nX: 1\r\n\r\n")
      .utf8)

  private static let responses = Array(
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nhi"
      + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;n=\"v\"\r\nhello\r\n0\r\nX: 1\r\n\r\n").utf8)

  @Test(
    "behind every beginning of two requests ends in the error that names it",
    arguments: [
      Garbage.lineFeeds, .highBytes,
    ])
  func behindRequests(garbage: Garbage) {
    for count in 0...Self.requests.count {
      let beginning = Array(Self.requests[..<count])
      let whole = RequestTranscript([beginning + garbage.bytes])
      #expect(whole.error.map(garbage.errors.contains) == true, "\(count) bytes: \(whole)")
      #expect(RequestTranscript([beginning, garbage.bytes]) == whole, "\(count) bytes")
      #expect(RequestTranscript(beginning.map { [$0] } + [garbage.bytes]) == whole, "\(count) bytes")
    }
  }

  @Test(
    "behind every beginning of two responses ends in the error that names it",
    arguments: [
      Garbage.lineFeeds, .highBytes,
    ])
  func behindResponses(garbage: Garbage) {
    for count in 0...Self.responses.count {
      let beginning = Array(Self.responses[..<count])
      let whole = ResponseTranscript([beginning + garbage.bytes], .get, closes: true)
      #expect(whole.error.map(garbage.errors.contains) == true, "\(count) bytes: \(whole)")
      #expect(ResponseTranscript([beginning, garbage.bytes], .get, closes: true) == whole, "\(count) bytes")
    }
  }

  @Test("the end of the connection in the middle of a response is an error, between two it is not")
  func endOfInput() {
    let ends = Set(
      Self.responses.indices.filter { count in
        ResponseTranscript([Array(Self.responses[..<count])], .get, closes: true).error == nil
      })
    let informational = "HTTP/1.1 100 Continue\r\n\r\n".utf8.count
    let first = informational + "HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nhi".utf8.count
    #expect(ends == [0, informational, first])
  }
}
