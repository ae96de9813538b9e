import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import SocketIOWire
import Testing
import WebSocketWire

@testable import SocketIOServer

/// What the server sends of itself, and what it makes of the answers.
@Suite("Sending")
struct SendingTests {
  private static func frame(_ event: String) -> SocketIOFrame { SocketIOFrame(event: event, json: []) }

  @Test("A broadcast leaves out those who are excepted, one by one and by room, and other namespaces")
  func exceptions() async throws {
    let texts = try await SocketIOFixture.run { fixture in
      let plain = try await fixture.joined()
      let named = try await fixture.joined()
      let one = try #require(fixture.application.socket)
      let roomed = try await fixture.joined()
      fixture.application.socket?.join("quiet")
      roomed.send(text: "40/custom,")
      _ = await fixture.text(roomed)
      _ = await fixture.text(roomed)
      fixture.server.emit(to: "all", Self.frame("a"), except: one, exceptRooms: ["other", "quiet"])
      fixture.server.emit(to: "all", Self.frame("b"), exceptRooms: ["none"])
      fixture.server.emit(to: "all", SocketIOFrame(event: "c", json: [], namespace: "/custom"))
      var texts: [[String?]] = []
      for (connection, count) in [(plain, 2), (named, 1), (roomed, 2)] {
        var seen: [String?] = []
        for _ in 0..<count { seen.append(await fixture.text(connection)) }
        texts.append(seen)
      }
      return texts
    }
    #expect(texts == [[#"42["a"]"#, #"42["b"]"#], [#"42["b"]"#], [#"42["b"]"#, #"42/custom,["c"]"#]])
  }

  @Test("What is volatile leaves at once or not at all")
  func volatile() async throws {
    let (polled, socketText) = try await SocketIOFixture.run { fixture in
      let http = try await fixture.http()
      let id = try await fixture.openPolling(http)
      _ = try await fixture.post(http, id, "40")
      _ = try await fixture.get(http, id)
      // No poll is held: it cannot leave.
      fixture.server.emit(to: "all", Self.frame("lost"), isVolatile: true)
      try http.send(.get, fixture.target("polling", id))
      try await fixture.loop.sleep(for: .milliseconds(20))
      fixture.server.emit(to: "all", Self.frame("held"), isVolatile: true)
      let polled = try await http.receive(deadline: fixture.soon).text
      let connection = try await fixture.joined()
      fixture.server.emit(to: "all", Self.frame("first"), isVolatile: true)
      // Behind the first, which has not left in this turn.
      fixture.server.emit(to: "all", Self.frame("second"), isVolatile: true)
      fixture.server.emit(to: "all", Self.frame("third"))
      return (polled, [await fixture.text(connection), await fixture.text(connection)])
    }
    #expect(polled == #"42["held"]"#)
    #expect(socketText == [#"42["first"]"#, #"42["third"]"#])
  }

  @Test("An answer comes with its bytes, in time or not at all, and one that is late does no harm")
  func answers() async throws {
    let (answer, late, after, gone) = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.joined()
      let socket = try #require(fixture.application.socket)
      let loop = fixture.loop
      let ask = { @Sendable (timeout: Duration) in
        Task {
          await withTaskExecutorPreference(loop) { () -> Result<SocketIOAnswer, SocketIOAnswerError> in
            do throws(SocketIOAnswerError) {
              return .success(try await socket.request(event: "q", json: [], timeout: timeout))
            } catch {
              return .failure(error)
            }
          }
        }
      }
      let first = ask(.seconds(10))
      _ = await fixture.text(connection)
      connection.send(text: #"461-0[1,{"_placeholder":true,"num":0}]"#)
      connection.send(.binary([1, 2]))
      let answer = await first.value
      let second = ask(.milliseconds(20))
      _ = await fixture.text(connection)
      let late = await second.value
      connection.send(text: "431[2]")
      connection.send(text: #"42["message",1]"#)
      let after = await fixture.text(connection)
      let third = ask(.seconds(10))
      _ = await fixture.text(connection)
      connection.send(text: "41")
      return (answer, late, after, await third.value)
    }
    #expect(
      answer
        == .success(
          SocketIOAnswer(
            arguments: [Array("1".utf8), Array(#"{"_placeholder":true,"num":0}"#.utf8)],
            attachments: [[1, 2]])))
    #expect(late == .failure(.timedOut))
    #expect(after == #"42["message-back",1]"#)
    #expect(gone == .failure(.disconnected))
  }

  @Test(
    "A placeholder that stands for no attachment breaks the protocol",
    arguments: [
      #"451-["message",{"_placeholder":true,"num":1}]"#, #"451-["message",{"_placeholder":true,"num":-1}]"#,
      #"451-["message",{"a":[{"_placeholder":true}]}]"#, #"451-["message",{"_placeholder":true,"num":"0"}]"#,
      #"461-0[{"_placeholder":true,"num":1}]"#,
    ])
  func placeholders(text: String) async throws {
    let end = try await SocketIOFixture.run { fixture in
      let connection = try await fixture.joined()
      connection.send(text: text)
      connection.send(.binary([1]))
      while await connection.receive() != nil {}
      return connection.end
    }
    #expect(end == .closedByPeer(WebSocketClose(.protocolError)))
  }

  @Test("A client that has left its namespaces and joins none is closed")
  func leftAlone() async throws {
    let texts = try await SocketIOFixture.run({
      $0.connectTimeout = .milliseconds(100)
      $0.pingInterval = .milliseconds(200)
    }) { fixture in
      let connection = try await fixture.joined()
      connection.send(text: "41")
      var texts: [String] = []
      while let text = await fixture.text(connection) {
        texts.append(text)
        if text == "2" { connection.send(text: "3") }
        if texts.count > 5 { break }
      }
      return texts
    }
    #expect(texts.last == "1")
  }
}
