package import Bytes
package import EventLoop
package import WebSocketWire

/// A WebSocket on a socket: runs `WebSocketStateMachine` over what arrives, and writes.
///
/// One task reads, in `receive`; anything on the loop may write. An idle connection is that one task
/// suspended in a read, with no buffer and no timer but the read's own deadline, which drives the
/// heartbeat. Pings are answered and the closing handshake is done inside `receive`, so somebody
/// must be reading.
package final class WebSocketConnection: @unchecked Sendable {
  // Safe because: confined to the socket's loop; the socket asserts it on every read and write.

  package struct Configuration: Sendable {
    package var limits: WebSocketLimits
    /// Silence after which a ping is sent. nil: no heartbeat.
    package var pingInterval: Duration?
    /// How long the peer may take to answer a ping.
    package var pongTimeout: Duration
    /// The most bytes that may wait to be sent; beyond it the connection is cut with `.slow`. See
    /// `QueueBound` for a frame that is larger by itself.
    package var queueBytesMax: Int
    /// How long the peer may take to end the connection once closing began.
    package var closeTimeout: Duration

    package init(
      limits: WebSocketLimits = WebSocketLimits(), pingInterval: Duration? = .seconds(25),
      pongTimeout: Duration = .seconds(20), queueBytesMax: Int = 1 << 20, closeTimeout: Duration = .seconds(2)
    ) {
      self.limits = limits
      self.pingInterval = pingInterval
      self.pongTimeout = pongTimeout
      self.queueBytesMax = queueBytesMax
      self.closeTimeout = closeTimeout
    }
  }

  /// Why a connection is over.
  package enum End: Sendable, Equatable {
    /// The peer sent a close frame first.
    case closedByPeer(WebSocketClose)
    /// We sent a close frame first; the peer's answer, or `.abnormal` when none came.
    case closedByUs(WebSocketClose)
    /// The peer broke the protocol or a limit.
    case fault(WebSocketFault)
    /// The connection was lost; nil: the peer ended it without a close frame.
    case lost(SocketError?)
    case pongMissing
    /// The peer did not read what was sent.
    case slow
  }

  private enum Heartbeat {
    case listening
    case awaitingPong
  }

  /// What was negotiated, and this side's half of it.
  private struct Compression {
    let agreed: PerMessageDeflate
    let deflater: MessageDeflater
    let inflater: MessageInflater

    init(_ agreed: PerMessageDeflate, isServer: Bool) {
      self.agreed = agreed
      let server = (agreed.serverMaxWindowBits ?? 15, !agreed.serverNoContextTakeover)
      let client = (agreed.clientMaxWindowBits ?? 15, !agreed.clientNoContextTakeover)
      let (ours, theirs) = isServer ? (server, client) : (client, server)
      deflater = MessageDeflater(windowBits: ours.0, keepsContext: ours.1)
      inflater = MessageInflater(windowBits: theirs.0, keepsContext: theirs.1)
    }
  }

  package let socket: Socket
  private let configuration: Configuration
  private let compression: Compression?
  private let maskKeys: (() -> UInt32)?
  private var machine: WebSocketStateMachine
  private var inbound: ByteBuffer
  private var heartbeat = Heartbeat.listening
  private var bound: QueueBound
  private static let controlBytesMax = 65_536

  /// Set once the connection is over or about to be.
  package private(set) var end: End?

  /// - Parameters:
  ///   - leftover: what came behind the handshake.
  ///   - deflate: what was negotiated; messages of its least length and more are then compressed.
  ///   - maskKeys: for the client's side: a new unpredictable key for each frame. nil: the server's side.
  package init(
    socket: Socket, leftover: ByteBuffer = ByteBuffer(), configuration: Configuration = Configuration(),
    deflate: PerMessageDeflate? = nil, maskKeys: (() -> UInt32)? = nil
  ) {
    self.socket = socket
    self.configuration = configuration
    let compression = deflate.map { Compression($0, isServer: maskKeys == nil) }
    self.compression = compression
    self.maskKeys = maskKeys
    bound = QueueBound(bytesMax: configuration.queueBytesMax)
    inbound = leftover
    machine = WebSocketStateMachine(
      role: maskKeys == nil ? .server : .client, limits: configuration.limits,
      inflater: compression?.inflater)
  }

  /// Bytes that wait to be sent.
  package var queuedBytes: Int { socket.queuedBytes }

  /// Whether messages may still be sent.
  package var isOpen: Bool { end == nil && machine.isOpen && !socket.isClosed }

  // MARK: Reading

  /// The next message. nil: the connection is over, `end` says why. One caller at a time.
  package func receive() async -> WebSocketMessage? {
    // Taken out, so that the suspended read works on memory that nobody else can touch.
    var buffer = inbound
    inbound = ByteBuffer()
    defer { inbound = buffer }
    while end == nil {
      switch machine.read(&buffer) {
      case .needMoreData: await readMore(into: &buffer)
      case .deliver(let message):
        heartbeat = .listening
        return message
      case .sendPong(let payload): write(frame(.pong, payload))
      case .pongReceived: heartbeat = .listening
      case .answerClose(let received, let reply):
        write(FrameWriter.close(reply, maskKey: maskKeys?()))
        end = .closedByPeer(received)
        await finish(&buffer)
      case .closeTransport(let received):
        end = .closedByUs(received)
        await finish(&buffer)
      case .fail(let fault, let close):
        if let close { write(FrameWriter.close(close, maskKey: maskKeys?())) }
        end = .fault(fault)
        await finish(&buffer)
      case .ignoreRest: socket.close()
      }
    }
    return nil
  }

  @inline(__always)
  private func readMore(into buffer: inout ByteBuffer) async {
    do throws(SocketError) {
      let count = try await socket.read(into: &buffer, deadline: readDeadline)
      if count == 0 {
        if end == nil { end = machine.isOpen ? .lost(nil) : .closedByUs(WebSocketClose(.abnormal)) }
        socket.close()
      }
    } catch .timedOut {
      deadlinePassed()
    } catch {
      guard end == nil else { return }
      if case .overflow = error {
        end = .slow
      } else {
        end = machine.isOpen ? .lost(error) : .closedByUs(WebSocketClose(.abnormal))
      }
    }
  }

  private var readDeadline: LoopInstant? {
    guard machine.isOpen, let interval = configuration.pingInterval else { return nil }
    return switch heartbeat {
    case .listening: socket.loop.now + interval
    case .awaitingPong: socket.loop.now + configuration.pongTimeout
    }
  }

  private func deadlinePassed() {
    switch heartbeat {
    case .listening:
      heartbeat = .awaitingPong
      write(frame(.ping, []))
    case .awaitingPong:
      end = .pongMissing
      socket.close()
    }
  }

  /// Sends the last frame, then waits for the peer to end: closing while bytes are still arriving
  /// would reset the connection and could take the close frame with it.
  private func finish(_ buffer: inout ByteBuffer) async {
    buffer.consume(buffer.count)
    socket.shutdownAfterFlush()
    let deadline = socket.loop.now + configuration.closeTimeout
    do throws(SocketError) {
      while try await socket.read(into: &buffer, deadline: deadline) > 0 { buffer.consume(buffer.count) }
    } catch {
      // It is over either way.
      buffer.consume(buffer.count)
    }
    socket.close()
  }

  // MARK: Writing

  /// Sends a whole message. Nothing happens once closing began.
  package func send(_ message: WebSocketMessage) {
    // What is not sent must not enter a context that is kept.
    guard isOpen else { return }
    let bytes = message.bytes
    if let compression, bytes.count >= compression.agreed.messageBytesMin,
      let compressed = compression.deflater.compress(bytes)
    {
      send(frame: FrameWriter.frame(message.opcode, compressed, isCompressed: true, maskKey: maskKeys?()))
    } else {
      send(frame: frame(message.opcode, bytes))
    }
  }

  /// Sends a message that many connections send. For the server's side.
  package func send(_ message: SharedMessage) {
    send(frame: message.frame(for: compression?.agreed))
  }

  package func send(text: String) { send(.text(Array(text.utf8))) }

  /// Sends a frame that was written before, shared by many connections. For the server's side.
  package func send(frame: [UInt8]) {
    guard isOpen else { return }
    let queuedBytes = socket.queuedBytes
    guard bound.admits(frame.count, queued: queuedBytes) else {
      end = .slow
      socket.close()
      return
    }
    // The socket's own bound is for what is written past this one: answers to pings and closes.
    let needed = queuedBytes + frame.count + Self.controlBytesMax
    if needed > socket.queueBytesMax { socket.queueBytesMax = needed }
    socket.write(frame)
  }

  /// Suspends while more than `bytes` wait to be sent, which is back-pressure for whoever answers what
  /// it receives. A peer that takes too little within `limit` is cut off.
  package func drain(below bytes: Int, within limit: Duration) async {
    guard socket.queuedBytes > bytes else { return }
    do throws(SocketError) {
      try await socket.drain(below: bytes, deadline: socket.loop.now + limit)
    } catch .timedOut {
      end = .slow
      socket.close()
    } catch {
      // Why the socket closed is found by the next read.
    }
  }

  package func ping(_ payload: [UInt8] = []) {
    send(frame: frame(.ping, payload))
  }

  /// Begins the closing handshake; `receive` ends it. What was sent before still goes out. The
  /// connection is cut when the peer does not answer in time.
  package func close(_ close: WebSocketClose = WebSocketClose(.normal)) {
    guard end == nil, machine.close() else { return }
    write(FrameWriter.close(close, maskKey: maskKeys?()))
    socket.loop.schedule(after: configuration.closeTimeout) { [socket] in socket.close() }
  }

  /// Cuts the connection at once.
  package func abort() {
    socket.close()
  }

  private func frame(_ opcode: WebSocketOpcode, _ payload: [UInt8]) -> [UInt8] {
    FrameWriter.frame(opcode, payload, maskKey: maskKeys?())
  }

  private func write(_ bytes: [UInt8]) {
    socket.write(bytes)
  }
}
