/// The numbers of the handshake.
package struct EngineIOConfiguration: Sendable, Equatable {
  /// Milliseconds from one heartbeat's end to the next ping.
  package var pingIntervalMilliseconds: Int64
  /// Milliseconds that the peer has for its pong.
  package var pingTimeoutMilliseconds: Int64
  /// The most bytes of one polling body or WebSocket message from the client.
  package var payloadBytesMax: Int
  /// The most packets in the answer to a poll; some clients give up on more.
  package var pollPacketsMax: Int

  package init(
    pingIntervalMilliseconds: Int64 = 25_000, pingTimeoutMilliseconds: Int64 = 20_000,
    payloadBytesMax: Int = 1_000_000, pollPacketsMax: Int = 16
  ) {
    self.pingIntervalMilliseconds = pingIntervalMilliseconds
    self.pingTimeoutMilliseconds = pingTimeoutMilliseconds
    self.payloadBytesMax = payloadBytesMax
    self.pollPacketsMax = pollPacketsMax
  }
}

/// Why a request about a session is refused, as Engine.IO numbers it.
package enum EngineIORefusal: Int, Error, Sendable, Equatable {
  case unknownTransport = 0
  case unknownSession = 1
  case badHandshakeMethod = 2
  case badRequest = 3
  case forbidden = 4
  case unsupportedVersion = 5

  package var message: String {
    switch self {
    case .unknownTransport: "Transport unknown"
    case .unknownSession: "Session ID unknown"
    case .badHandshakeMethod: "Bad handshake method"
    case .badRequest: "Bad request"
    case .forbidden: "Forbidden"
    case .unsupportedVersion: "Unsupported protocol version"
    }
  }
}

/// Why a session ended.
package enum EngineIOEnd: Sendable, Equatable {
  /// The client sent a close packet, or closed its WebSocket.
  case closedByPeer
  case closedByServer
  /// No pong in time (or, in protocol 3, no ping).
  case pingTimeout
  /// The WebSocket's connection was lost.
  case transportLost
  /// The client broke the protocol.
  case protocolError
}

