import EventLoop
import HTTPClient
import HTTPWire
import Testing

@Suite("HTTP client: streams") struct StreamTests {
  private struct Enough: Error {}

  @Test("hands over the head, then parts as they come")
  func events() async throws {
    let (events, response) = try await ClientFixture.run { fixture in
      let next = Box(0)
      let url = try fixture.serveRaw { peer, shard in
        try await peer.hear()
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for (index, text) in ["one", "two"].enumerated() {
          // The client has what came before.
          while next.value <= index { try await shard.loop.sleep(for: .milliseconds(1)) }
          peer.say("3\r\n\(text)\r\n")
        }
        peer.say("0\r\n\r\n")
      }
      let events = Box<[String]>([])
      let response = try await fixture.client.stream(.get(url)) { event in
        switch event {
        case .head(let head): events.change { $0.append("\(head.status.code)") }
        case .part(let bytes): events.change { $0.append(String(decoding: bytes, as: UTF8.self)) }
        }
        next.change { $0 += 1 }
      }
      return (events.value, response)
    }
    #expect(events == ["200", "one", "two"])
    #expect(response.status == .ok)
    #expect(response.body.isEmpty)
  }

  @Test("a consumer that takes its time slows the server down")
  func backPressure() async throws {
    let total = 64 << 20
    let (sentEarly, received) = try await ClientFixture.run { fixture in
      let sent = Box(0)
      let url = try fixture.serveRaw { peer, shard in
        try await peer.hear()
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
        let chunk = [UInt8](repeating: 7, count: 1 << 18)
        while sent.value < total {
          peer.socket.write(chunk)
          try await peer.socket.drain(below: 0, deadline: shard.loop.now + .seconds(20))
          sent.change { $0 += chunk.count }
        }
      }
      let early = Box(0)
      let received = Box(0)
      let loop = fixture.loop
      _ = try await fixture.client.stream(
        .get(url) {
          $0.responseBytesMax = total
          $0.timeout = .seconds(30)
        }
      ) { event in
        guard case .part(let bytes) = event else { return }
        if received.value == 0 {
          // Long enough for a server without a brake to send everything.
          for _ in 0..<60 { try await Self.pause(loop) }
          early.value = sent.value
        }
        received.change { $0 += bytes.count }
      }
      return (early.value, received.value)
    }
    #expect(received == total)
    #expect(sentEarly < total / 2)
  }

  private static func pause(_ loop: EventLoop) async throws {
    try await loop.shard.run { shard in try await shard.loop.sleep(for: .milliseconds(5)) }
  }

  @Test("a consumer that throws ends the connection, and its error comes out")
  func consumerThrows() async throws {
    let (thrown, connections) = try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.waitForEnd()
      }
      var thrown = false
      do {
        _ = try await fixture.client.stream(.get(url)) { event in
          if case .part = event { throw Enough() }
        }
      } catch is Enough {
        thrown = true
      }
      return (thrown, await fixture.client.statistics.connections)
    }
    #expect(thrown)
    #expect(connections == 0)
  }

  @Test("a stream that falls silent, is cancelled or grows too large ends, and the server sees it")
  func ends() async throws {
    let (outcomes, ended) = try await ClientFixture.run { fixture in
      let ended = Box(0)
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n")
        await peer.waitForEnd()
        ended.change { $0 += 1 }
      }
      let silent = await Self.streamError(fixture, try .get(url) { $0.silenceMax = .milliseconds(60) })
      let large = await Self.streamError(fixture, try .get(url) { $0.responseBytesMax = 5 })
      let task = Task(executorPreference: fixture.loop) {
        await Self.streamError(fixture, try .get(url) { $0.isLongLived = true })
      }
      try await fixture.loop.sleep(for: .milliseconds(60))
      task.cancel()
      let cancelled = try await task.value
      try await fixture.until { ended.value == 3 }
      return ([silent, large, cancelled], ended.value)
    }
    #expect(
      outcomes == [
        .unanswered(.timedOut), .unanswered(.answerTooLarge(limitBytes: 5)), .unanswered(.cancelled),
      ])
    #expect(ended == 3)
  }

  private static func streamError(
    _ fixture: ClientFixture, _ request: HTTPClientRequest
  ) async -> HTTPClientError? {
    do {
      _ = try await fixture.client.stream(request) { _ in }
      return nil
    } catch {
      return error as? HTTPClientError
    }
  }

  @Test("server-sent events come out of a stream")
  func serverSentEvents() async throws {
    let names = try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        try await peer.sayAndClose(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\nevent: a\ndata: 1\n\ndata: 2\n\n"
        )
      }
      let parser = Box(ServerSentEventParser())
      let names = Box<[String]>([])
      _ = try await fixture.client.stream(.get(url)) { event in
        guard case .part(let bytes) = event else { return }
        var reader = parser.value
        let events = try reader.read(bytes)
        parser.value = reader
        names.change { $0 += events.map { "\($0.name):\($0.data)" } }
      }
      return names.value
    }
    #expect(names == ["a:1", "message:2"])
  }
}
