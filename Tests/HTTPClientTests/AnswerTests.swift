import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: answers") struct AnswerTests {
  /// What one answer, after which the server closes or waits, looks like to the client.
  private func answer(
    _ text: String, thenWaits: Bool = false,
    _ request: @escaping @Sendable (String) throws -> HTTPClientRequest = { try .get($0) }
  ) async throws -> Result<HTTPClientResponse, HTTPClientError> {
    try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        guard thenWaits else { return try await peer.sayAndClose(text) }
        peer.say(text)
        await peer.waitForEnd()
      }
      return await fixture.outcome(try request(url))
    }
  }

  @Test("sends what it says: host, agent, trace, form")
  func request() async throws {
    let (text, port) = try await ClientFixture.run(configure: { $0.userAgent = "messaging-hub/1" }) {
      fixture in
      let heard = Box("")
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        heard.value = try await peer.hear() ?? ""
        peer.say(Peer.ok)
      }
      var request = try HTTPClientRequest(.post, "\(url)/send?a=%2F&b")
      request.setForm([("text", "two words&more")])
      request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      _ = try await fixture.client.send(request)
      return (heard.value, String(url.split(separator: ":").last ?? ""))
    }
    #expect(text.hasPrefix("POST /send?a=%2F&b HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"))
    #expect(text.contains("User-Agent: messaging-hub/1\r\n"))
    #expect(text.contains("Accept-Encoding: identity\r\n"))
    #expect(text.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"))
    #expect(text.hasSuffix("\r\n\r\ntext=two%20words%26more"))
  }

  @Test("reads interim answers, chunks and trailers")
  func chunked() async throws {
    let response = try await answer(
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nDigest: d\r\n\r\n",
      thenWaits: true
    ).get()
    #expect(response.text == "abcde")
    #expect(response.trailers["digest"] == "d")
    #expect(response.informational == [103, 100])
  }

  @Test("an answer to HEAD, and 204 and 304, has no body whatever its fields say")
  func bodiless() async throws {
    let head = try await answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", thenWaits: true) {
      try .get($0) { $0.method = .head }
    }
    #expect(try head.get().headers["content-length"] == "5")
    for status in ["204 No Content", "304 Not Modified"] {
      let response = try await answer("HTTP/1.1 \(status)\r\nContent-Length: 5\r\n\r\n", thenWaits: true)
      #expect(try response.get().body.isEmpty)
    }
  }

  @Test("a body may end with the connection")
  func untilClose() async throws {
    #expect(try await answer("HTTP/1.0 200 OK\r\n\r\nall of it").get().text == "all of it")
  }

  @Test(
    "what is no whole answer leaves the request unanswered",
    arguments: [
      ("", HTTPClientError.UnansweredReason.connectionClosed),
      ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", .connectionClosed),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", .connectionClosed),
      ("SMTP ready\r\n\r\n", .malformedAnswer(.statusLineMalformed)),
      (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        .malformedAnswer(.contentLengthRepeated)
      ),
      ("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", .answerTooLarge(limitBytes: 1_000)),
      ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", .unexpectedAnswer(status: 101)),
      (String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 40), .unexpectedAnswer(status: 100)),
    ] as [(String, HTTPClientError.UnansweredReason)])
  func unanswered(text: String, reason: HTTPClientError.UnansweredReason) async throws {
    let outcome = try await answer(text) { try .post($0) { $0.responseBytesMax = 1_000 } }
    #expect(throws: HTTPClientError.unanswered(reason)) { try outcome.get() }
  }

  @Test("an answer larger than allowed is given up in every framing")
  func oversize() async throws {
    let body = String(repeating: "x", count: 2_000)
    for text in [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n\(body)\r\n0\r\n\r\n",
      "HTTP/1.0 200 OK\r\n\r\n\(body)",
    ] {
      let outcome = try await answer(text) { try .get($0) { $0.responseBytesMax = 1_000 } }
      #expect(throws: HTTPClientError.unanswered(.answerTooLarge(limitBytes: 1_000))) { try outcome.get() }
    }
  }

  @Test("a large body reaches the server, and a large answer comes back")
  func large() async throws {
    let body = (0..<(6 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let echoed = try await ClientFixture.run { fixture in
      var configuration = HTTPServer.Configuration()
      configuration.limits.bodyBytesMax = 8 << 20
      configuration.bodyBytesMax = { _ in 8 << 20 }
      let url = try fixture.serve(configuration) { request in
        .response(.bytes(.ok, request.body, type: "application/octet-stream"))
      }
      var request = try HTTPClientRequest(.post, url, body: body)
      request.timeout = .seconds(30)
      return try await fixture.client.send(request).body
    }
    #expect(echoed == body)
  }

  @Test("a field that would end its line early is never sent")
  func injection() async throws {
    let error = try await ClientFixture.run { fixture in
      let url = try fixture.serve { _ in .response(.text(.ok, "")) }
      return await fixture.error(try .get(url) { $0.headers.set("X-Name", "a\r\nX-Other: b") })
    }
    #expect(error == .notSent(.requestMalformed(.fieldValueMalformed(name: "X-Name"))))
  }

  @Test("the observer hears of hosts and outcomes, and of no path")
  func observer() async throws {
    let observer = RecordingObserver()
    try await ClientFixture.run(observer: observer) { fixture in
      let url = try fixture.serve { _ in .response(.text(.notFound, "")) }
      _ = try await fixture.client.send(.get("\(url)/bot-secret/send?token=secret"))
      _ = await fixture.error(try .get("http://nowhere.test/secret"))
    }
    let records = observer.records.value
    #expect(observer.started.value == 2)
    #expect(records.map(\.host) == ["127.0.0.1", "nowhere.test"])
    #expect(records.map(\.status) == [.notFound, nil])
    #expect(records.map { $0.error?.kind } == [nil, "not_sent_name_not_resolved"])
    #expect(!"\(records)".contains("secret"))
  }

  private final class RecordingObserver: HTTPClientObserver {
    let started = Box(0)
    let records = Box<[HTTPClientRecord]>([])

    func requestStarted(host: String, method: HTTPMethod) { started.change { $0 += 1 } }
    func requestFinished(_ record: HTTPClientRecord) { records.change { $0.append(record) } }
  }
}
