import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import SocketIOWire
import Testing
import WebSocketWire

@testable import SocketIOServer

@Suite("SocketIOServer")
struct SocketIOServerTests {
  @Test("Polling: handshake, joining, an event and its answer")
  func polling() async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      var texts = [try await fixture.post(http, id, "40").text]
      texts.append(try await fixture.get(http, id).text)
      texts.append(
        try await fixture.post(
          http, id, #"42["message",1,{"a":[2]}]"# + "\u{1e}" + #"427["message-with-ack",3]"#
        ).text)
      texts.append(try await fixture.get(http, id).text)
      return texts
    }
    #expect(texts[0] == "ok")
    let connected = texts[1].split(separator: "\u{1e}")
    #expect(connected.count == 2)
    #expect(connected.first?.hasPrefix(#"40{"sid":""#) == true)
    #expect(connected.last == #"42["auth",{}]"#)
    #expect(texts[2...] == ["ok", #"42["message-back",1,{"a":[2]}]"# + "\u{1e}" + "437[3]"])
  }

  @Test("A held poll is answered as soon as there is something")
  func heldPoll() async throws {
    let text = try await SocketIOFixture.run { fixture in
      let polls = try await fixture.http()
      let posts = try await fixture.http()
      let id = try await fixture.openPolling(polls)
      _ = try await fixture.post(posts, id, "40")
      _ = try await fixture.get(polls, id)
      try polls.send(.get, fixture.target("polling", id))
      try await fixture.loop.sleep(for: .milliseconds(20))
      fixture.server.emit(to: "all", SocketIOFrame(event: "hi", json: Array("1,2".utf8)))
      return try await polls.receive(deadline: fixture.soon).text
    }
    #expect(text == #"42["hi",1,2]"#)
  }

  @Test("An answer to a poll holds at most sixteen packets, in order")
  func batches() async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      _ = try await fixture.post(http, id, "40")
      _ = try await fixture.get(http, id)
      _ = try await fixture.post(http, id, #"42["many"]"#)
      var texts: [String] = []
      for _ in 0..<3 { texts.append(try await fixture.get(http, id).text) }
      return texts
    }
    let counts = texts.map { $0.split(separator: "\u{1e}").count }
    #expect(counts == [16, 16, 8])
    #expect(
      texts.joined(separator: "\u{1e}").split(separator: "\u{1e}").map(String.init)
        == (0..<40).map { "42[\"n\",\($0)]" })
  }

  @Test("WebSocket: joining, an event, an acknowledgement, a namespace, leaving")
  func webSocket() async throws {
    let (texts, log) = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.opened()
      var texts: [String?] = [await fixture.text(connection)]
      for sent in [
        #"40{"token":"t"}"#, #"42["message","é"]"#, #"425["message-with-ack",1,"2"]"#, "40/custom,",
        "41/custom,",
        #"42["message",2]"#, #"40/nope,"#, #"42["leave"]"#,
      ] { connection.send(text: sent) }
      for _ in 0..<9 { texts.append(await fixture.text(connection)) }
      connection.close()
      _ = await connection.receive()
      try await fixture.until { fixture.server.connectionCount == 0 }
      return (texts.map { $0 ?? "" }, fixture.application.log)
    }
    #expect(texts[0].hasPrefix(#"0{"sid":""#))
    #expect(
      texts[0].hasSuffix(#","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#))
    #expect(texts[1].hasPrefix(#"40{"sid":""#))
    #expect(texts[2...4] == [#"42["auth",{"token":"t"}]"#, #"42["message-back","é"]"#, #"435[1,"2"]"#])
    #expect(texts[5].hasPrefix(#"40/custom,{"sid":""#))
    #expect(
      texts[6...] == [
        #"42/custom,["auth",{}]"#, #"42["message-back",2]"#, #"44/nope,{"message":"Invalid namespace"}"#,
        "41",
      ])
    #expect(
      log == [
        "connect /", "event message", "event message-with-ack", "connect /custom",
        "disconnected /custom client namespace disconnect", "event message", "event leave",
        "disconnected / server namespace disconnect",
      ])
  }

  @Test("Upgrade with a held poll and packets in flight: nothing is lost or doubled")
  func upgrade() async throws {
    let (texts, after) = try await SocketIOFixture.run { fixture in
      let polls = try await fixture.http()
      let posts = try await fixture.http()
      let id = try await fixture.openPolling(polls)
      _ = try await fixture.post(posts, id, "40")
      _ = try await fixture.get(polls, id)
      try polls.send(.get, fixture.target("polling", id))
      let connection = try await fixture.opened(id)
      connection.send(text: "2probe")
      var texts = [try await polls.receive(deadline: fixture.soon).text, await fixture.text(connection)]
      // Queued between the probe and the upgrade: it moves over, before what follows.
      fixture.server.emit(to: "all", SocketIOFrame(event: "between", json: []))
      connection.send(text: "5")
      connection.send(text: #"42["message",1]"#)
      texts.append(await fixture.text(connection))
      texts.append(await fixture.text(connection))
      let poll = try await fixture.get(polls, id)
      let second = try await fixture.opened(id)
      let isOver = await second.receive() == nil
      connection.send(text: #"42["message",2]"#)
      texts.append(await fixture.text(connection))
      return (texts, [poll.status.code, isOver ? 0 : 1])
    }
    #expect(
      texts == ["6", "3probe", #"42["between"]"#, #"42["message-back",1]"#, #"42["message-back",2]"#])
    #expect(after == [400, 0])
  }

  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let method: HTTPMethod
    let target: String
    let json: String
  }

  @Test(
    "Requests that are refused get the original's codes",
    arguments: [
      Refusal(
        testDescription: "no transport", method: .get, target: "?EIO=4",
        json: #"{"code":0,"message":"Transport unknown"}"#),
      Refusal(
        testDescription: "strange transport", method: .get, target: "?EIO=4&transport=x",
        json: #"{"code":0,"message":"Transport unknown"}"#),
      Refusal(
        testDescription: "unknown session", method: .get, target: "?EIO=4&transport=polling&sid=x",
        json: #"{"code":1,"message":"Session ID unknown"}"#),
      Refusal(
        testDescription: "handshake by POST", method: .post, target: "?EIO=4&transport=polling",
        json: #"{"code":2,"message":"Bad handshake method"}"#),
      Refusal(
        testDescription: "WebSocket without upgrade", method: .get, target: "?EIO=4&transport=websocket",
        json: #"{"code":3,"message":"Bad request"}"#),
      Refusal(
        testDescription: "no version", method: .get, target: "?transport=polling",
        json: #"{"code":5,"message":"Unsupported protocol version"}"#),
      Refusal(
        testDescription: "version 3, which is off", method: .get, target: "?EIO=3&transport=polling",
        json: #"{"code":5,"message":"Unsupported protocol version"}"#),
    ])
  func refusals(_ refusal: Refusal) async throws {
    let answer = try await SocketIOFixture.run({ $0.allowsRevision3 = false }) { fixture in
      let http = try await fixture.http()
      return try await http.request(refusal.method, "/socket.io/" + refusal.target, deadline: fixture.soon)
    }
    #expect(answer.status == .badRequest)
    #expect(answer.text == refusal.json)
  }

  @Test("Origins: the listed and the own pass with CORS headers, others are refused on both transports")
  func origins() async throws {
    let result = try await SocketIOFixture.run({ $0.allowedOrigins = .list(["https://good.example"]) }) {
      fixture in
      let http = try await fixture.http()
      let good = try await fixture.get(http, "", headers: ["Origin": "https://good.example"])
      let bad = try await fixture.get(http, "", headers: ["Origin": "https://bad.example"])
      let own = try await fixture.get(http, "", headers: ["Origin": "http://\(fixture.address)"])
      let goodSocket = try await fixture.webSocket(headers: ["Origin": "https://good.example"])
      let badSocket = try await fixture.webSocket(headers: ["Origin": "https://bad.example"])
      let preflight = try await http.request(
        .options, fixture.target("polling", ""),
        headers: ["Origin": "https://good.example", "Access-Control-Request-Method": "POST"],
        deadline: fixture.soon)
      return (good, bad, own, [goodSocket != nil, badSocket != nil], preflight)
    }
    #expect(result.0.status == .ok)
    #expect(result.0.headers["access-control-allow-origin"] == "https://good.example")
    #expect(result.0.headers.all("vary") == ["Origin"])
    #expect(result.1.status == .forbidden)
    #expect(result.1.text == #"{"code":4,"message":"Forbidden"}"#)
    #expect(result.2.status == .ok)
    #expect(result.3 == [true, false])
    #expect(result.4.status == .noContent)
    #expect(result.4.headers["access-control-allow-methods"] == "GET, POST")
  }

  @Test(
    "A client that breaks the protocol is closed, and its socket told",
    arguments: [
      "abc", "4abc", "42{}", #"42abc["x"]"#, "42[1]", #"42["connect"]"#, #"42["x",]"#, "40", "2", "",
      #"42/other,["x"]"#,
      #"4511-["x"]"#, "44{}",
    ])
  func violations(text: String) async throws {
    let (end, log) = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.joined()
      connection.send(text: text)
      let next = await connection.receive()
      try await fixture.until { fixture.application.log.count == 2 }
      return (next == nil ? connection.end : nil, fixture.application.log)
    }
    #expect(end == .closedByPeer(WebSocketClose(.protocolError)))
    #expect(log == ["connect /", "disconnected / parse error"])
  }

  @Test("A refused connection gets the message and the data, and may try again")
  func connectError() async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.opened()
      _ = await connection.receive()
      connection.send(text: #"40{"token":"bad"}"#)
      let refusal = await fixture.text(connection)
      connection.send(text: "40")
      return [refusal, await fixture.text(connection)]
    }
    #expect(texts[0] == #"44{"message":"no \"entry\"","data":{"code":7}}"#)
    #expect(texts[1]?.hasPrefix("40{") == true)
  }

  @Test("Heartbeat: pings come, and a client without pongs is dropped in time")
  func heartbeat() async throws {
    let (texts, log, elapsed) = try await SocketIOFixture.run({
      $0.pingInterval = .milliseconds(100)
      $0.pingTimeout = .milliseconds(100)
    }) { fixture in
      let connection = try await fixture.joined()
      let start = fixture.loop.now
      var texts = [await fixture.text(connection)]
      connection.send(text: "3")
      texts.append(await fixture.text(connection))
      texts.append(await fixture.text(connection))
      let elapsed = fixture.loop.now - start
      try await fixture.until { fixture.application.log.count == 2 }
      return (texts, fixture.application.log, elapsed)
    }
    #expect(texts == ["2", "2", nil])
    #expect(log.last == "disconnected / ping timeout")
    #expect(elapsed > .milliseconds(200))
    #expect(elapsed < .seconds(3))
  }

  @Test("A client that joins no namespace is closed")
  func connectTimeout() async throws {
    let texts = try await SocketIOFixture.run({ $0.connectTimeout = .milliseconds(50) }) { fixture in
      let connection = try await fixture.opened()
      var texts: [String?] = []
      for _ in 0..<3 { texts.append(await fixture.text(connection)) }
      return texts
    }
    #expect(texts[0]?.hasPrefix("0{") == true)
    #expect(texts[1...] == ["1", nil])
  }

  @Test("A client that does not read is dropped as slow, on both transports, and others are not")
  func slow() async throws {
    let (log, counts) = try await SocketIOFixture.run({ $0.queueBytesMax = 100_000 }) { fixture in
      let stuck = try await fixture.joined()
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      _ = try await fixture.post(http, id, "40")
      let healthy = try await fixture.joined()
      let frame = SocketIOFrame(event: "x", json: Array("\"\(String(repeating: "y", count: 50_000))\"".utf8))
      var received = 0
      // The kernel takes some megabytes for the one that does not read before its queue grows.
      for _ in 0..<400 {
        fixture.server.emit(to: "all", frame)
        if await healthy.receive() != nil { received += 1 }
      }
      let left = fixture.server.connectionCount
      try await fixture.until { fixture.application.log.count == 5 }
      withExtendedLifetime(stuck) {}
      return (fixture.application.log, [received, left])
    }
    #expect(counts == [400, 1])
    #expect(log.filter { $0 == "disconnected / slow client" }.count == 2)
  }

  @Test("Rooms: join, leave, except, and gone with their sockets")
  func rooms() async throws {
    let result = try await SocketIOFixture.run { fixture in
      let first = try await fixture.joined()
      let second = try await fixture.joined()
      let server = fixture.server
      first.send(text: #"42["join"]"#)
      try await fixture.until { server.sockets(in: "other").count == 1 }
      let joined = try #require(server.sockets(in: "other").first)
      server.emit(to: "other", SocketIOFrame(event: "a", json: []))
      server.emit(to: "all", SocketIOFrame(event: "b", json: []), except: joined)
      joined.leave("other")
      server.emit(to: "other", SocketIOFrame(event: "c", json: []))
      server.emit(to: "all", SocketIOFrame(event: "d", json: []))
      var texts: [String?] = []
      for connection in [first, first, second, second] { texts.append(await fixture.text(connection)) }
      let before = server.sockets(in: "all").count
      first.close()
      _ = await first.receive()
      try await fixture.until { server.sockets(in: "all").count == 1 }
      return (texts, [before, server.sockets(in: "all").count, server.sockets(in: "other").count])
    }
    #expect(result.0 == [#"42["a"]"#, #"42["d"]"#, #"42["b"]"#, #"42["d"]"#])
    #expect(result.1 == [2, 1, 0])
  }

  @Test("Disconnecting over polling lets the last words arrive")
  func lastWords() async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      _ = try await fixture.post(http, id, "40")
      _ = try await fixture.get(http, id)
      _ = try await fixture.post(http, id, #"42["message",1]"# + "\u{1e}" + #"42["leave-all"]"#)
      let last = try await fixture.get(http, id).text
      return [last, try await fixture.get(http, id).text]
    }
    #expect(texts[0] == #"42["message-back",1]"# + "\u{1e}41\u{1e}1")
    #expect(texts[1] == #"{"code":1,"message":"Session ID unknown"}"#)
  }

  @Test("Closing the server: clients are told, new ones refused")
  func closing() async throws {
    let (end, status, log) = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.joined()
      await fixture.server.close(within: .milliseconds(10))
      while await connection.receive() != nil {}
      let http = try await fixture.http()
      let status = try await fixture.get(http, "").status
      try await fixture.until { fixture.application.log.count == 2 }
      return (connection.end, status, fixture.application.log)
    }
    #expect(end == .closedByPeer(WebSocketClose(.goingAway)))
    #expect(status == .serviceUnavailable)
    #expect(log.last == "disconnected / server shutting down")
  }

  @Test("Two polls at once end the session; a second WebSocket for one is closed, and the first stays")
  func duplicates() async throws {
    let result = try await SocketIOFixture.run { fixture in
      let first = try await fixture.http()
      let second = try await fixture.http()
      let id = try await fixture.openPolling(first)
      let probe = try await fixture.opened(id)
      let other = try await fixture.opened(id)
      let otherEnd = await fixture.text(other)
      try first.send(.get, fixture.target("polling", id))
      try await fixture.loop.sleep(for: .milliseconds(20))
      let refused = try await fixture.get(second, id)
      let held = try await first.receive(deadline: fixture.soon)
      let gone = try await fixture.get(second, id)
      withExtendedLifetime(probe) {}
      return (otherEnd, [refused.status.code, gone.status.code], held.text)
    }
    #expect(result.0 == nil)
    #expect(result.1 == [400, 400])
    #expect(result.2 == "1")
  }

  @Test(
    "A session lives on its home loop: polls, POSTs and the upgrade that land elsewhere are brought there")
  func foreignShard() async throws {
    let home = try EventLoop(name: "sio-home")
    defer { home.shutDown() }
    var configuration = SocketIOConfiguration()
    configuration.homeShard = 1
    let application = EchoApplication()
    let homeServer = SocketIOServer(loop: home, configuration: configuration, application: application)
    let forward: @Sendable (UInt8, HTTPRequest) async -> HTTPAnswer = { shard, request in
      guard shard == 1 else { return .response(.empty(.notFound)) }
      return await home.shard.run { shard in
        shard.assertIsolated()
        return await homeServer.handle(request)
      }
    }
    // The handshake is answered at home, all else arrives on the other loop.
    let opened = await forward(
      1, HTTPRequest(head: HTTPRequestHead(target: "/socket.io/?EIO=4&transport=polling")))
    guard case .response(let response) = opened else {
      Issue.record("no handshake")
      return
    }
    let open = String(decoding: response.body.bytes, as: UTF8.self)
    let texts = try await SocketIOFixture.run({ $0.forward = forward }) { fixture in
      let id = fixture.sessionID(in: open)
      let http = try await fixture.http()
      var texts: [String?] = [try await fixture.post(http, id, "40").text]
      texts.append(try await fixture.get(http, id).text)
      let connection = try await fixture.opened(id)
      connection.send(text: "2probe")
      texts.append(await fixture.text(connection))
      connection.send(text: "5")
      connection.send(text: #"42["message",1]"#)
      texts.append(await fixture.text(connection))
      connection.close()
      _ = await connection.receive()
      try await fixture.until { application.log.count == 3 }
      return texts
    }
    #expect(texts[0] == "ok")
    #expect(texts[1]?.hasSuffix(#"42["auth",{}]"#) == true)
    #expect(texts[2...] == ["3probe", #"42["message-back",1]"#])
    #expect(application.log == ["connect /", "event message", "disconnected / transport close"])
  }
}
