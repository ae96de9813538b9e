import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import SocketIOWire
import Testing
import WebSocketWire

@testable import SocketIOServer

/// What the transports do, whatever stands on them.
@Suite("EngineIOServer")
struct EngineIOServerTests {
  @Test("What another shard answers is passed on as it is; a shard that is not there has no sessions")
  func otherShards() async throws {
    let home = try EventLoop(name: "sio-home")
    defer { home.shutDown() }
    var configuration = SocketIOConfiguration()
    configuration.homeShard = 1
    configuration.allowedOrigins = .any
    let homeServer = SocketIOServer(
      loop: home, configuration: configuration, application: EchoApplication())
    let forward: @Sendable (UInt8, HTTPRequest) async -> HTTPAnswer? = { shard, request in
      guard shard == 1 else { return nil }
      return await home.shard.run { shard in
        shard.assertIsolated()
        return await homeServer.handle(request)
      }
    }
    let opened = await forward(
      1, HTTPRequest(head: HTTPRequestHead(target: "/socket.io/?EIO=4&transport=polling")))
    guard case .response(let response) = opened else {
      Issue.record("no handshake")
      return
    }
    let open = String(decoding: response.body.bytes, as: UTF8.self)
    let adjust = { @Sendable (configuration: inout SocketIOConfiguration) in
      configuration.allowedOrigins = .any
      configuration.forward = forward
    }
    let (known, unknown) = try await SocketIOFixture.run(adjust) { fixture in
      let http = try await fixture.http()
      let origin: HTTPHeaders = ["Origin": "https://a.example"]
      let known = try await http.request(
        .post, fixture.target("polling", fixture.sessionID(in: open)), headers: origin,
        body: Array("40".utf8), deadline: fixture.soon)
      // The first byte of an id is its shard.
      let unknown = try await fixture.get(http, "zzzzzzzzzzzzzzzzzzzzzw", headers: origin)
      return (known, unknown)
    }
    #expect(known.text == "ok")
    for answer in [known, unknown] {
      #expect(answer.headers.all("access-control-allow-origin") == ["https://a.example"])
      #expect(answer.headers.all("access-control-allow-credentials") == ["true"])
      #expect(answer.headers.all("vary") == ["Origin"])
    }
    #expect(unknown.status == .badRequest)
    #expect(unknown.text == #"{"code":1,"message":"Session ID unknown"}"#)
  }

  @Test(
    "A probe that says something else is closed, and polling goes on",
    arguments: ["2other", "5", "4x", "b"])
  func wrongProbe(text: String) async throws {
    let (end, posted) = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      let probe = try await fixture.opened(id)
      probe.send(text: text)
      let end = await fixture.text(probe)
      return (end, try await fixture.post(http, id, "40").text)
    }
    #expect(end == nil)
    #expect(posted == "ok")
  }

  @Test("An upgrade that takes too long is closed, and polling goes on")
  func upgradeTimeout() async throws {
    let adjust = { @Sendable (configuration: inout SocketIOConfiguration) in
      configuration.upgradeTimeout = .milliseconds(50)
    }
    let (texts, posted) = try await SocketIOFixture.run(adjust) { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      let probe = try await fixture.opened(id)
      probe.send(text: "2probe")
      let texts = [await fixture.text(probe), await fixture.text(probe)]
      return (texts, try await fixture.post(http, id, "40").text)
    }
    #expect(texts == ["3probe", nil])
    #expect(posted == "ok")
  }

  @Test("The time of an upgrade that failed is not that of the next one")
  func secondUpgrade() async throws {
    let texts = try await SocketIOFixture.run({ $0.upgradeTimeout = .seconds(2) }) { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      let first = try await fixture.opened(id)
      first.send(text: "2other")
      var texts = [await fixture.text(first)]
      try await fixture.loop.sleep(for: .milliseconds(1_500))
      let second = try await fixture.opened(id)
      // Past the first one's time, within the second one's.
      try await fixture.loop.sleep(for: .seconds(1))
      second.send(text: "2probe")
      texts.append(await fixture.text(second))
      return texts
    }
    #expect(texts == [nil, "3probe"])
  }

  @Test("The cookie of a session comes with its handshake, and with nothing else")
  func cookie() async throws {
    let answers = try await SocketIOFixture.run({ configuration in
      var cookie = SocketIOCookie()
      cookie.name = "io"
      cookie.sameSite = "None"
      cookie.isSecure = true
      configuration.cookie = cookie
    }) { fixture in
      let http = try await fixture.http()
      let opened = try await fixture.get(http, "")
      let id = fixture.sessionID(in: opened.text)
      let posted = try await fixture.post(http, id, "40")
      return (opened.headers.all("set-cookie"), id, posted.headers.all("set-cookie"))
    }
    #expect(answers.0 == ["io=\(answers.1); Path=/; HttpOnly; SameSite=None; Secure"])
    #expect(answers.2 == [])
  }

  struct Form: CustomTestStringConvertible {
    let revision: Int
    let prefix: String
    var testDescription: String { "revision \(revision)" }
  }

  @Test(
    "A WebSocket whose client takes no bytes gets binary as base64, and may send it so",
    arguments: [Form(revision: 4, prefix: "b"), Form(revision: 3, prefix: "b4")])
  func textOnly(form: Form) async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let opened = try await http.request(
        .get, fixture.target("polling", "", revision: form.revision), deadline: fixture.soon
      ).text
      let upgraded = try await fixture.opened(
        fixture.sessionID(in: opened), revision: form.revision, more: "&b64=1")
      upgraded.send(text: "2probe")
      _ = await fixture.text(upgraded)
      upgraded.send(text: "5")
      let direct = try await fixture.opened(revision: form.revision, more: "&b64=1")
      _ = await fixture.text(direct)
      var texts: [[String]] = []
      for connection in [upgraded, direct] {
        if form.revision == 4 { connection.send(text: "40") }
        connection.send(text: #"451-["message",{"_placeholder":true,"num":0}]"#)
        connection.send(text: form.prefix + "AQL/")
        var seen: [String] = []
        while let message = await connection.receive() {
          guard case .text(let text) = message else {
            seen.append("bytes")
            break
          }
          seen.append(String(decoding: text, as: UTF8.self))
          if seen.last?.hasPrefix("b") == true { break }
        }
        texts.append(Array(seen.suffix(2)))
      }
      return texts
    }
    let expected = [#"451-["message-back",{"_placeholder":true,"num":0}]"#, form.prefix + "AQL/"]
    #expect(texts == [expected, expected])
  }

  @Test("A longer message than announced is refused on both transports; a poll's session lives on")
  func tooLong() async throws {
    let (statuses, end) = try await SocketIOFixture.run({ $0.payloadBytesMax = 1_000 }) { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      let long = try await fixture.post(http, id, "4" + String(repeating: "x", count: 1_000))
      let joined = try await fixture.post(http, id, "40")
      let connection = try await fixture.joined()
      connection.send(text: "4" + String(repeating: "x", count: 1_000))
      while await connection.receive() != nil {}
      return ([long.status, joined.status], connection.end)
    }
    #expect(statuses == [.contentTooLarge, .ok])
    #expect(end == .closedByPeer(WebSocketClose(.messageTooBig)))
  }
}
