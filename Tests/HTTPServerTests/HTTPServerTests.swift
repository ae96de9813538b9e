import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP server") struct HTTPServerTests {
  @Test("serves many requests on one connection")
  func keepAlive() async throws {
    let observer = RecordingObserver()
    let texts = try await ServerFixture.run(observer: observer) { fixture in
      let client = try await fixture.connect()
      var texts: [String] = []
      for number in 0..<3 {
        let response = try await client.request(
          .post, "/a%20b", body: Array("\(number)".utf8), deadline: fixture.soon)
        texts.append(response.text)
      }
      return texts
    }
    #expect(texts == ["POST /a b 0", "POST /a b 1", "POST /a b 2"])
    let seen = observer.seen
    #expect(seen.opened == 1)
    #expect(seen.records.map(\.status) == [.ok, .ok, .ok])
    #expect(seen.records.map(\.requestBodyBytes) == [1, 1, 1])
    #expect(seen.records.map(\.responseBodyBytes) == [11, 11, 11])
  }

  @Test("answers pipelined requests in their order, also when the first takes longer")
  func pipelining() async throws {
    let loop = Box<EventLoop?>(nil)
    let texts = try await ServerFixture.run(
      handler: { request in
        if request.path == "/0", let loop = loop.value { try? await loop.sleep(for: .milliseconds(20)) }
        return .response(.text(.ok, request.path))
      }
    ) { fixture in
      loop.value = fixture.loop
      let client = try await fixture.connect()
      for number in 0..<200 { try client.send(.get, "/\(number)") }
      var texts: [String] = []
      for _ in 0..<200 { texts.append(try await client.receive(deadline: fixture.soon).text) }
      return texts
    }
    #expect(texts == (0..<200).map { "/\($0)" })
  }

  @Test("closes after Connection: close and after HTTP/1.0")
  func closing() async throws {
    let (closed, old, kept) = try await ServerFixture.run { fixture in
      (
        try await fixture.exchange("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        try await fixture.exchange("GET /x HTTP/1.0\r\n\r\n"),
        try await fixture.exchange(
          "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /y HTTP/1.0\r\n\r\n")
      )
    }
    #expect(closed?.hasSuffix("GET /x ") == true && closed?.contains("\r\nConnection: close\r\n") == true)
    #expect(old?.hasSuffix("GET /x ") == true)
    #expect(kept?.contains("\r\nConnection: keep-alive\r\n") == true && kept?.hasSuffix("GET /y ") == true)
  }

  @Test("reads chunked bodies, and writes chunked streams")
  func chunked() async throws {
    let (body, streamed) = try await ServerFixture.run(
      handler: { request in
        guard request.path == "/stream" else {
          return .response(.bytes(.ok, request.body, type: "application/octet-stream"))
        }
        return .stream(.empty(.ok)) { stream in
          for number in 0..<3 { try await stream.write(Array("part \(number);".utf8)) }
        }
      }
    ) { fixture in
      let client = try await fixture.connect()
      client.sendRaw(
        Array(
          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
            .utf8),
        answers: .post)
      let body = try await client.receive(deadline: fixture.soon)
      let streamed = try await client.request(.get, "/stream", deadline: fixture.soon)
      return (body, streamed)
    }
    #expect(body.text == "abcde")
    #expect(streamed.text == "part 0;part 1;part 2;")
    #expect(streamed.headers["transfer-encoding"] == "chunked")
  }

  @Test("streams until close to HTTP/1.0, and cuts a stream that fails")
  func streamEnds() async throws {
    struct Broken: Error {}
    let (old, broken) = try await ServerFixture.run(
      handler: { request in
        .stream(.empty(.ok)) { stream in
          try await stream.write(Array("some".utf8))
          if request.path == "/broken" { throw Broken() }
        }
      }
    ) { fixture in
      let old = try await fixture.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
      let broken = try await fixture.exchange("GET /broken HTTP/1.1\r\nHost: h\r\n\r\n")
      return (old, broken)
    }
    #expect(old?.hasSuffix("\r\n\r\nsome") == true)
    #expect(broken?.hasSuffix("0\r\n\r\n") == false)
  }

  @Test("answers HEAD without a body")
  func head() async throws {
    let (head, get) = try await ServerFixture.run { fixture in
      let client = try await fixture.connect()
      let head = try await client.request(.head, "/x", deadline: fixture.soon)
      return (head, try await client.request(.get, "/x", deadline: fixture.soon))
    }
    #expect(head.body.isEmpty && head.headers["content-length"] == "8")
    #expect(get.text == "GET /x ")
  }

  @Test("sends 100 Continue only for a body that the route takes")
  func expectContinue() async throws {
    let configuration = HTTPServer.Configuration(bodyBytesMax: { $0.path == "/large" ? 100 : 4 })
    let (interim, accepted, refused) = try await ServerFixture.run(configuration) { fixture in
      let request = { (path: String) in
        "POST \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
      }
      let socket = try await Socket.connect(to: fixture.address, on: fixture.loop, deadline: fixture.soon)
      socket.write(Array(request("/large").utf8))
      var buffer = ByteBuffer()
      while buffer.count < ResponseWriter.continueHead.count {
        guard try await socket.read(into: &buffer, deadline: fixture.soon) > 0 else { break }
      }
      let interim = buffer.readAll()
      let client = HTTPClientConnection(socket)
      client.sendRaw(Array("hello".utf8), answers: .post)
      let accepted = try await client.receive(deadline: fixture.soon)
      return (interim, accepted, try await fixture.exchange(request("/small")))
    }
    #expect(interim == ResponseWriter.continueHead)
    #expect(accepted.text == "POST /large hello")
    #expect(refused?.hasPrefix("HTTP/1.1 413 ") == true)
    #expect(refused?.contains("\r\nConnection: close\r\n") == true)
  }

  @Test("a 413 reaches a client that goes on sending", arguments: [true, false])
  func tooLarge(isChunked: Bool) async throws {
    let configuration = HTTPServer.Configuration(bodyBytesMax: { _ in 100_000 })
    let (response, end) = try await ServerFixture.run(configuration) { fixture in
      let client = try await fixture.connect()
      let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 3200000"
      client.sendRaw(Array("POST / HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\r\n".utf8), answers: .post)
      let part = [UInt8](repeating: 120, count: 32_000)
      for _ in 0..<100 {
        client.socket.write(isChunked ? ResponseWriter.chunk(part) : part)
        try await client.socket.drain(below: 0, deadline: fixture.soon)
      }
      let response = try await client.receive(deadline: fixture.soon)
      return (response, await fixture.readToEnd(client.socket))
    }
    #expect(response.status == .contentTooLarge)
    #expect(response.text.contains(#""code":"body_too_large""#))
    #expect(end == "")
  }

  @Test(
    "refuses malformed requests with a problem and closes",
    arguments: [
      ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
      ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
      (
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled",
        400
      ),
      ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
      ("GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\n", 414),
      ("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
      ("GET / HTTP/1.1\r\nHost: h\r\nA: \(String(repeating: "a", count: 40_000))", 431),
    ])
  func malformed(request: String, code: Int) async throws {
    let text = try #require(try await ServerFixture.run { try await $0.exchange(request) })
    #expect(text.hasPrefix("HTTP/1.1 \(code) "))
    #expect(text.contains("\r\nConnection: close\r\n"))
    #expect(text.contains("application/problem+json"))
    // One answer and no more: what stood behind the fault was not read as a request.
    #expect(text.components("HTTP/1.1 ") == 1)
  }

  @Test("what the server refuses by itself has the fields of the request's page")
  func refusalHeaders() async throws {
    var configuration = HTTPServer.Configuration(bodyBytesMax: { _ in 3 })
    configuration.refusalHeaders = { ["X-For": $0.headers["origin"] ?? "none"] }
    let texts = try await ServerFixture.run(configuration) { fixture in
      [
        try await fixture.exchange("POST / HTTP/1.1\r\nHost: h\r\nOrigin: o\r\nContent-Length: 4\r\n\r\n"),
        try await fixture.exchange(
          "POST / HTTP/1.1\r\nHost: h\r\nOrigin: o\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"),
        // Nothing is known of a request whose head cannot be read, whatever came before it.
        try await fixture.exchange("GET / HTTP/1.1\r\nHost: h\r\nOrigin: o\r\n\r\nGET\r\n\r\n"),
      ]
    }
    #expect(texts.map { $0?.contains("\r\nX-For: o\r\n") } == [true, true, false])
    #expect(texts.map { $0?.contains("HTTP/1.1 413 ") } == [true, true, false])
    #expect(texts[2]?.contains("HTTP/1.1 400 ") == true)
  }

  @Test("serves what came before a malformed request")
  func malformedBehind() async throws {
    let text = try await ServerFixture.run {
      try await $0.exchange("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b\r\n\r\n")
    }
    #expect(text?.contains("GET /a ") == true)
    #expect(text?.contains("HTTP/1.1 400 ") == true)
  }

  @Test("a handler cannot break the message; its fault is a 500")
  func handlerFault() async throws {
    let statuses = try await ServerFixture.run(
      handler: { request in
        switch request.path {
        case "/field": .response(.empty(.ok, headers: ["X": "a\r\nSet-Cookie: b"]))
        case "/stream": .stream(.empty(.ok, headers: ["X Y": "a"])) { _ in }
        case "/interim": .response(.empty(.switchingProtocols))
        default: .response(.empty(.noContent))
        }
      }
    ) { fixture in
      let client = try await fixture.connect()
      var statuses: [Int] = []
      for path in ["/field", "/stream", "/interim", "/"] {
        statuses.append(try await client.request(.get, path, deadline: fixture.soon).status.code)
      }
      return statuses
    }
    #expect(statuses == [500, 500, 500, 204])
  }

  @Test("sends a large answer to a slow reader without queueing it")
  func pacing() async throws {
    let body = [UInt8](repeating: 5, count: 12 << 20)
    let received = try await ServerFixture.run(
      handler: { _ in .response(.bytes(.ok, body, type: "application/octet-stream")) }
    ) { fixture in
      var limits = HTTPLimits()
      limits.bodyBytesMax = 16 << 20
      let socket = try await Socket.connect(to: fixture.address, on: fixture.loop, deadline: fixture.soon)
      let client = HTTPClientConnection(socket, limits: limits)
      try client.send(.get, "/")
      try await fixture.loop.sleep(for: .milliseconds(50))
      return try await client.receive(deadline: fixture.soon).body
    }
    #expect(received == body)
  }

  @Test("hands the connection over after an upgrade, with the bytes behind the request")
  func upgrade() async throws {
    let (head, text) = try await ServerFixture.run(
      handler: { _ in
        .upgrade(.empty(.switchingProtocols, headers: ["Upgrade": "echo", "Connection": "Upgrade"])) {
          socket, leftover in
          var buffer = leftover
          repeat {
            socket.write(buffer.readAll())
          } while (try? await socket.read(into: &buffer)) ?? 0 > 0
        }
      }
    ) { fixture in
      let client = try await fixture.connect()
      client.sendRaw(Array("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\n\r\nfirst ".utf8))
      let head = try await client.receive(deadline: fixture.soon)
      client.socket.write(Array("second".utf8))
      var buffer = ByteBuffer(client.takeLeftover())
      while buffer.count < 12 { _ = try await client.socket.read(into: &buffer, deadline: fixture.soon) }
      return (head, String(decoding: buffer.readAll(), as: UTF8.self))
    }
    #expect(head.status == .switchingProtocols && head.headers["upgrade"] == "echo")
    #expect(text == "first second")
  }

  @Test("reports exchanges with their route label")
  func observed() async throws {
    let observer = RecordingObserver()
    let configuration = HTTPServer.Configuration(
      bodyBytesMax: { _ in 3 }, routeLabel: { $0.path.hasPrefix("/a/") ? "/a/{id}" : nil })
    try await ServerFixture.run(configuration, observer: observer) { fixture in
      _ = try await fixture.exchange("GET /a/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
      _ = try await fixture.exchange("POST /a/2 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
      _ = try await fixture.exchange("nonsense\r\n\r\n")
      await fixture.server.drain(deadline: fixture.soon)
    }
    let seen = observer.seen
    #expect(seen.opened == 3 && seen.closed == 3)
    #expect(seen.records.map(\.status.code) == [200, 413, 400])
    #expect(seen.records.map(\.route) == ["/a/{id}", "/a/{id}", nil])
    #expect(seen.records.map(\.method) == [.get, .post, nil])
  }
}

extension String {
  /// How many times `part` stands in the text.
  func components(_ part: String) -> Int {
    indices.count { self[$0...].hasPrefix(part) }
  }
}
