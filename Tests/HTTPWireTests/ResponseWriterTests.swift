import Bytes
import Fuzzing
import HTTPWire
import Testing

@Suite struct ResponseWriterTests {
  let date = "Sun, 06 Nov 1994 08:49:37 GMT"

  func exchange(_ method: HTTPMethod = .get, _ version: HTTPVersion = .http11, keepAlive: Bool = true)
    -> ResponseWriter.Exchange
  {
    ResponseWriter.Exchange(method: method, version: version, keepAlive: keepAlive, date: date)
  }

  func text(_ response: HTTPResponse, _ exchange: ResponseWriter.Exchange) throws -> String {
    let encoded = try ResponseWriter.encode(response, for: exchange)
    return String(decoding: encoded.head + encoded.body, as: UTF8.self)
  }

  @Test("writes status, date, fields, length and body")
  func whole() throws {
    var response = HTTPResponse.text(.ok, "hello", headers: ["X-A": "1", "X-A": "2"])
    response.headers.add("content-length", "99")
    response.headers.add("Connection", "keep-alive")
    #expect(
      try text(response, exchange())
        == "HTTP/1.1 200 OK\r\nDate: \(date)\r\nX-A: 1\r\nX-A: 2\r\n"
        + "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello")
  }

  @Test("leaves the body out for HEAD, 204 and 304")
  func noBody() throws {
    let ok = HTTPResponse.json(.ok, Array("{}".utf8))
    #expect(try text(ok, exchange(.head)).hasSuffix("Content-Length: 2\r\n\r\n"))
    #expect(
      try text(.empty(.ok, headers: ["Content-Length": "7"]), exchange(.head)).contains(
        "Content-Length: 7\r\n"))
    for status in [HTTPStatus.noContent, .notModified] {
      let written = try text(HTTPResponse(status: status, body: .bytes([65])), exchange())
      #expect(written == "HTTP/1.1 \(status)\r\nDate: \(date)\r\n\r\n")
    }
    #expect(try text(.empty(.ok), exchange()).contains("Content-Length: 0\r\n"))
  }

  @Test("says how the connection goes on")
  func connection() throws {
    #expect(try text(.empty(.ok), exchange(keepAlive: false)).contains("\r\nConnection: close\r\n"))
    #expect(try text(.empty(.ok), exchange(.get, .http10)).contains("\r\nConnection: keep-alive\r\n"))
    let refusal = HTTPResponse.empty(.upgradeRequired, headers: ["Connection": "Upgrade"])
    #expect(try text(refusal, exchange()).contains("\r\nConnection: Upgrade\r\n"))
    #expect(try text(refusal, exchange(keepAlive: false)).contains("\r\nConnection: Upgrade, close\r\n"))
    let upgrade = HTTPResponse.empty(
      .switchingProtocols, headers: ["Connection": "Upgrade", "Upgrade": "websocket"])
    let written = try text(upgrade, exchange())
    #expect(written.contains("\r\nConnection: Upgrade\r\n"))
    #expect(!written.contains("Content-Length"))
  }

  @Test("keeps a large body apart from its head")
  func largeBody() throws {
    let body = [UInt8](repeating: 7, count: 100_000)
    let encoded = try ResponseWriter.encode(.bytes(.ok, body, type: "a/b"), for: exchange())
    #expect(encoded.body == body)
    #expect(encoded.head.suffix(4) == Array("\r\n\r\n".utf8))
  }

  @Test(
    "refuses fields that would end early",
    arguments: ["a\r\nB: c", "a\nb", "a\rb", "a\u{0}b", "\u{7f}"])
  func injection(value: String) {
    #expect(throws: HTTPWriteError.fieldValueMalformed(name: "X")) {
      try ResponseWriter.encode(.empty(.ok, headers: ["X": value]), for: exchange())
    }
    #expect(throws: HTTPWriteError.fieldNameMalformed(value)) {
      try ResponseWriter.encode(.empty(.ok, headers: [value: "x"]), for: exchange())
    }
    #expect(throws: HTTPWriteError.fieldValueMalformed(name: "status")) {
      try ResponseWriter.encode(.empty(HTTPStatus(200, reason: value)), for: exchange())
    }
    #expect(throws: HTTPWriteError.fieldValueMalformed(name: "X")) {
      try RequestWriter.encode(.get, "/", host: "h", headers: ["X": value])
    }
    #expect(throws: HTTPWriteError.targetMalformed) { try RequestWriter.encode(.get, "/\(value)", host: "h") }
  }

  @Test("writes streams in chunks, or until close for HTTP/1.0")
  func streams() throws {
    let modern = try ResponseWriter.encodeStreamHead(.empty(.ok), for: exchange())
    #expect(modern.framing == .chunked)
    #expect(String(decoding: modern.head, as: UTF8.self).contains("\r\nTransfer-Encoding: chunked\r\n"))
    let old = try ResponseWriter.encodeStreamHead(.empty(.ok), for: exchange(.get, .http10))
    #expect(old.framing == .untilClose)
    #expect(String(decoding: old.head, as: UTF8.self).contains("\r\nConnection: close\r\n"))
    #expect(try ResponseWriter.encodeStreamHead(.empty(.ok), for: exchange(.head)).framing == .none)
    #expect(
      ResponseWriter.chunk([UInt8](repeating: 65, count: 17)) == Array("11\r\nAAAAAAAAAAAAAAAAA\r\n".utf8))
    #expect(ResponseWriter.chunk([]).isEmpty)
  }

  @Test("what the request writer writes, the parser reads")
  func requestRoundTrip() throws {
    let written = try RequestWriter.encode(
      .post, "/a?b=c", host: "h:1", headers: ["X": "y", "Host": "no"], body: [1, 2, 3])
    let transcript = ParserVerifier.run([written])
    let message = try #require(transcript.messages.first)
    #expect(transcript.error == nil)
    #expect(message.body == [1, 2, 3])
    #expect(message.head.headers == ["Host": "h:1", "X": "y", "Content-Length": "3"])
  }
}
