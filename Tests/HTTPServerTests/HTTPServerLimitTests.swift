import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

/// Deadlines, bounds and draining.
@Suite("HTTP server limits") struct HTTPServerLimitTests {
  private func short() -> HTTPServer.Configuration {
    var configuration = HTTPServer.Configuration()
    // Long enough for a request to arrive on a machine that is busy.
    configuration.headDeadline = .milliseconds(500)
    configuration.bodyDeadline = .milliseconds(80)
    configuration.idleMax = .milliseconds(80)
    configuration.lingerMax = .milliseconds(200)
    return configuration
  }

  @Test("a head that drips in gets 408 at its deadline, however busy the client looks")
  func slowHead() async throws {
    let (text, elapsed) = try await ServerFixture.run(short()) { fixture in
      let start = LoopInstant.current()
      let socket = try await Socket.connect(to: fixture.address, on: fixture.loop, deadline: fixture.soon)
      fixture.loop.spawn { shard in
        for byte in "GET / HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "a", count: 100))".utf8
        where !socket.isClosed {
          socket.write([byte])
          try? await shard.loop.sleep(for: .milliseconds(10))
        }
      }
      let text = await fixture.readToEnd(socket)
      let elapsed = LoopInstant.current() - start
      socket.close()
      return (text, elapsed)
    }
    #expect(text?.hasPrefix("HTTP/1.1 408 ") == true)
    #expect(elapsed >= .milliseconds(490))
  }

  @Test("a connection that says nothing is closed without a word, new or idle")
  func idle() async throws {
    let (fresh, idle) = try await ServerFixture.run(short()) { fixture in
      let fresh = try await fixture.exchange("")
      return (fresh, try await fixture.exchange("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"))
    }
    #expect(fresh == "")
    #expect(idle?.hasSuffix("GET /x ") == true)
  }

  @Test("a body that is too slow gets 408")
  func slowBody() async throws {
    let text = try await ServerFixture.run(short()) {
      try await $0.exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    }
    #expect(text?.hasPrefix("HTTP/1.1 408 ") == true)
    #expect(text?.contains("body_too_slow") == true)
  }

  @Test("a body at the minimal rate may take longer than the deadline")
  func steadyBody() async throws {
    var configuration = short()
    configuration.bodyBytesPerSecondMin = 1
    let response = try await ServerFixture.run(configuration) { fixture in
      let client = try await fixture.connect()
      client.sendRaw(Array("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n".utf8), answers: .post)
      fixture.loop.spawn { shard in
        for _ in 0..<8 {
          client.socket.write([97])
          try? await shard.loop.sleep(for: .milliseconds(20))
        }
      }
      return try await client.receive(deadline: fixture.soon)
    }
    #expect(response.text == "POST / aaaaaaaa")
  }

  @Test("a client that does not read is cut off after the write stall time")
  func stalledReader() async throws {
    var configuration = short()
    configuration.writeStallMax = .milliseconds(100)
    let observer = RecordingObserver()
    let body = [UInt8](repeating: 5, count: 32 << 20)
    try await ServerFixture.run(
      configuration, observer: observer,
      handler: { _ in .response(.bytes(.ok, body, type: "application/octet-stream")) }
    ) { fixture in
      let client = try await fixture.connect()
      try client.send(.get, "/")
      for _ in 0..<200 where observer.seen.closed == 0 {
        try await fixture.loop.sleep(for: .milliseconds(20))
      }
      client.close()
    }
    #expect(observer.seen.closed == 1)
  }

