import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing
import WebSocketWire

@Suite("A WebSocket on a connection")
struct WebSocketConnectionTests {
  private static let frugal = PerMessageDeflate.negotiate(offers: ["permessage-deflate"])
  private static let kept = PerMessageDeflate.negotiate(
    offers: ["permessage-deflate"], policy: .asOffered)

  /// Runs `body` on the client's side of a connection whose other side runs `serve`.
  private static func connect<R: Sendable>(
    _ agreed: PerMessageDeflate? = nil, limits: WebSocketLimits = WebSocketLimits(),
    serve: @escaping @Sendable (WebSocketConnection) async -> Void,
    _ body: @escaping @Sendable (WebSocketConnection) async -> R
  ) async throws -> R {
    let configuration = WebSocketConnection.Configuration(limits: limits, pingInterval: nil)
    let handler: HTTPHandler = { _ in
      .upgrade(.empty(.switchingProtocols)) { socket, leftover in
        await serve(
          WebSocketConnection(
            socket: socket, leftover: leftover, configuration: configuration, deflate: agreed))
      }
    }
    return try await ServerFixture.run(handler: handler) { fixture in
      let socket = try await Socket.connect(to: fixture.address, on: fixture.loop, deadline: fixture.soon)
      defer { socket.close() }
      socket.write(Array("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".utf8))
      var buffer = ByteBuffer()
      while !String(decoding: buffer.readable, as: UTF8.self).contains("\r\n\r\n") {
        _ = try await socket.read(into: &buffer, deadline: fixture.soon)
      }
      // The first message may have come with the head.
      let received = Array(buffer.readable)
      let headEnd = received.indices.first { received[$0...].starts(with: Array("\r\n\r\n".utf8)) } ?? 0
      let leftover = ByteBuffer(Array(received[(headEnd + 4)...]))
      return await body(
        WebSocketConnection(
          socket: socket, leftover: leftover, deflate: agreed, maskKeys: { 0x0102_0304 }))
    }
  }

  private static func echo(_ connection: WebSocketConnection) async {
    while let message = await connection.receive() {
      connection.send(message)
      await connection.drain(below: 1 << 20, within: .seconds(10))
    }
  }

  @Test("Messages come back as they are, with and without compression", arguments: [nil, frugal, kept])
  func echoes(agreed: PerMessageDeflate?) async throws {
    let messages: [WebSocketMessage] = [
      .text(Array("Grüße 👋".utf8)), .binary([]), .binary([UInt8](repeating: 7, count: 200_000)),
      .text(Array(String(repeating: "again and ", count: 500).utf8)),
      .text(Array(String(repeating: "again and ", count: 500).utf8)),
    ]
    let answers = try await Self.connect(agreed, serve: Self.echo) { client in
      var answers: [WebSocketMessage] = []
      for message in messages {
        client.send(message)
        if let answer = await client.receive() { answers.append(answer) }
      }
      client.close()
      let rest = await client.receive()
      return answers + (rest.map { [$0] } ?? [])
    }
    #expect(answers == messages)
  }

  @Test("A compressed message over the limit is refused with 1009 before it is inflated whole")
  func bomb() async throws {
    let limits = WebSocketLimits(messageBytesMax: 10_000)
    let end = try await Self.connect(Self.frugal, limits: limits, serve: Self.echo) { client in
      client.send(.binary([UInt8](repeating: 0, count: 1_000_000)))
      _ = await client.receive()
      return client.end
    }
    #expect(end == .closedByPeer(WebSocketClose(.messageTooBig)))
  }

  @Test("A shared message is made and compressed once, and each connection gets the form it agreed on")
  func shared() async throws {
    let made = Box(0)
    let bytes = Array(String(repeating: "to all, ", count: 300).utf8)
    let message = SharedMessage(
      {
        made.value += 1
        return .text(bytes)
      }())
    #expect(made.value == 0)
    let plain = message.frame(for: nil)
    let compressed = message.frame(for: Self.frugal)
    #expect(plain == FrameWriter.frame(.text, bytes))
    #expect(compressed.count < plain.count / 10)
    #expect(message.frame(for: Self.kept) == plain)
    let same = message.frame(for: Self.frugal)
    #expect(same.withUnsafeBufferPointer(\.baseAddress) == compressed.withUnsafeBufferPointer(\.baseAddress))
    #expect(made.value == 1)
    for agreed in [nil, Self.frugal, Self.kept] {
      let received = try await Self.connect(
        agreed,
        serve: { connection in
          connection.send(message)
          _ = await connection.receive()
        },
        { client in await client.receive() })
      #expect(received == .text(bytes))
    }
  }

  @Test("What is small, or no shorter for it, is not compressed")
  func notCompressed() {
    let small = SharedMessage(.text(Array(String(repeating: "x", count: 500).utf8)))
    #expect(small.frame(for: Self.frugal) == small.frame(for: nil))
    let noise = SharedMessage(.binary((0..<2_000).map { _ in UInt8.random(in: 0...255) }))
    #expect(noise.frame(for: Self.frugal) == noise.frame(for: nil))
  }
}