/// One Engine.IO session from handshake to close, over polling, through the upgrade, on a WebSocket.
///
/// Events go in (a poll arrived, a packet came, time passed), actions come out as values; the driver
/// owns sockets and requests and runs them. Time is milliseconds on any clock that never goes back.
///
/// Invariants: packets leave in the order they were sent, across the upgrade too; none is dropped
/// while the session lives; at most one poll is held; after `.end` there is no further action.
///
/// Upgrade (docs/engine.io-protocol/v4-current.md): the WebSocket that probes is a candidate beside
/// polling, which goes on working until the client's `upgrade` packet. From the probe on no poll is
/// held, so the client's last poll comes back at once.
package struct EngineIOSession: Sendable {
  package enum Transport: String, Sendable {
    case polling
    case websocket
  }

  package enum Action: Sendable, Equatable {
    /// Answer the poll that just arrived.
    case answerPoll([EngineIOPacket])
    /// Keep the poll that just arrived until `answerHeldPoll`.
    case holdPoll
    case answerHeldPoll([EngineIOPacket])
    /// Refuse the request that just arrived.
    case refuse(EngineIORefusal)
    /// Hand a message to the layer above.
    case deliver(EngineIOPacket)
    /// Send on the WebSocket that is the session's transport.
    case send([EngineIOPacket])
    /// Send on the WebSocket that probes.
    case sendProbe(EngineIOPacket)
    /// The probing WebSocket is the transport from here on.
    case adoptProbe
    case closeProbe
    /// The session is over: close its WebSocket, forget its id.
    case end(EngineIOEnd)
  }

  private enum State: Sendable {
    case polling(Poll)
    /// A WebSocket stands beside polling. `isProbed`: it has sent its probe.
    case probing(isProbed: Bool, Poll)
    case webSocket
    /// Closed from this side over polling: what waits, and a close packet behind it, go with the next
    /// polls.
    case draining
    case closed
  }

  private enum Poll: Sendable, Equatable {
    case none
    case held
  }

  private enum Heartbeat: Sendable {
    case idle(pingAt: Int64)
    case awaitingPong(deadline: Int64)
    /// Protocol 3: the client pings.
    case awaitingPing(deadline: Int64)
  }

  package let revision: EngineIORevision
  private let configuration: EngineIOConfiguration
  private var state: State
  private var heartbeat: Heartbeat
  /// What waits for a poll.
  private var queue: [EngineIOPacket] = []
  /// Bytes in packets that wait for a poll.
  package private(set) var queuedBytes = 0

  /// Opens a session; the first thing its client gets is `openPacket`.
  package init(
    transport: Transport, revision: EngineIORevision = .v4,
    configuration: EngineIOConfiguration = EngineIOConfiguration(), nowMilliseconds: Int64
  ) {
    self.revision = revision
    self.configuration = configuration
    state = transport == .polling ? .polling(.none) : .webSocket
    heartbeat =
      revision == .v4
      ? .idle(pingAt: nowMilliseconds + configuration.pingIntervalMilliseconds)
      : .awaitingPing(
        deadline: nowMilliseconds + configuration.pingIntervalMilliseconds
          + configuration.pingTimeoutMilliseconds)
  }

  /// The handshake. `id` goes into JSON as it is: letters, digits, `-` and `_`.
  package static func openPacket(
    id: String, transport: Transport, configuration: EngineIOConfiguration
  ) -> EngineIOPacket {
    let upgrades = transport == .polling ? "\"websocket\"" : ""
    let json =
      "{\"sid\":\"\(id)\",\"upgrades\":[\(upgrades)],"
      + "\"pingInterval\":\(configuration.pingIntervalMilliseconds),"
      + "\"pingTimeout\":\(configuration.pingTimeoutMilliseconds),"
      + "\"maxPayload\":\(configuration.payloadBytesMax)}"
    return .open(Array(json.utf8))
  }

  package var transport: Transport {
    if case .webSocket = state { .websocket } else { .polling }
  }

  package var isClosed: Bool {
    if case .closed = state { true } else { false }
  }

  /// When `advance` has something to do next.
  package var nextDueMilliseconds: Int64 {
    switch heartbeat {
    case .idle(let pingAt): pingAt
    case .awaitingPong(let deadline), .awaitingPing(let deadline): deadline
    }
  }

  // MARK: Requests

  /// A GET with this session's id.
  package mutating func pollArrived() -> [Action] {
    switch state {
    case .closed: return [.refuse(.unknownSession)]
    case .webSocket: return [.refuse(.badRequest)]
    case .draining:
      let batch = takeBatch()
      return [.answerPoll(batch)] + (queue.isEmpty ? finish(.closedByServer) : [])
    case .polling(.held), .probing(_, .held):
      // Two polls at once: nobody could say which answer came first.
      return [.refuse(.badRequest)] + finish(.protocolError, lastPoll: .close)
    case .polling(.none):
      if queue.isEmpty {
        state = .polling(.held)
        return [.holdPoll]
      }
      return [.answerPoll(takeBatch())]
    case .probing(let isProbed, .none):
      if queue.isEmpty && !isProbed {
        state = .probing(isProbed: false, .held)
        return [.holdPoll]
      }
      return [.answerPoll(queue.isEmpty ? [.noop] : takeBatch())]
    }
  }

  /// Whether a POST may be read now; otherwise the refusal.
  package func postArrived() -> EngineIORefusal? {
    switch state {
    case .closed: .unknownSession
    case .webSocket: .badRequest
    case .polling, .probing, .draining: nil
    }
  }

  /// The client gave up the held poll.
  package mutating func pollLost() -> [Action] {
    switch state {
    case .polling(.held):
      state = .polling(.none)
      return finish(.transportLost)
    case .probing(_, .held):
      state = .polling(.none)
      return [.closeProbe] + finish(.transportLost)
    case .polling(.none), .probing(_, .none), .webSocket, .draining, .closed: return []
    }
  }

  /// A request to become a WebSocket, with this session's id. Empty: do so, as the probe.
  package mutating func webSocketArrived() -> [Action] {
    switch state {
    case .closed, .draining: return [.refuse(.unknownSession)]
    case .probing, .webSocket: return [.refuse(.badRequest)]
    case .polling(let poll):
      state = .probing(isProbed: false, poll)
      return []
    }
  }

  // MARK: Packets

  /// A packet on the session's transport: from a POST, or from its WebSocket.
  package mutating func packetArrived(_ packet: EngineIOPacket, nowMilliseconds: Int64) -> [Action] {
    switch (state, packet) {
    case (.closed, _): return []
    case (.draining, .close): return finish(.closedByServer)
    case (.draining, _): return []
    case (.polling, _), (.probing, _), (.webSocket, _): break
    }
    switch packet {
    case .message, .binary: return [.deliver(packet)]
    case .pong:
      guard revision == .v4 else { return fail() }
      if case .awaitingPong = heartbeat {
        heartbeat = .idle(pingAt: nowMilliseconds + configuration.pingIntervalMilliseconds)
      }
      return []
    case .ping(let content):
      guard revision == .v3 else { return fail() }
      heartbeat = .awaitingPing(
        deadline: nowMilliseconds + configuration.pingIntervalMilliseconds
          + configuration.pingTimeoutMilliseconds)
      return send(.pong(content))
    case .close: return finish(.closedByPeer)
    case .noop, .upgrade: return []
    case .open: return fail()
    }
  }

  /// A packet on the WebSocket that probes.
  package mutating func probePacketArrived(_ packet: EngineIOPacket) -> [Action] {
    guard case .probing(let isProbed, let poll) = state else { return [] }
    switch packet {
    case .ping(let content) where content == Array("probe".utf8):
      state = .probing(isProbed: true, .none)
      return (poll == .held ? [.answerHeldPoll([.noop])] : []) + [.sendProbe(.pong(content))]
    case .upgrade where isProbed:
      state = .webSocket
      let waiting = queue
      queue = []
      queuedBytes = 0
      return (poll == .held ? [.answerHeldPoll([.noop])] : []) + [.adoptProbe]
        + (waiting.isEmpty ? [] : [.send(waiting)])
    case .open, .close, .ping, .pong, .message, .binary, .upgrade, .noop:
      return probeEnded() + [.closeProbe]
    }
  }

  /// The probing WebSocket was lost or took too long: polling goes on as before.
  package mutating func probeEnded() -> [Action] {
    if case .probing(_, let poll) = state { state = .polling(poll) }
    return []
  }

  /// The session's WebSocket ended.
  package mutating func webSocketEnded(byPeer: Bool) -> [Action] {
    guard case .webSocket = state else { return [] }
    return finish(byPeer ? .closedByPeer : .transportLost)
  }

  /// Sends a packet, now or with the next poll.
  package mutating func send(_ packet: EngineIOPacket) -> [Action] {
    switch state {
    case .closed, .draining: return []
    case .webSocket: return [.send([packet])]
    case .polling(.held):
      state = .polling(.none)
      return [.answerHeldPoll([packet])]
    case .probing(let isProbed, .held):
      state = .probing(isProbed: isProbed, .none)
      return [.answerHeldPoll([packet])]
    case .polling(.none), .probing(_, .none):
      queue.append(packet)
      queuedBytes += packet.byteCount
      return []
    }
  }

  // MARK: Time and end

  /// Does what is due: a ping, or the end of a session that does not answer. Nothing when it is early.
  package mutating func advance(nowMilliseconds: Int64) -> [Action] {
    guard !isClosed, nowMilliseconds >= nextDueMilliseconds else { return [] }
    switch heartbeat {
    case .idle(let pingAt):
      // From when it was due, so that a coarse clock does not add up.
      heartbeat = .awaitingPong(deadline: pingAt + configuration.pingTimeoutMilliseconds)
      return send(.ping([]))
    case .awaitingPong, .awaitingPing:
      return finish(.pingTimeout)
    }
  }

  /// Moves what is due back: for a client that was not read because the server was busy with its
  /// last message.
  package mutating func excuse(nowMilliseconds: Int64) {
    switch heartbeat {
    case .idle: break
    case .awaitingPong:
      heartbeat = .awaitingPong(deadline: nowMilliseconds + configuration.pingTimeoutMilliseconds)
    case .awaitingPing:
      heartbeat = .awaitingPing(deadline: nowMilliseconds + configuration.pingTimeoutMilliseconds)
    }
  }

  /// Ends the session from this side. What was sent before still arrives: over polling the session
  /// lives on until its client has fetched it, or for one ping time-out.
  package mutating func close(nowMilliseconds: Int64) -> [Action] {
    switch state {
    case .closed, .draining: return []
    case .webSocket: return [.send([.close])] + finish(.closedByServer)
    case .polling(.held), .probing(_, .held): return finish(.closedByServer, lastPoll: .close)
    case .polling(.none), .probing(_, .none):
      let isProbing = if case .probing = state { true } else { false }
      state = .draining
      queue.append(.close)
      queuedBytes += EngineIOPacket.close.byteCount
      heartbeat = .awaitingPong(deadline: nowMilliseconds + configuration.pingTimeoutMilliseconds)
      return isProbing ? [.closeProbe] : []
    }
  }

  /// Ends the session because of what the client sent.
  package mutating func fail() -> [Action] {
    finish(.protocolError, lastPoll: .close)
  }

  private mutating func finish(_ end: EngineIOEnd, lastPoll: EngineIOPacket = .noop) -> [Action] {
    var actions: [Action] = []
    switch state {
    case .closed: return []
    case .polling(.held): actions = [.answerHeldPoll([lastPoll])]
    case .probing(_, .held): actions = [.answerHeldPoll([lastPoll]), .closeProbe]
    case .probing(_, .none): actions = [.closeProbe]
    case .polling(.none), .webSocket, .draining: break
    }
    state = .closed
    queue = []
    queuedBytes = 0
    return actions + [.end(end)]
  }

  /// What waits, for the answer to the handshake of a client that expects more there than the
  /// handshake. One packet less than with a poll, for the handshake is one.
  package mutating func takeWaiting() -> [EngineIOPacket] {
    takeBatch(packetsMax: configuration.pollPacketsMax - 1)
  }

  /// The next packets for a poll: at most `pollPacketsMax`, and `payloadBytesMax` unless one alone is
  /// larger.
  private mutating func takeBatch(packetsMax: Int? = nil) -> [EngineIOPacket] {
    var count = 0
    var bytes = 0
    for packet in queue.prefix(packetsMax ?? configuration.pollPacketsMax) {
      if count > 0 && bytes + packet.byteCount > configuration.payloadBytesMax { break }
      bytes += packet.byteCount
      count += 1
    }
    let batch = Array(queue.prefix(count))
    queue.removeFirst(count)
    queuedBytes -= bytes
    return batch
  }
}
