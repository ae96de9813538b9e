import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Synchronization
import Testing
import WebSocketWire

@Suite("WebSocketConnection")
struct WebSocketConnectionTests {
  /// What the server's side saw, and how it ended.
  private final class Seen: Sendable {
    private let state = Mutex<(messages: [WebSocketMessage], end: WebSocketConnection.End?)>(([], nil))

    var messages: [WebSocketMessage] { state.withLock { $0.messages } }
    var end: WebSocketConnection.End? { state.withLock { $0.end } }

    func add(_ message: WebSocketMessage) { state.withLock { $0.messages.append(message) } }
    func finish(_ end: WebSocketConnection.End?) { state.withLock { $0.end = end } }
  }

  /// Runs an echo server and gives `body` a raw socket behind the handshake; returns what the server saw.
  private func run(
    _ configuration: WebSocketConnection.Configuration,
    _ body: @escaping @Sendable (Socket) async throws -> Void
  ) async throws -> (messages: [WebSocketMessage], end: WebSocketConnection.End?) {
    let loop = try EventLoop(name: "ws-test")
    defer { loop.shutDown() }
    let seen = Seen()
    let http = HTTPServer(loop: loop) { request in
      guard case .success(let head) = WebSocketHandshake.answer(for: request, allowedOrigins: .any) else {
        return .response(.empty(.badRequest))
      }
      return .upgrade(head) { socket, leftover in
        let connection = WebSocketConnection(socket: socket, leftover: leftover, configuration: configuration)
        while let message = await connection.receive() {
          seen.add(message)
          connection.send(message)
        }
        seen.finish(connection.end)
      }
    }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    http.listen(listener)
    let address = listener.address
    try await loop.shard.run { shard in
      shard.assertIsolated()
      let client = try await HTTPClientConnection.connect(
        to: address, on: loop, deadline: loop.now + .seconds(10))
      _ = try await client.request(
        .get, "/",
        headers: [
          "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
          "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ], deadline: loop.now + .seconds(10))
      try await body(client.socket)
      for _ in 0..<1_000 where seen.end == nil { try await loop.sleep(for: .milliseconds(5)) }
    }
    return (seen.messages, seen.end)
  }

  /// Reads exactly `count` bytes.
  private static func read(_ socket: Socket, _ count: Int) async throws -> [UInt8] {
    var buffer = ByteBuffer()
    while buffer.count < count {
      guard try await socket.read(into: &buffer, deadline: socket.loop.now + .seconds(10)) > 0 else { break }
    }
    return buffer.readAll()
  }

  private static func frame(_ opcode: WebSocketOpcode, _ text: String) -> [UInt8] {
    FrameWriter.frame(opcode, Array(text.utf8), maskKey: 0x0a0b_0c0d)
  }

  @Test("Echo, ping, and the peer's close with its answer")
  func echo() async throws {
    let seen = try await run(WebSocketConnection.Configuration()) { socket in
      socket.write(Self.frame(.text, "hé") + Self.frame(.ping, "p"))
      let expected = FrameWriter.frame(.text, Array("hé".utf8)) + FrameWriter.frame(.pong, Array("p".utf8))
      let answer = try await Self.read(socket, expected.count)
      #expect(answer == expected)
      socket.write(FrameWriter.close(WebSocketClose(.goingAway, "bye"), maskKey: 1))
      let close = try await Self.read(socket, 4)
      #expect(close == FrameWriter.close(WebSocketClose(.goingAway)))
      socket.close()
    }
    #expect(seen.messages == [.text(Array("hé".utf8))])
    #expect(seen.end == .closedByPeer(WebSocketClose(.goingAway, "bye")))
  }

  @Test("A fault is answered with its close code even when more is on its way")
  func fault() async throws {
    let configuration = WebSocketConnection.Configuration(limits: WebSocketLimits(messageBytesMax: 10))
    let seen = try await run(configuration) { socket in
      socket.write(Self.frame(.text, String(repeating: "x", count: 500_000)))
      let close = try await Self.read(socket, 4)
      #expect(close == FrameWriter.close(WebSocketClose(.messageTooBig)))
      socket.close()
    }
    #expect(seen.end == .fault(.messageTooLarge(limitBytes: 10)))
  }

  @Test("Silence is pinged; a pong keeps the connection, none ends it")
  func heartbeat() async throws {
    let configuration = WebSocketConnection.Configuration(
      pingInterval: .milliseconds(30), pongTimeout: .milliseconds(60))
    let seen = try await run(configuration) { socket in
      for _ in 0..<2 {
        let ping = try await Self.read(socket, 2)
        #expect(ping == [0x89, 0])
        socket.write(Self.frame(.pong, ""))
      }
      let last = try await Self.read(socket, 2)
      #expect(last == [0x89, 0])
    }
    #expect(seen.end == .pongMissing)
  }

  @Test("A connection that is cut, and a peer that does not read, end with the reason")
  func lost() async throws {
    let cut = try await run(WebSocketConnection.Configuration()) { socket in socket.close() }
    #expect(cut.end == .lost(nil))
    let slow = try await run(WebSocketConnection.Configuration(queueBytesMax: 100_000)) { socket in
      // Never reads: the kernel's buffers fill, then the bound is met.
      let part = Self.frame(.text, String(repeating: "y", count: 90_000))
      for _ in 0..<200 where !socket.isClosed {
        socket.write(part)
        do throws(SocketError) {
          try await socket.drain(below: 0, deadline: socket.loop.now + .seconds(5))
        } catch {
          return
        }
      }
    }
    #expect(slow.end == .slow)
  }
}
