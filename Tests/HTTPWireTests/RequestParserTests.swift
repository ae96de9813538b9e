import Bytes
import Fuzzing
import HTTPWire
import Testing

@Suite struct RequestParserTests {
  @Test("reads a request without a body, however it is cut")
  func reads() throws {
    let (whole, disagreements) = ParserVerifier.verify(
      "GET /a%20b/%C3%A9?x=1&y=%2F HTTP/1.1\r\nHost: hub.example:3000\r\nX-Two: 1\r\nx-two:\t2 \r\n\r\n")
    #expect(disagreements.isEmpty)
    #expect(whole.error == nil)
    let message = try #require(whole.messages.first)
    #expect(message.head.method == .get)
    #expect(message.head.path == "/a b/é")
    #expect(message.head.rawPath == "/a%20b/%C3%A9")
    #expect(try message.head.query()["y"] == "/")
    #expect(message.head.authority == "hub.example:3000")
    #expect(message.head.headers["X-TWO"] == "1")
    #expect(message.head.headers.all("X-Two") == ["1", "2"])
    #expect(message.head.keepAlive)
    #expect(message.kind == .none)
    #expect(message.trailers == [:])
  }

  @Test("reads bodies of a length, chunked bodies and pipelined requests, however they are cut")
  func readsBodies() {
    let input =
      "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
      + "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      + "5;name=\"va;lue\"\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
      + "\r\nGET /c HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n" + "GET /par"
    let (whole, disagreements) = ParserVerifier.verify(input)
    #expect(disagreements.isEmpty)
    #expect(whole.error == nil)
    #expect(whole.messages.map { String(decoding: $0.body, as: UTF8.self) } == ["hello", "hello world", ""])
    #expect(whole.messages.map(\.kind) == [.length(5), .chunked, .none])
    #expect(whole.messages.map(\.trailers) == [[:], ["x-sum": "1"], [:]])
    #expect(whole.messages.map(\.head.keepAlive) == [true, true, false])
    #expect(whole.messages.map(\.head.headers.count) == [2, 2, 2])
    #expect(whole.leftBytes == 8)
  }

  @Test("accepts absolute targets and the asterisk of OPTIONS")
  func targetForms() {
    let input =
      "GET http://api.example/x?y HTTP/1.1\r\nHost: other\r\n\r\n"
      + "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" + "GET HTTP://[::1]:80?q HTTP/1.1\r\nHost: h\r\n\r\n"
      + "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"
    let (whole, disagreements) = ParserVerifier.verify(input)
    #expect(disagreements.isEmpty)
    #expect(whole.error == nil)
    #expect(whole.messages.map(\.head.path) == ["/x", "*", "/", "*"])
    #expect(whole.messages.map(\.head.rawQuery) == ["y", "", "q", ""])
    #expect(whole.messages.map(\.head.authority) == ["api.example", "h", "[::1]:80", "h"])
  }

  @Test("keeps HTTP/1.0 connections only when asked")
  func oldVersion() {
    let (whole, _) = ParserVerifier.verify(
      "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n")
    #expect(whole.messages.map(\.head.keepAlive) == [false, true])
    #expect(whole.messages.map(\.head.authority) == ["", ""])
  }

  @Test("notes Expect: 100-continue, and ignores it from HTTP/1.0")
  func expectation() {
    let (whole, _) = ParserVerifier.verify(
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n\r\n"
        + "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
    #expect(whole.messages.map(\.head.expectsContinue) == [true, false])
  }

  @Test("leaves what follows a request in the buffer")
  func leftover() throws {
    var parser = RequestParser()
    var buffer = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: h\r\n\r\n\u{1}\u{2}\u{3}")
    guard case .head = try parser.read(&buffer), case .end = try parser.read(&buffer) else {
      Issue.record("no request")
      return
    }
    #expect(buffer.readAll() == [1, 2, 3])
  }

  @Test("the body limit can be set after each head, and holds for chunked bodies too")
  func bodyLimitPerRequest() throws {
    for (framing, body) in [
      ("Content-Length: 4", "abcd"), ("Transfer-Encoding: chunked", "2\r\nab\r\n2\r\ncd\r\n"),
    ] {
      var parser = RequestParser()
      var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\r\n\(body)")
      _ = try parser.read(&buffer)
      parser.bodyBytesMax = 3
      #expect(throws: HTTPParseError.bodyTooLarge(limitBytes: 3)) {
        while try parser.read(&buffer) != .needMoreData {}
      }
      #expect(HTTPParseError.bodyTooLarge(limitBytes: 3).status == .contentTooLarge)
      #expect(throws: HTTPParseError.bodyTooLarge(limitBytes: 3)) { try parser.read(&buffer) }
    }
  }

