import EventLoop
import HTTPServer
import JSON
import SocketIOWire
import WebSocketWire

/// One client's session: runs `EngineIOSession` on its transports, and its sockets on top.
///
/// Loop-confined. Whoever brings packets (the task of a POST, or of the WebSocket) awaits the
/// application for each before the next. A session that ends while the application is being asked
/// tells it afterwards.
final class SocketIOClient: @unchecked Sendable {
  // Safe because: confined to the server's loop, which the server asserts at each entrance.

  let id: String
  private let server: SocketIOServer
  private(set) var session: EngineIOSession
  private(set) var handshake: SocketIOHandshake
  private var assembler: SocketIOAssembler

  private var transport: WebSocketConnection?
  private var probe: WebSocketConnection?
  private var heldPoll: UnsafeContinuation<[EngineIOPacket], Never>?
  private var sockets: [SocketIOSocket] = []
  /// Milliseconds; nil once a namespace was joined.
  private var connectDeadline: Int64?
  /// The application is at work for this client.
  private var isHandling = false
  private var isPosting = false
  private var notices: [(SocketIOSocket, SocketIODisconnectReason)] = []
  /// Said to the application and the observer when the session itself knows no better.
  private var endReason: SocketIODisconnectReason?
  private var bound: QueueBound

  init(
    id: String, server: SocketIOServer, transport: EngineIOSession.Transport, revision: EngineIORevision,
    handshake: SocketIOHandshake, nowMilliseconds: Int64
  ) {
    self.id = id
    self.server = server
    self.handshake = handshake
    session = EngineIOSession(
      transport: transport, revision: revision, configuration: server.configuration.engine,
      nowMilliseconds: nowMilliseconds)
    assembler = SocketIOAssembler(limits: server.configuration.packetLimits)
    bound = QueueBound(bytesMax: server.configuration.queueBytesMax)
    connectDeadline = nowMilliseconds + server.configuration.connectTimeout.milliseconds
  }

  var queuedBytes: Int { session.queuedBytes + (transport?.queuedBytes ?? 0) }

  var openPacket: EngineIOPacket {
    EngineIOSession.openPacket(
      id: id, transport: session.transport, configuration: server.configuration.engine)
  }

