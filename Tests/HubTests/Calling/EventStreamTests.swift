import Bytes
import EventLoop
import JSON
import Messaging
import Platforms
import Testing

@testable import Hub

@Suite("Streams of events") struct EventStreamTests {
  private static let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

  private static func request(_ url: String) -> APIRequest {
    var request = APIRequest("GET", url, timeoutSeconds: 20)
    request.isLongLived = true
    return request
  }

  @Test("what comes is given as one answer, and the stream stays open for the next")
  func events() async throws {
    let answers = try await CallingFixture.run { fixture in
      let url = try fixture.serve { socket, _ in
        socket.say(Self.head + ":\n\nevent: receive\ndata: {\"a\":1}\n\nevent: receive\ndata: x\ndata: y\n\n")
        try await socket.loop.sleep(for: .milliseconds(50))
        socket.say("data: later\n\n")
        await socket.waitForEnd()
      }
      let stream = EventStream(Self.request(url), fixture.caller)
      let first = try await stream.answer(until: fixture.loop.now + .seconds(10))
      let second = try await stream.answer(until: fixture.loop.now + .seconds(10))
      let nothing = try await stream.answer(until: fixture.loop.now + .milliseconds(20))
      let atOnce = try await stream.answer(until: fixture.loop.now)
      await stream.close()
      return [first, second, nothing, atOnce]
    }
    #expect(
      answers.map(\.json) == [
        [["event": "receive", "data": "{\"a\":1}"], ["event": "receive", "data": "x\ny"]],
        [["event": "message", "data": "later"]], [], [],
      ])
  }

  @Test("a server that refuses says why, and one that leaves is a fault once everything was given")
  func ends() async throws {
    let (refused, last, fault) = try await CallingFixture.run { fixture in
      let refusing = try fixture.serve { socket, _ in
        socket.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
      }
      let refused = try await EventStream(Self.request(refusing), fixture.caller)
        .answer(until: fixture.loop.now + .seconds(10))
      let leaving = try fixture.serve { socket, _ in
        socket.say(Self.head + "data: last\n\n")
        try await socket.drain(below: 0)
        socket.closeAfterFlush(deadline: socket.loop.now + .seconds(2))
      }
      let stream = EventStream(Self.request(leaving), fixture.caller)
      let last = try await stream.answer(until: fixture.loop.now + .seconds(10))
      var fault: CallFault?
      do throws(CallFault) {
        _ = try await stream.answer(until: fixture.loop.now + .seconds(10))
      } catch {
        fault = error
      }
      return (refused, last, fault)
    }
    #expect(refused.status == 400 && refused.body == Array("no".utf8))
    #expect(last.json == [["event": "message", "data": "last"]])
    guard case .unanswered? = fault else {
      Issue.record("\(String(describing: fault))")
      return
    }
  }

  @Test("more than is kept holds the server up, and nothing is lost")
  func bounds() async throws {
    let count = 3_000
    let found = try await CallingFixture.run { fixture in
      let url = try fixture.serve { socket, _ in
        socket.say(Self.head + (0..<count).map { "data: \($0)\n\n" }.joined())
        await socket.waitForEnd()
      }
      let stream = EventStream(Self.request(url), fixture.caller)
      var found: [String] = []
      while found.count < count {
        let answer = try await stream.answer(until: fixture.loop.now + .seconds(5))
        let events = answer.json?.array ?? []
        guard !events.isEmpty else { break }
        found += events.compactMap { $0["data"]?.string }
      }
      await stream.close()
      return found
    }
    #expect(found == (0..<count).map { "\($0)" })
  }

  @Test("a platform's pages come out of its stream, and closing ends it")
  func pages() async throws {
    let texts = try await CallingFixture.run { fixture in
      let url = try fixture.serve { socket, request in
        guard request.hasPrefix("GET /api/v1/events?account=%2B49151 ") else { return }
        let envelope = { (time: Int, text: String) in
          "event: receive\ndata: {\"envelope\":{\"sourceUuid\":\"u\",\"timestamp\":\(time),"
            + "\"dataMessage\":{\"timestamp\":\(time),\"message\":\"\(text)\"}},\"account\":\"+49151\"}\n\n"
        }
        socket.say(Self.head + envelope(1_795_219_190_123, "one"))
        try await socket.loop.sleep(for: .milliseconds(30))
        socket.say(envelope(1_795_219_190_124, "two"))
        await socket.waitForEnd()
      }
      let platform = try #require(PlatformCatalogue.named("signal") as? any PollingPlatform)
      let pages = CallPages(platform: platform, caller: fixture.caller)
      var texts: [String?] = []
      for _ in 0..<2 {
        let job = PollJob(
          secrets: AccountSecrets(["server": [url], "number": ["+49151"], "interface": ["daemon"]]),
          now: Timestamp(seconds: 1_795_219_200))
        let found = try await pages.page(job, until: fixture.loop.now + .seconds(10))
        texts += found.page.content.items.map { item in
          if case .message(let message) = item { message.text } else { nil }
        }
        guard found.page.hasMore else { break }
      }
      await pages.close()
      return texts
    }
    #expect(texts == ["one", "two"])
  }
}