  @Test("a connection beyond the bound gets 503 with Retry-After, a place that is free is given again")
  func connectionBound() async throws {
    var configuration = HTTPServer.Configuration()
    configuration.connectionsMax = 1
    configuration.lingerMax = .milliseconds(100)
    let (first, refused, later) = try await ServerFixture.run(configuration) { fixture in
      let client = try await fixture.connect()
      let first = try await client.request(.get, "/1", deadline: fixture.soon).status
      let refused = try await fixture.exchange("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
      client.close()
      while fixture.server.connectionCount > 0 { try await fixture.loop.sleep(for: .milliseconds(5)) }
      let next = try await fixture.connect()
      return (first, refused, try await next.request(.get, "/3", deadline: fixture.soon).status)
    }
    #expect(first == .ok && later == .ok)
    #expect(refused?.hasPrefix("HTTP/1.1 503 ") == true)
    #expect(refused?.contains("\r\nRetry-After: 2\r\n") == true)
  }

  @Test("bodies that would not fit into the memory for bodies get 503")
  func bodyMemory() async throws {
    var configuration = HTTPServer.Configuration()
    configuration.bufferedBodyBytesMax = 1000
    configuration.lingerMax = .milliseconds(100)
    let (held, refused, heldLater) = try await ServerFixture.run(configuration) { fixture in
      let head = { (bytes: Int) in "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \(bytes)\r\n\r\n" }
      let slow = try await fixture.connect()
      slow.sendRaw(Array((head(800) + String(repeating: "a", count: 700)).utf8), answers: .post)
      while fixture.server.bufferedBodyBytes < 700 { try await fixture.loop.sleep(for: .milliseconds(5)) }
      let refused = try await fixture.exchange(head(400) + String(repeating: "b", count: 400))
      slow.socket.write([UInt8](repeating: 97, count: 100))
      let held = try await slow.receive(deadline: fixture.soon).status
      let later = try await slow.request(
        .post, "/", body: [UInt8](repeating: 97, count: 1000), deadline: fixture.soon)
      return (held, refused, later.status)
    }
    #expect(held == .ok && heldLater == .ok)
    #expect(refused?.hasPrefix("HTTP/1.1 503 ") == true)
  }

  @Test("a drain closes idle connections, finishes the others, and refuses new ones")
  func drain() async throws {
    let started = Box(false)
    let loop = Box<EventLoop?>(nil)
    let (busy, idleEnd, isRefused, count) = try await ServerFixture.run(
      handler: { request in
        if request.path == "/slow", let loop = loop.value {
          started.value = true
          try? await loop.sleep(for: .milliseconds(150))
        }
        return .response(.text(.ok, request.path))
      }
    ) { fixture in
      loop.value = fixture.loop
      let idle = try await fixture.connect()
      _ = try await idle.request(.get, "/", deadline: fixture.soon)
      let busy = try await fixture.connect()
      try busy.send(.get, "/slow")
      while !started.value { try await fixture.loop.sleep(for: .milliseconds(5)) }
      let count = Box(-1)
      fixture.loop.spawn { shard in
        await fixture.server.drain(deadline: shard.loop.now + .seconds(5))
        count.value = fixture.server.connectionCount
      }
      let idleEnd = await fixture.readToEnd(idle.socket)
      let isRefused = (try? await fixture.connect()) == nil
      let response = try await busy.receive(deadline: fixture.soon)
      busy.close()
      for _ in 0..<1000 where count.value < 0 { try await fixture.loop.sleep(for: .milliseconds(5)) }
      return (response, idleEnd, isRefused, count.value)
    }
    #expect(busy.text == "/slow" && busy.head.keepAlive == false)
    #expect(idleEnd == "")
    #expect(isRefused)
    #expect(count == 0)
  }

  @Test("a drain ends at its deadline")
  func drainDeadline() async throws {
    let elapsed = try await ServerFixture.run(
      handler: { _ in
        .upgrade(.empty(.switchingProtocols, headers: ["Connection": "Upgrade", "Upgrade": "x"])) {
          socket, _ in
          var buffer = ByteBuffer()
          while (try? await socket.read(into: &buffer)) ?? 0 > 0 {}
        }
      }
    ) { fixture in
      let client = try await fixture.connect()
      _ = try await client.request(.get, "/", deadline: fixture.soon)
      let start = LoopInstant.current()
      await fixture.server.drain(deadline: fixture.loop.now + .milliseconds(100))
      _ = await fixture.readToEnd(client.socket)
      return LoopInstant.current() - start
    }
    #expect(elapsed >= .milliseconds(95) && elapsed < .seconds(5))
  }
}
