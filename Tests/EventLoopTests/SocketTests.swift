import Bytes
import Foundation
import Synchronization
import Testing

@testable import EventLoop

@Suite("Sockets")
struct SocketTests {
  private static func echo(_ socket: Socket) async {
    var buffer = ByteBuffer()
    do {
      while try await socket.read(into: &buffer) > 0 {
        socket.write(buffer.readAll())
        try await socket.drain(below: 65_536)
      }
    } catch {}
  }

  func withEcho<R: Sendable>(
    _ body: @escaping @Sendable (Socket) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "echo")
    defer { loop.shutDown() }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    listener.accept { socket, shard in
      await Self.echo(socket)
      shard.loop.assertInLoop()
    }
    return try await loop.shard.run { shard in
      let socket = try await Socket.connect(to: listener.address, on: shard.loop)
      defer { socket.close() }
      return try await body(socket)
    }
  }

  /// How one read ends, on the socket's own loop: a closure given to `#expect` would leave it.
  private func readError(_ socket: Socket, within limit: Duration) async -> SocketError? {
    var buffer = ByteBuffer()
    do {
      _ = try await socket.read(into: &buffer, deadline: socket.loop.now + limit)
      return nil
    } catch {
      return error
    }
  }

  @Test("carries megabytes both ways through back-pressure")
  func megabytes() async throws {
    let received = try await withEcho { socket in
      let chunk = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      var received = ByteBuffer()
      for _ in 0..<64 {
        socket.write(chunk)
        try await socket.drain(below: 1 << 20)
      }
      while received.count < 64 * 65_536 { _ = try await socket.read(into: &received) }
      return received.readAll()
    }
    #expect(received.count == 64 * 65_536)
    #expect(received.prefix(65_536) == received.suffix(65_536))
  }

  @Test("a read times out at its deadline and the socket stays usable")
  func readDeadline() async throws {
    let text = try await withEcho { socket in
      var buffer = ByteBuffer()
      #expect(await readError(socket, within: .milliseconds(20)) == .timedOut)
      socket.write(Array("still here".utf8))
      _ = try await socket.read(into: &buffer, deadline: socket.loop.now + .seconds(5))
      return String(decoding: buffer.readable, as: UTF8.self)
    }
    #expect(text == "still here")
  }

  @Test("a deadline that moves later does not fire early")
  func movingDeadline() async throws {
    try await withEcho { socket in
      var buffer = ByteBuffer()
      socket.write([1])
      _ = try await socket.read(into: &buffer, deadline: socket.loop.now + .milliseconds(30))
      let start = LoopInstant.current()
      #expect(await readError(socket, within: .milliseconds(80)) == .timedOut)
      #expect(LoopInstant.current() - start >= .milliseconds(75))
    }
  }

  @Test("a peer that does not read is cut off at the bound")
  func overflow() async throws {
    let loop = try EventLoop(name: "overflow")
    defer { loop.shutDown() }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    listener.accept { socket, shard in
      socket.queueBytesMax = 1 << 20
      let chunk = [UInt8](repeating: 7, count: 65_536)
      for _ in 0..<1_000 where !socket.isClosed {
        socket.write(chunk)
        try? await shard.loop.sleep(for: .zero)
      }
    }
    let end = try await loop.shard.run { shard -> SocketError? in
      let socket = try await Socket.connect(to: listener.address, on: shard.loop)
      try await shard.loop.sleep(for: .milliseconds(300))
      var buffer = ByteBuffer()
      do {
        while try await socket.read(into: &buffer, deadline: shard.loop.now + .seconds(5)) > 0 {
          buffer.consume(buffer.count)
        }
        return nil
      } catch {
        return error as? SocketError
      }
    }
    #expect(end != .timedOut)
  }

  @Test("a close wakes a suspended read")
  func closeWakesReader() async throws {
    try await withEcho { socket in
      socket.loop.schedule(after: .milliseconds(10)) { socket.close() }
      #expect(await readError(socket, within: .seconds(5)) == .closed)
    }
  }

  @Test("a refused connection says so")
  func refused() async throws {
    let loop = try EventLoop(name: "refused")
    defer { loop.shutDown() }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    let address = listener.address
    listener.close()
    await loop.shard.run { shard in _ = shard }
    await #expect(throws: SocketError.self) {
      _ = try await loop.shard.run { shard in
        try await Socket.connect(to: address, on: shard.loop, deadline: shard.loop.now + .seconds(5))
      }
    }
  }

  @Test("speaks TLS both ways, large writes and the end of the stream included")
  func tls() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "hub-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let certificate = folder.appending(path: "cert.pem").path
    let key = folder.appending(path: "key.pem").path
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    openssl.arguments = [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
      certificate,
    ]
    openssl.standardError = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    let server = try TLSContext(serverCertificate: certificate, key: key)
    let client = try TLSContext(clientTrusting: certificate)

    let loop = try EventLoop(name: "tls")
    defer { loop.shutDown() }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    listener.accept { socket, shard in
      guard (try? await socket.startTLS(server)) != nil else { return }
      await Self.echo(socket)
      socket.closeAfterFlush(deadline: shard.loop.now + .seconds(2))
      try? await socket.drain(below: 0)
    }
    let count = try await loop.shard.run { shard -> Int in
      let socket = try await Socket.connect(to: listener.address, on: shard.loop)
      try await socket.startTLS(client, serverName: "localhost", deadline: shard.loop.now + .seconds(5))
      let message = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
      socket.write(message)
      var buffer = ByteBuffer()
      while buffer.count < message.count {
        guard try await socket.read(into: &buffer, deadline: shard.loop.now + .seconds(5)) > 0 else { break }
      }
      #expect(buffer.readAll() == message)
      socket.shutdownAfterFlush()
      var rest = ByteBuffer()
      return try await socket.read(into: &rest, deadline: shard.loop.now + .seconds(5))
    }
    #expect(count == 0)
  }

  @Test("reads and writes numeric addresses, and no names")
  func addresses() throws {
    #expect(SocketAddress(host: "127.0.0.1", port: 80)?.description == "127.0.0.1:80")
    #expect(SocketAddress(host: "::1", port: 80)?.description == "[::1]:80")
    #expect(SocketAddress(host: "localhost", port: 80) == nil)
  }
}