  @Test("limits answer with their own status, at the limit and not before")
  func limits() {
    var limits = HTTPLimits()
    limits.firstLineBytesMax = 40
    limits.headerBytesMax = 60
    limits.headerFieldsMax = 3
    func request(pathBytes: Int = 1, fields: String = "") -> String {
      "GET /\(String(repeating: "a", count: pathBytes - 1)) HTTP/1.1\r\nHost: h\r\n\(fields)\r\n"
    }
    let fits = [
      request(pathBytes: 27), request(fields: "A: 1\r\nB: 2\r\n"),
      request(fields: "A: \(String(repeating: "x", count: 44))\r\n"),
    ]
    for input in fits {
      let (whole, disagreements) = ParserVerifier.verify(input, limits: limits)
      #expect(whole.error == nil && whole.messages.count == 1 && disagreements.isEmpty, "\(input)")
    }
    let tooMuch: [(String, HTTPParseError, HTTPStatus)] = [
      (request(pathBytes: 28), .requestLineTooLong(limitBytes: 40), .uriTooLong),
      (String(repeating: "G", count: 200), .requestLineTooLong(limitBytes: 40), .uriTooLong),
      (request(fields: "A: 1\r\nB: 2\r\nC: 3\r\n"), .fieldsTooMany(limit: 3), .headerFieldsTooLarge),
      (
        request(fields: "A: \(String(repeating: "x", count: 45))\r\n"), .headerTooLarge(limitBytes: 60),
        .headerFieldsTooLarge
      ),
      (
        "GET / HTTP/1.1\r\nA: \(String(repeating: "x", count: 200))", .headerTooLarge(limitBytes: 60),
        .headerFieldsTooLarge
      ),
    ]
    for (input, error, status) in tooMuch {
      let (whole, disagreements) = ParserVerifier.verify(input, limits: limits)
      #expect(whole.error == error && disagreements.isEmpty, "\(input)")
      #expect(error.status == status)
    }
  }

  @Test("chunk extensions and trailers are bounded")
  func chunkLimits() {
    var limits = HTTPLimits()
    limits.chunkExtensionBytesMax = 8
    limits.trailerBytesMax = 20
    limits.trailerFieldsMax = 2
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    let inputs: [(String, HTTPParseError?)] = [
      ("1;1234567\r\na\r\n0\r\n\r\n", nil),
      ("1;12345678\r\na\r\n0\r\n\r\n", .chunkExtensionTooLong(limitBytes: 8)),
      ("1;1234567890123", .chunkExtensionTooLong(limitBytes: 8)),
      (
        String(repeating: "1;1234567\r\na\r\n", count: 17) + "0\r\n\r\n",
        .chunkExtensionTooLong(limitBytes: 8)
      ),
      (String(repeating: "1;1234567\r\na\r\n", count: 16) + "0\r\n\r\n", nil),
      ("0\r\nA: 1\r\nB: 2\r\n\r\n", nil),
      ("0\r\nA:\r\nB:\r\nC:\r\n\r\n", .fieldsTooMany(limit: 2)),
      ("0\r\nA: 123456789012345\r\n\r\n", .headerTooLarge(limitBytes: 20)),
      ("0\r\nA 1\r\n\r\n", .fieldNameMalformed),
    ]
    for (body, error) in inputs {
      let (whole, disagreements) = ParserVerifier.verify(head + body, limits: limits)
      #expect(whole.error == error && disagreements.isEmpty, "\(body)")
    }
  }

  @Test("garbage gives an error or a wait, never a trap")
  func garbage() {
    var state: UInt64 = 42
    let alphabet = Array(
      "GET / HTTP/1.1\r\n\r\nHost: h:;0123456789abcdefTransfer-Encoding: chunked\u{0}\u{7f}%".utf8)
    for _ in 0..<400 {
      var input = Array(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n".utf8)
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let place = Int(state >> 33) % input.count
        let byte = alphabet[Int(state >> 20 & 0xfff) % alphabet.count]
        if state >> 63 == 0 { input[place] = byte } else { input.insert(byte, at: place) }
      }
      let whole = ParserVerifier.run([input])
      #expect(ParserVerifier.run(input.map { [$0] }) == whole)
    }
  }
}
