import EventLoop
import HTTPServer
import HTTPWire
package import SocketIOWire
import WebSocketWire

/// One client's session: runs `EngineIOSession` on its transports, for the handler that stands on it.
///
/// Loop-confined. Whoever brings packets (the task of a POST, or of the WebSocket) awaits the handler
/// for each before the next.
package final class EngineIOClient: @unchecked Sendable {
  // Safe because: confined to the server's loop, which the server asserts at each entrance.

  /// Secret: whoever knows it can take the session over.
  package let id: String
  let server: EngineIOServer
  private(set) var session: EngineIOSession
  private(set) var handshake: SocketIOHandshake
  /// Whether binary can go as it is over polling (revision 3 only).
  let takesBinaryPayloads: Bool
  /// Whether binary can go as it is over the WebSocket that is the transport.
  private var takesBinaryFrames = true
  /// nil once the session is over.
  var handler: (any EngineIOHandler)?

  private var transport: WebSocketConnection?
  private var probe: WebSocketConnection?
  private var probeTakesBinaryFrames = true
  /// Upgrades that were begun.
  private(set) var upgradeAttempts = 0
  private var heldPoll: UnsafeContinuation<[EngineIOPacket], Never>?
  /// The handler is at work for this client.
  private(set) var isHandling = false
  private var isPosting = false
  /// Said to the handler and the observer when the session itself knows no better.
  private(set) var endReason: SocketIODisconnectReason?
  private var bound: QueueBound

  init(
    id: String, server: EngineIOServer, transport: EngineIOSession.Transport, revision: EngineIORevision,
    handshake: SocketIOHandshake, nowMilliseconds: Int64
  ) {
    self.id = id
    self.server = server
    self.handshake = handshake
    takesBinaryPayloads =
      revision == .v3 && handshake.query["b64"] == nil && handshake.query["j"] == nil
    session = EngineIOSession(
      transport: transport, revision: revision, configuration: server.configuration.engine,
      nowMilliseconds: nowMilliseconds)
    bound = QueueBound(bytesMax: server.configuration.queueBytesMax)
  }

  package var revision: EngineIORevision { session.revision }

  var queuedBytes: Int { session.queuedBytes + (transport?.queuedBytes ?? 0) }

  /// Whether a message would leave at once: nothing waits, and there is something to send it on.
  var isWritable: Bool { queuedBytes == 0 && (transport != nil || heldPoll != nil) }

  private var openPacket: EngineIOPacket {
    EngineIOSession.openPacket(
      id: id, transport: session.transport, configuration: server.configuration.engine)
  }

  /// What the handshake said is given up, but for the peer.
  func trimHandshake() { handshake = handshake.trimmed }

  // MARK: Polling

  /// What the answer to the handshake holds, once the handler has seen the session open.
  func open() async -> [EngineIOPacket] {
    await open(handler)
    // Clients of revision 4 expect nothing else with it.
    return [openPacket] + (session.revision == .v3 ? session.takeWaiting() : [])
  }

  private func open(_ handler: (any EngineIOHandler)?) async {
    guard let handler else { return }
    isHandling = true
    await handler.opened()
    await handler.settle()
    isHandling = false
  }

  /// What the answer to a GET holds.
  func poll() async -> Result<[EngineIOPacket], EngineIORefusal> {
    var answer: Result<[EngineIOPacket], EngineIORefusal>?
    for action in session.pollArrived() {
      switch action {
      case .answerPoll(let packets): answer = .success(packets)
      case .refuse(let refusal): answer = .failure(refusal)
      case .holdPoll:
        return .success(await withUnsafeContinuation { heldPoll = $0 })
      case .answerHeldPoll, .deliver, .send, .sendProbe, .adoptProbe, .closeProbe, .end: run(action)
      }
    }
    return answer ?? .failure(.badRequest)
  }

  /// Takes the body of a POST.
  func post(_ body: [UInt8], _ form: EngineIOPayload.Form) async -> EngineIORefusal? {
    if let refusal = session.postArrived() { return refusal }
    guard !isPosting else {
      fail()
      return .badRequest
    }
    isPosting = true
    defer { isPosting = false }
    let packets: [EngineIOPacket]
    do throws(EngineIOParseError) {
      packets = try EngineIOPayload.decode(
        body, form, revision: session.revision, packetsMax: server.configuration.postPacketsMax)
    } catch {
      fail()
      return .badRequest
    }
    for packet in packets { await take(packet) }
    return nil
  }

  // MARK: WebSocket

  private static let firstMessageDelay = Duration.milliseconds(5)

  /// Serves a WebSocket that is the session's transport from the start.
  /// - Parameter takesBinary: whether the client takes binary messages; otherwise it gets them as text.
  func serve(_ connection: WebSocketConnection, takesBinary: Bool) async {
    transport = connection
    takesBinaryFrames = takesBinary
    if session.revision == .v3 {
      // Libraries of that age lose a message that comes before the page has learned of the connection.
      try? await server.loop.sleep(for: Self.firstMessageDelay)
    }
    sendText([openPacket])
    await open(handler)
    await read(connection)
  }

  /// Serves a WebSocket that wants to take over from polling.
  func serveProbe(_ connection: WebSocketConnection, takesBinary: Bool) async {
    guard probe == nil, session.transport == .polling, !session.isClosed else { return connection.abort() }
    probe = connection
    probeTakesBinaryFrames = takesBinary
    await read(connection)
  }

  private func read(_ connection: WebSocketConnection) async {
    while let message = await connection.receive() {
      let packet: EngineIOPacket
      do throws(EngineIOParseError) {
        packet =
          switch message {
          case .text(let text):
            try EngineIOPacket(text: text, revision: session.revision)
          case .binary(let bytes): try EngineIOPacket(binary: bytes, revision: session.revision)
          }
      } catch {
        if connection === transport { fail() } else { connection.close() }
        continue
      }
      if connection === transport {
        await take(packet)
      } else if connection === probe {
        run(session.probePacketArrived(packet))
      } else {
        connection.close()
      }
    }
    if connection === probe {
      probe = nil
      run(session.probeEnded())
    } else if connection === transport {
      transportEnded(connection)
    }
  }

  private func transportEnded(_ connection: WebSocketConnection) {
    switch connection.end {
    case .closedByPeer, .lost(nil), .closedByUs:
      run(session.webSocketEnded(byPeer: true))
    case .slow: end(.slow)
    case .fault: end(.parseError)
    case .lost, .pongMissing, nil: run(session.webSocketEnded(byPeer: false))
    }
  }

  /// That upgrade took too long, or failed. Nothing when it is over, and when another has begun since.
  func upgradeTimedOut(_ attempt: Int) {
    guard attempt == upgradeAttempts, session.transport == .polling else { return }
    run(session.probeEnded())
    closeProbe()
  }

  func webSocketArrived() -> EngineIORefusal? {
    for action in session.webSocketArrived() {
      if case .refuse(let refusal) = action { return refusal }
    }
    upgradeAttempts += 1
    return nil
  }

  // MARK: Packets

  private func take(_ packet: EngineIOPacket) async {
    for action in session.packetArrived(packet, nowMilliseconds: server.nowMilliseconds) {
      if case .deliver(let packet) = action {
        await deliver(packet)
      } else {
        run(action)
      }
    }
  }

  private func deliver(_ packet: EngineIOPacket) async {
    // The next message while the last is still being handled: two transports used at once.
    guard !isHandling else { return fail() }
    guard let handler else { return }
    isHandling = true
    if await !handler.receive(packet) { fail() }
    await handler.settle()
    isHandling = false
  }

  // MARK: Sending

  /// Sends a message of text or binary. A client with too much unread is disconnected instead.
  package func send(_ packet: EngineIOPacket) {
    server.loop.assertInLoop()
    guard bound.admits(packet.byteCount, queued: queuedBytes) else { return end(.slow) }
    if let transport {
      transport.send(message(packet))
    } else {
      run(session.send(packet))
    }
    server.configuration.observer?.frameSent(bytes: packet.byteCount)
  }

  /// Sends a text message of which the whole WebSocket frame is there, shared by many.
  /// - Parameter packet: the same for a client that polls.
  func send(frame: [UInt8], orPacket packet: @autoclosure () -> EngineIOPacket) {
    guard bound.admits(frame.count, queued: queuedBytes) else { return end(.slow) }
    if let transport {
      transport.send(frame: frame)
    } else {
      run(session.send(packet()))
    }
    server.configuration.observer?.frameSent(bytes: frame.count)
  }

  private func sendText(_ packets: [EngineIOPacket]) {
    guard let transport else { return }
    for packet in packets { transport.send(message(packet)) }
  }

  private func message(_ packet: EngineIOPacket) -> WebSocketMessage {
    if case .binary(let bytes) = packet, takesBinaryFrames {
      return .binary(session.revision == .v3 ? [4] + bytes : bytes)
    }
    var text: [UInt8] = []
    packet.appendText(to: &text, revision: session.revision)
    return .text(text)
  }

  // MARK: Actions

  private func run(_ actions: [EngineIOSession.Action]) {
    for action in actions { run(action) }
  }

  private func run(_ action: EngineIOSession.Action) {
    switch action {
    case .answerHeldPoll(let packets):
      heldPoll?.resume(returning: packets)
      heldPoll = nil
    case .send(let packets): sendText(packets)
    case .sendProbe(let packet): probe?.send(message(packet))
    case .adoptProbe:
      transport = probe
      takesBinaryFrames = probeTakesBinaryFrames
      probe = nil
      server.configuration.observer?.sessionUpgraded()
    case .closeProbe: closeProbe()
    case .end(let end): ended(end)
    case .answerPoll, .holdPoll, .refuse, .deliver:
      preconditionFailure("\(action) is for whoever brought the event")
    }
  }

  private func closeProbe() {
    probe?.close()
    probe = nil
  }

  private func ended(_ end: EngineIOEnd) {
    let reason =
      endReason
      ?? {
        switch end {
        case .closedByPeer: .transportClose
        case .closedByServer: .serverDisconnect
        case .pingTimeout: .pingTimeout
        case .transportLost: .transportError
        case .protocolError: .parseError
        }
      }()
    endReason = reason
    handler?.ended(reason)
    switch reason {
    case .slow, .pingTimeout: transport?.abort()
    case .parseError: transport?.close(WebSocketClose(.protocolError))
    case .serverShutdown: transport?.close(WebSocketClose(.goingAway))
    case .clientDisconnect, .serverDisconnect, .transportClose, .transportError, .connectTimeout:
      transport?.close()
    }
    server.forget(self, reason)
    handler = nil
  }

  // MARK: Time

  /// Does what is due up to `until`; returns when to come again, nil when the session is over.
  func advance(untilMilliseconds until: Int64) -> Int64? {
    if isHandling { session.excuse(nowMilliseconds: until) }
    if let handler, handler.isOverdue(nowMilliseconds: until) { end(.connectTimeout) }
    run(session.advance(nowMilliseconds: until))
    guard !session.isClosed else { return nil }
    // A pong may bring the next ping nearer than what is due now.
    let soonest = min(session.nextDueMilliseconds, until + server.configuration.pingInterval.milliseconds)
    return min(soonest, handler?.deadlineMilliseconds ?? .max)
  }

  // MARK: Ending

  private func fail() {
    endReason = endReason ?? .parseError
    run(session.fail())
  }

  /// Ends the session from this side; what was sent before still goes out, unless the client is slow.
  package func end(_ reason: SocketIODisconnectReason) {
    guard !session.isClosed else { return }
    endReason = endReason ?? reason
    handler?.ended(reason)
    if reason == .slow || reason == .parseError {
      run(session.fail())
    } else {
      run(session.close(nowMilliseconds: server.nowMilliseconds))
    }
  }
}
