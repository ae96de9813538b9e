import EventLoop
import Glibc
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: time and cancellation") struct TimeoutTests {
  private static let limit = Duration.milliseconds(80)

  /// How a POST with little time ends against a script, and how a cancelled one does.
  private func outcomes(
    _ path: String = "", _ script: @escaping ClientFixture.Script
  ) async throws -> (HTTPClientError?, HTTPClientError?) {
    try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw(script) + path
      let late = await fixture.error(try .post(url) { $0.timeout = Self.limit })
      let task = Task(executorPreference: fixture.loop) { await fixture.error(try .post(url)) }
      try await fixture.loop.sleep(for: Self.limit)
      task.cancel()
      return (late, try await task.value)
    }
  }

  @Test("a server that does not answer leaves the request unanswered")
  func silent() async throws {
    let (late, cancelled) = try await outcomes { peer, shard in
      shard.loop.assertInLoop()
      await peer.waitForEnd()
    }
    #expect(late == .unanswered(.timedOut))
    #expect(cancelled == .unanswered(.cancelled))
  }

  @Test("an answer that drips is cut off at the deadline")
  func drip() async throws {
    let (late, cancelled) = try await outcomes { peer, shard in
      try await peer.hear()
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
      for _ in 0..<1_000 where !peer.socket.isClosed {
        peer.say("x")
        try await shard.loop.sleep(for: .milliseconds(5))
      }
    }
    #expect(late == .unanswered(.timedOut))
    #expect(cancelled == .unanswered(.cancelled))
  }

  @Test("a TLS handshake that does not go on has sent nothing")
  func handshake() async throws {
    let (late, cancelled) = try await ClientFixture.run { fixture in
      let plain = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        await peer.waitForEnd()
      }
      let url = "https" + plain.dropFirst(4)
      let late = await fixture.error(try .post(url) { $0.timeout = Self.limit })
      let task = Task(executorPreference: fixture.loop) { await fixture.error(try .post(url)) }
      try await fixture.loop.sleep(for: Self.limit)
      task.cancel()
      return (late, try await task.value)
    }
    #expect(late == .notSent(.timedOut(.securing)))
    #expect(cancelled == .notSent(.cancelled))
  }

  @Test("a name that takes too long to resolve has sent nothing, and nobody else waits for it twice")
  func resolving() async throws {
    let loop = try EventLoop(name: "resolve-test")
    defer { loop.shutDown() }
    let asked = Box(0)
    let isReleased = Box(false)
    defer { isReleased.value = true }
    let configuration = HTTPClient.Configuration(tls: try TLSContext(clientTrusting: nil))
    let client = HTTPClient(loop: loop, blocking: BlockingPool(), configuration: configuration) { _ in
      asked.change { $0 += 1 }
      // The lookup stands for a name server that does not answer.
      for _ in 0..<2_000 where !isReleased.value { _ = poll(nil, 0, 5) }
      return []
    }
    let request = try HTTPClientRequest.post("http://slow.test/") { $0.timeout = Self.limit }
    let calls = (0..<2).map { _ in Task(executorPreference: loop) { try await client.send(request) } }
    for call in calls {
      let outcome = await call.result
      #expect(throws: HTTPClientError.notSent(.timedOut(.resolving))) { try outcome.get() }
    }
    let cancelled = Task(executorPreference: loop) { try await client.send(.post("http://slow.test/")) }
    cancelled.cancel()
    let outcome = await cancelled.result
    #expect(throws: HTTPClientError.notSent(.cancelled)) { try outcome.get() }
    #expect(asked.value == 1)
  }

  @Test("what cannot be reached has sent nothing")
  func unreachable() async throws {
    let (refused, unknown) = try await ClientFixture.run { fixture in
      let listener = try Listener.bind(
        try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: fixture.loop)
      let address = listener.address
      listener.close()
      try await fixture.loop.sleep(for: .milliseconds(1))
      return (
        await fixture.error(try .post("http://\(address)/")), await fixture.error(try .post("http://a.test/"))
      )
    }
    guard case .notSent(.connectFailed) = refused else {
      Issue.record("\(String(describing: refused))")
      return
    }
    #expect(unknown == .notSent(.nameNotResolved))
  }

  @Test("the next address of a name is tried when one does not answer")
  func nextAddress() async throws {
    let text = try await ClientFixture.run(names: ["two.test": ["::1", "127.0.0.1"]]) { fixture in
      let url = try fixture.serve { _ in .response(.text(.ok, "found")) }
      let port = url.split(separator: ":").last ?? ""
      return try await fixture.client.send(.get("http://two.test:\(port)/")).text
    }
    #expect(text == "found")
  }

  @Test("a request that is cancelled while it waits for a connection leaves the queue")
  func cancelledWaiting() async throws {
    let (outcome, waiting) = try await ClientFixture.run(configure: { $0.connectionsPerOriginMax = 1 }) {
      fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        await peer.waitForEnd()
      }
      let held = Task(executorPreference: fixture.loop) { try await fixture.client.send(.get(url)) }
      try await fixture.until { await fixture.client.statistics.connections == 1 }
      let task = Task(executorPreference: fixture.loop) { await fixture.error(try .post(url)) }
      try await fixture.until { await fixture.client.statistics.waiting == 1 }
      task.cancel()
      let outcome = try await task.value
      held.cancel()
      return (outcome, await fixture.client.statistics.waiting)
    }
    #expect(outcome == .notSent(.cancelled))
    #expect(waiting == 0)
  }

  @Test("a task that is cancelled beforehand sends nothing")
  func cancelledBefore() async throws {
    let error = try await ClientFixture.run { fixture in
      let url = try fixture.serve { _ in .response(.text(.ok, "")) }
      let task = Task(executorPreference: fixture.loop) { () async throws -> HTTPClientError? in
        while !Task.isCancelled { await Task.yield() }
        return await fixture.error(try .post(url))
      }
      task.cancel()
      return try await task.value
    }
    #expect(error == .notSent(.cancelled))
  }
}
