import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: connections") struct ReuseTests {
  @Test("uses one connection for one request after another")
  func reuse() async throws {
    let opened = Box(0)
    let (texts, statistics) = try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        opened.value = peer.number
        while try await peer.hear() != nil { peer.say(Peer.ok) }
      }
      var texts: [String] = []
      for _ in 0..<5 { texts.append(try await fixture.client.send(.get(url)).text) }
      return (texts, await fixture.client.statistics)
    }
    #expect(texts == Array(repeating: "ok", count: 5))
    #expect(opened.value == 1)
    #expect(statistics.connections == 1)
    #expect(statistics.idle == 1)
    #expect(statistics.running == 0)
  }

  @Test("a call from another loop or none is served too")
  func otherLoop() async throws {
    let other = try EventLoop(name: "other")
    defer { other.shutDown() }
    let (there, nowhere) = try await ClientFixture.run { fixture in
      let url = try fixture.serve { _ in .response(.text(.ok, "here")) }
      let request = try HTTPClientRequest.get(url)
      let there = try await other.shard.run { shard in
        let response = try await fixture.client.send(request)
        shard.loop.assertInLoop()
        return response.text
      }
      let nowhere = Task { try await fixture.client.send(request).text }
      return (there, try await nowhere.value)
    }
    #expect(there == "here")
    #expect(nowhere == "here")
  }

  @Test("opens no more connections to an origin than it may; the others wait their turn")
  func bound() async throws {
    let opened = Box(0)
    let answers = try await ClientFixture.run(configure: { $0.connectionsPerOriginMax = 2 }) { fixture in
      let url = try fixture.serveRaw { peer, shard in
        opened.change { $0 = max($0, peer.number) }
        while try await peer.hear() != nil {
          try await shard.loop.sleep(for: .milliseconds(5))
          peer.say(Peer.ok)
        }
      }
      return try await withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<12 { group.addTask { try await fixture.client.send(.get(url)).text } }
        var answers = 0
        for try await text in group where text == "ok" { answers += 1 }
        return answers
      }
    }
    #expect(answers == 12)
    #expect(opened.value == 2)
  }

  @Test("long polls have connections outside of the bound")
  func longLived() async throws {
    let (quick, polls) = try await ClientFixture.run(configure: { $0.connectionsPerOriginMax = 1 }) {
      fixture in
      let release = Box(false)
      let url = try fixture.serveRaw { peer, shard in
        while let text = try await peer.hear() {
          while text.contains("/poll") && !release.value { try await shard.loop.sleep(for: .milliseconds(5)) }
          peer.say(Peer.ok)
        }
      }
      let poll = try HTTPClientRequest.get("\(url)/poll") { $0.isLongLived = true }
      var polls: [Task<String, any Error>] = []
      for _ in 0..<4 {
        polls.append(Task(executorPreference: fixture.loop) { try await fixture.client.send(poll).text })
      }
      try await fixture.until { await fixture.client.statistics.connections == 4 }
      let quick = try await fixture.client.send(.get(url)).text
      release.value = true
      var texts: [String] = []
      for poll in polls { texts.append(try await poll.value) }
      return (quick, texts)
    }
    #expect(quick == "ok")
    #expect(polls == Array(repeating: "ok", count: 4))
  }

  @Test("who waits too long, or behind too many, has sent nothing")
  func waiting() async throws {
    let (late, full, heard) = try await ClientFixture.run(configure: {
      $0.connectionsPerOriginMax = 1
      $0.waitersPerOriginMax = 1
      $0.waitMax = .milliseconds(50)
    }) { fixture in
      let heard = Box(0)
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        while try await peer.hear() != nil { heard.change { $0 += 1 } }
      }
      let held = Task(executorPreference: fixture.loop) {
        try await fixture.client.send(.get(url) { $0.timeout = .seconds(1) })
      }
      try await fixture.until { heard.value == 1 }
      let waiting = Task(executorPreference: fixture.loop) { try await fixture.client.send(.post(url)) }
      try await fixture.until { await fixture.client.statistics.waiting == 1 }
      let full = await fixture.error(try .post(url))
      let late = await waiting.result
      held.cancel()
      return (late, full, heard.value)
    }
    #expect(throws: HTTPClientError.notSent(.timedOut(.waiting))) { try late.get() }
    #expect(full == .notSent(.queueFull))
    #expect(heard == 1)
  }

  @Test("an idle connection that the server closes is forgotten at once")
  func serverClosesIdle() async throws {
    let (before, texts) = try await ClientFixture.run { fixture in
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        try await peer.sayAndClose(Peer.ok)
      }
      let first = try await fixture.client.send(.post(url)).text
      let before = await fixture.client.statistics.connections
      try await fixture.until { await fixture.client.statistics.connections == 0 }
      return (before, [first, try await fixture.client.send(.post(url)).text])
    }
    #expect(before <= 1)
    #expect(texts == ["ok", "ok"])
  }

  @Test("idle connections are closed after a while, and the oldest when there are too many")
  func idleBounds() async throws {
    let (kept, later) = try await ClientFixture.run(configure: {
      $0.idleConnectionsMax = 2
      $0.idleMax = .milliseconds(60)
    }) { fixture in
      for _ in 0..<5 {
        let url = try fixture.serve { _ in .response(.text(.ok, "")) }
        _ = try await fixture.client.send(.get(url))
      }
      let kept = await fixture.client.statistics
      try await fixture.until { await fixture.client.statistics.connections == 0 }
      return (kept, await fixture.client.statistics)
    }
    #expect(kept.idle == 2)
    #expect(kept.connections == 2)
    #expect(later.idle == 0)
  }

  @Test("a kept connection that dies under a GET is replaced; under a POST the caller is told")
  func diesOnReuse() async throws {
    let (get, post, heard) = try await ClientFixture.run { fixture in
      let heard = Box<[String]>([])
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        peer.say(Peer.ok)
        // The second request over a connection gets no answer.
        guard let text = try await peer.hear() else { return }
        heard.change { $0.append(String(text.prefix(4))) }
      }
      _ = try await fixture.client.send(.get(url))
      let get = await fixture.outcome(try .get(url))
      let post = await fixture.outcome(try .post(url))
      return (get, post, heard.value)
    }
    #expect(try get.get().text == "ok")
    #expect(throws: HTTPClientError.unanswered(.connectionClosed)) { try post.get() }
    #expect(heard == ["GET ", "POST"])
  }

  @Test("bytes behind an answer end the connection and are nobody's answer")
  func garbage() async throws {
    let (texts, opened) = try await ClientFixture.run { fixture in
      let opened = Box(0)
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        opened.value = peer.number
        try await peer.hear()
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
        await peer.waitForEnd()
      }
      var texts: [String] = []
      for _ in 0..<2 { texts.append(try await fixture.client.send(.get(url)).text) }
      return (texts, opened.value)
    }
    #expect(texts == ["a", "a"])
    #expect(opened == 2)
  }

  @Test("closing the client ends what runs and refuses what comes")
  func close() async throws {
    let (running, later) = try await ClientFixture.run { fixture in
      let heard = Box(false)
      let url = try fixture.serveRaw { peer, shard in
        shard.loop.assertInLoop()
        try await peer.hear()
        heard.value = true
        await peer.waitForEnd()
      }
      let running = Task(executorPreference: fixture.loop) { try await fixture.client.send(.get(url)) }
      try await fixture.until { heard.value }
      await fixture.client.close()
      return (await running.result, await fixture.error(try .get(url)))
    }
    #expect(throws: HTTPClientError.unanswered(.clientClosed)) { try running.get() }
    #expect(later == .notSent(.clientClosed))
  }
}