  // MARK: Polling

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
  func post(_ body: [UInt8]) async -> EngineIORefusal? {
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
        body, revision: session.revision, packetsMax: server.configuration.postPacketsMax)
    } catch {
      fail()
      return .badRequest
    }
    for packet in packets { await take(packet) }
    return nil
  }

  // MARK: WebSocket

  /// Serves a WebSocket that is the session's transport from the start.
  func serve(_ connection: WebSocketConnection) async {
    transport = connection
    sendText([openPacket])
    await read(connection)
  }

  /// Serves a WebSocket that wants to take over from polling.
  func serveProbe(_ connection: WebSocketConnection) async {
    guard probe == nil, session.transport == .polling, !session.isClosed else { return connection.abort() }
    probe = connection
    await read(connection)
  }

  private func read(_ connection: WebSocketConnection) async {
    while let message = await connection.receive() {
      let packet: EngineIOPacket
      do throws(EngineIOParseError) {
        packet =
          switch message {
          case .text(let text):
            try EngineIOPacket(text: text, allowsBase64: false, revision: session.revision)
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

  /// The upgrade took too long.
  func upgradeTimedOut() {
    guard session.transport == .polling else { return }
    run(session.probeEnded())
    closeProbe()
  }

  func webSocketArrived() -> EngineIORefusal? {
    for action in session.webSocketArrived() {
      if case .refuse(let refusal) = action { return refusal }
    }
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
    isHandling = true
    do throws(SocketIOParseError) {
      let whole: SocketIOAssembler.Assembled?
      switch packet {
      case .message(let text): whole = try assembler.text(text)
      case .binary(let bytes): whole = try assembler.binary(bytes)
      case .open, .close, .ping, .pong, .upgrade, .noop: whole = nil
      }
      if let whole { try await handle(whole) }
    } catch {
      fail()
    }
    while !notices.isEmpty {
      let (socket, reason) = notices.removeFirst()
      await server.application.disconnected(socket, reason: reason)
    }
    isHandling = false
  }

  private func handle(_ whole: SocketIOAssembler.Assembled) async throws(SocketIOParseError) {
    let packet = whole.packet
    let socket = sockets.first { $0.namespace == packet.namespace }
    switch packet.kind {
    case .connect:
      // A second connect would leave it open which of the two is meant from here on.
      guard socket == nil else { throw .badPayload }
      try await connect(packet)
    case .disconnect:
      if let socket { leave(socket, .clientDisconnect) }
    case .event, .binaryEvent:
      guard let socket, socket.isConnected else { throw .badNamespace }
      try await event(whole, socket)
    case .acknowledgement, .binaryAcknowledgement:
      // The server asks for no acknowledgements, so there is nobody waiting for one.
      guard socket != nil else { throw .badNamespace }
    case .connectError: throw .badPayload
    }
  }

  private func connect(_ packet: SocketIOPacket) async throws(SocketIOParseError) {
    if !packet.payload.isEmpty, parse(packet.payload)?.object == nil { throw .badPayload }
    let socket = SocketIOSocket(
      id: server.configuration.newSocketID(), namespace: packet.namespace, client: self, server: server)
    sockets.append(socket)
    let admission = await server.application.connect(socket, auth: packet.payload)
    switch admission {
    case .accept: accept(socket)
    case .refuse(let message, let json):
      sockets.removeAll { $0 === socket }
      server.leaveAll(socket)
      socket.state = .disconnected
      send(SocketIOFrame(refusal(message, json, socket.namespace)))
    }
  }

  private func accept(_ socket: SocketIOSocket) {
    guard case .connecting(let frames) = socket.state else {
      // It went away, or was disconnected, while the application was asked.
      notices.append((socket, endReason ?? .serverDisconnect))
      return
    }
    connectDeadline = nil
    handshake = handshake.trimmed
    socket.state = .connected
    let payload = Array("{\"sid\":\"\(socket.id)\"}".utf8)
    send(SocketIOFrame(SocketIOPacket(.connect, namespace: socket.namespace, payload: payload)))
    for frame in frames { send(frame) }
  }

  private func refusal(_ message: String, _ json: [UInt8]?, _ namespace: String) -> SocketIOPacket {
    var payload = Array("{\"message\":".utf8)
    JSONText.append(message, to: &payload)
    if let json {
      payload.append(contentsOf: ",\"data\":".utf8)
      payload.append(contentsOf: json)
    }
    payload.append(UInt8(ascii: "}"))
    return SocketIOPacket(.connectError, namespace: namespace, payload: payload)
  }

  /// Names that the client's library keeps for itself.
  private static let reservedEvents: Set<String> = [
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
  ]

  private func event(
    _ whole: SocketIOAssembler.Assembled, _ socket: SocketIOSocket
  ) async throws(SocketIOParseError) {
    let packet = whole.packet
    guard let name = parse(packet.payload)?.array?.first?.string, !Self.reservedEvents.contains(name),
      let elements = RawJSONArray.elements(of: packet.payload)
    else { throw .badPayload }
    server.configuration.observer?.eventReceived(bytes: packet.payload.count)
    let arguments = Array(elements.dropFirst())
    let acknowledge = packet.acknowledgementID.map { acknowledgement(of: $0, socket) }
    if whole.attachments.isEmpty {
      await server.application.event(socket, name: name, arguments: arguments, acknowledge: acknowledge)
    } else {
      await server.application.binaryEvent(
        socket, name: name, arguments: arguments, attachments: whole.attachments, acknowledge: acknowledge)
    }
  }

  private func acknowledgement(of id: UInt64, _ socket: SocketIOSocket) -> @Sendable ([UInt8]) -> Void {
    { [weak self, loop = server.loop] json in
      let answer = { @Sendable [weak self] in
        guard let self, socket.isConnected else { return }
        self.send(
          SocketIOFrame(
            SocketIOPacket(
              .acknowledgement, namespace: socket.namespace, acknowledgementID: id, payload: json)))
      }
      if loop.inLoop { answer() } else { loop.execute(answer) }
    }
  }

  /// nil: not JSON.
  private func parse(_ text: [UInt8]) -> JSONValue? {
    do {
      return try JSONValue(parsing: text)
    } catch {
      return nil
    }
  }

  // MARK: Sending

  func send(_ frame: SocketIOFrame) {
    let bytes = frame.webSocketBytes.count
    guard bound.admits(bytes, queued: queuedBytes) else { return end(.slow) }
    if let transport {
      transport.send(frame: frame.webSocketBytes)
    } else {
      run(session.send(.message(frame.packetBytes)))
    }
    server.configuration.observer?.frameSent(bytes: bytes)
  }

  private func sendText(_ packets: [EngineIOPacket]) {
    guard let transport else { return }
    for packet in packets { transport.send(message(packet)) }
  }

  private func message(_ packet: EngineIOPacket) -> WebSocketMessage {
    if case .binary(let bytes) = packet {
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
    leaveAll(reason)
    switch reason {
    case .slow, .pingTimeout: transport?.abort()
    case .parseError: transport?.close(WebSocketClose(.protocolError))
    case .serverShutdown: transport?.close(WebSocketClose(.goingAway))
    case .clientDisconnect, .serverDisconnect, .transportClose, .transportError, .connectTimeout:
      transport?.close()
    }
    server.forget(self, reason)
  }

  // MARK: Time

  /// Does what is due up to `until`; returns when to come again, nil when the session is over.
  func advance(untilMilliseconds until: Int64) -> Int64? {
    if isHandling { session.excuse(nowMilliseconds: until) }
    if let connectDeadline, until >= connectDeadline, sockets.isEmpty { end(.connectTimeout) }
    run(session.advance(nowMilliseconds: until))
    guard !session.isClosed else { return nil }
    // A pong may bring the next ping nearer than what is due now.
    let soonest = min(session.nextDueMilliseconds, until + server.configuration.pingInterval.milliseconds)
    return min(soonest, connectDeadline ?? .max)
  }

  // MARK: Ending

  private func fail() {
    endReason = endReason ?? .parseError
    run(session.fail())
  }

  /// Ends the session from this side; what was sent before still goes out, unless the client is slow.
  func end(_ reason: SocketIODisconnectReason) {
    guard !session.isClosed else { return }
    endReason = endReason ?? reason
    leaveAll(reason)
    if reason == .slow || reason == .parseError {
      run(session.fail())
    } else {
      run(session.close(nowMilliseconds: server.nowMilliseconds))
    }
  }

  func disconnect(_ socket: SocketIOSocket, close: Bool) {
    if case .disconnected = socket.state { return }
    server.loop.assertInLoop()
    for leaving in close ? sockets : [socket] {
      if leaving.isConnected {
        send(SocketIOFrame(SocketIOPacket(.disconnect, namespace: leaving.namespace)))
      }
      leave(leaving, .serverDisconnect)
    }
    if close { end(.serverDisconnect) }
  }

  private func leaveAll(_ reason: SocketIODisconnectReason) {
    for socket in sockets { leave(socket, reason) }
  }

  private func leave(_ socket: SocketIOSocket, _ reason: SocketIODisconnectReason) {
    let wasConnected = socket.isConnected
    socket.state = .disconnected
    sockets.removeAll { $0 === socket }
    server.leaveAll(socket)
    // One that was never connected is not known to have come; `accept` sees to it.
    guard wasConnected else { return }
    if isHandling {
      notices.append((socket, reason))
    } else {
      let application = server.application
      server.loop.spawn { shard in
        // Named, and without a capture list: otherwise the closure would not stay on the loop.
        shard.assertIsolated()
        await application.disconnected(socket, reason: reason)
      }
    }
  }
}
