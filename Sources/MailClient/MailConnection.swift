import Bytes
import EventLoop
import MailWire

/// A connection to a mail server: bytes in both directions, TLS, deadlines. It belongs to one task on its
/// loop. When that task is cancelled the connection closes, and what it waits for throws `.closed`.
final class MailConnection {
  private static let pieceBytes = 65_536
  private static let queuedBytesMax = 524_288

  let loop: EventLoop
  private let socket: Socket
  private let server: MailServer
  /// What came and is not parsed yet.
  var buffer = ByteBuffer()

  private init(_ socket: Socket, _ server: MailServer) {
    self.socket = socket
    self.server = server
    loop = socket.loop
  }

  var isClosed: Bool { socket.isClosed }

  /// Connects to the first address that answers, with TLS where that is implicit.
  static func open(
    _ server: MailServer, on loop: EventLoop, blocking: BlockingPool, deadline: LoopInstant
  ) async throws(SocketError) -> MailConnection {
    loop.assertInLoop()
    let addresses = try await HostNames.resolve(server.host, port: server.port, blocking)
    var failure = SocketError.resolution(server.host)
    for address in addresses.prefix(8) {
      let socket: Socket
      do throws(SocketError) {
        socket = try await Socket.connect(to: address, on: loop, deadline: deadline)
      } catch {
        failure = error
        continue
      }
      let connection = MailConnection(socket, server)
      if server.security == .implicitTLS { try await connection.startTLS(deadline: deadline) }
      return connection
    }
    throw failure
  }

  func close() {
    socket.close()
  }

  /// Closes from any thread.
  func abandon() {
    let socket = socket
    loop.execute { if !socket.isClosed { socket.close() } }
  }

  /// Takes no more, sends what is queued, and closes.
  func closeAfterFlush() {
    socket.closeAfterFlush(deadline: loop.now + .seconds(2))
  }

  /// Appends what comes next to `buffer`. - Returns: false when the server has closed its side.
  func read(
    deadline: LoopInstant, isolation: isolated (any Actor)? = #isolation
  ) async throws(SocketError) -> Bool {
    let socket = socket
    var incoming = buffer
    buffer = ByteBuffer()
    let result = await withTaskCancellationHandler {
      _ = isolation
      return await Self.result { () async throws(SocketError) in
        try await socket.read(into: &incoming, deadline: deadline)
      }
    } onCancel: {
      socket.loop.execute { socket.close() }
    }
    buffer = incoming
    return try result.get() > 0
  }

  /// Writes, with back-pressure; what is small is only queued.
  func write(
    _ bytes: [UInt8], deadline: LoopInstant, isolation: isolated (any Actor)? = #isolation
  ) async throws(SocketError) {
    guard bytes.count > Self.pieceBytes else { return socket.write(bytes) }
    for start in stride(from: 0, to: bytes.count, by: Self.pieceBytes) {
      socket.write(Array(bytes[start..<min(start + Self.pieceBytes, bytes.count)]))
      try await drain(below: Self.queuedBytesMax, deadline: deadline)
    }
  }

  /// Waits until the kernel has taken all but `bytes`.
  func drain(
    below bytes: Int, deadline: LoopInstant, isolation: isolated (any Actor)? = #isolation
  ) async throws(SocketError) {
    let socket = socket
    let result = await withTaskCancellationHandler {
      _ = isolation
      return await Self.result { () async throws(SocketError) in
        try await socket.drain(below: bytes, deadline: deadline)
      }
    } onCancel: {
      socket.loop.execute { socket.close() }
    }
    try result.get()
  }

  /// Runs the handshake.
  /// - Throws: `.tls` too when bytes came before it: somebody put them in (RFC 9051 section 11.1).
  func startTLS(
    deadline: LoopInstant, isolation: isolated (any Actor)? = #isolation
  ) async throws(SocketError) {
    let socket = socket
    guard let context = server.tls else { throw .tls("no certificates to trust are configured") }
    guard buffer.isEmpty else {
      socket.close()
      throw .tls("the server spoke before the handshake")
    }
    let name = server.certificateName ?? server.host
    let result = await withTaskCancellationHandler {
      _ = isolation
      return await Self.result { () async throws(SocketError) in
        try await socket.startTLS(context, serverName: name, deadline: deadline)
      }
    } onCancel: {
      socket.loop.execute { socket.close() }
    }
    if case .failure = result { socket.close() }
    try result.get()
  }

  private static func result<T>(
    _ body: () async throws(SocketError) -> T, isolation: isolated (any Actor)? = #isolation
  ) async -> Result<T, SocketError> {
    do throws(SocketError) {
      return .success(try await body())
    } catch {
      return .failure(error)
    }
  }
}
