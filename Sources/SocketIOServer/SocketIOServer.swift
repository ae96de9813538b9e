package import EventLoop
import SocketIOWire
import WebSocketWire

/// Socket.IO on one event loop: sessions, rooms, heartbeats. Its requests are in
/// `SocketIOServer+Requests.swift`.
///
/// Loop-confined, one per loop. The clients of a server are those whose handshake it answered; a
/// request about another server's session is handed over by `configuration.forward`.
package final class SocketIOServer: @unchecked Sendable {
  // Safe because: confined to its loop; the package's entrances assert it.

  package let loop: EventLoop
  package let configuration: SocketIOConfiguration
  let application: any SocketIOApplication

  private var clients: [String: SocketIOClient] = [:]
  private var rooms = RoomIndex()
  private var wheel: DueWheel<SocketIOClient>
  private var isTicking = false
  private(set) var isDraining = false

  package init(
    loop: EventLoop, configuration: SocketIOConfiguration, application: any SocketIOApplication
  ) {
    self.loop = loop
    self.configuration = configuration
    self.application = application
    // A twentieth of the interval is early enough for everybody and seldom enough to cost nothing.
    let tick = min(max(configuration.pingInterval.milliseconds / 20, 5), 1_000)
    wheel = DueWheel(
      tickMilliseconds: tick, slotCount: 64, nowMilliseconds: Self.milliseconds(LoopInstant.current()))
  }

  /// Sessions that are open.
  package var connectionCount: Int { clients.count }

  var nowMilliseconds: Int64 { Self.milliseconds(loop.now) }

  private static func milliseconds(_ instant: LoopInstant) -> Int64 {
    Int64(clamping: instant.nanoseconds / 1_000_000)
  }

  // MARK: Rooms

  /// Sends a frame to everybody in a room of the frame's namespace, on this loop.
  package func emit(to room: String, _ frame: SocketIOFrame, except: SocketIOSocket? = nil) {
    loop.assertInLoop()
    for socket in rooms.members(of: room, in: frame.namespace) where socket !== except {
      socket.emit(frame)
    }
  }

  /// The sockets in a room, on this loop.
  package func sockets(in room: String, namespace: String = "/") -> [SocketIOSocket] {
    loop.assertInLoop()
    return rooms.members(of: room, in: namespace)
  }

  func join(_ socket: SocketIOSocket, _ room: String) -> Bool {
    loop.assertInLoop()
    if case .disconnected = socket.state { return false }
    if socket.rooms.contains(room) { return true }
    guard socket.rooms.count < configuration.roomsPerSocketMax else { return false }
    socket.rooms.append(room)
    rooms.insert(socket, into: room)
    return true
  }

  func leave(_ socket: SocketIOSocket, _ room: String) {
    loop.assertInLoop()
    guard let index = socket.rooms.firstIndex(of: room) else { return }
    socket.rooms.remove(at: index)
    rooms.remove(socket, from: room)
  }

  func leaveAll(_ socket: SocketIOSocket) {
    for room in socket.rooms { rooms.remove(socket, from: room) }
    socket.rooms = []
  }

  // MARK: Sessions

  func client(_ id: String) -> SocketIOClient? { clients[id] }

  /// nil: there are as many as there may be, or the server is closing.
  func open(
    _ transport: EngineIOSession.Transport, _ revision: EngineIORevision, _ handshake: SocketIOHandshake
  ) -> SocketIOClient? {
    guard !isDraining, clients.count < configuration.sessionsMax else { return nil }
    let client = SocketIOClient(
      id: configuration.newSessionID(), server: self, transport: transport, revision: revision,
      handshake: handshake, nowMilliseconds: nowMilliseconds)
    clients[client.id] = client
    configuration.observer?.sessionOpened(transport)
    let firstDue = min(configuration.pingInterval, configuration.connectTimeout).milliseconds
    wheel.insert(client, dueMilliseconds: nowMilliseconds + firstDue)
    if !isTicking {
      isTicking = true
      scheduleTick()
    }
    return client
  }

  func forget(_ client: SocketIOClient, _ reason: SocketIODisconnectReason) {
    guard clients.removeValue(forKey: client.id) != nil else { return }
    configuration.observer?.sessionEnded(reason)
  }

  private func scheduleTick() {
    loop.schedule(after: .milliseconds(wheel.tickMilliseconds)) { [weak self] in self?.tick() }
  }

  private func tick() {
    let now = nowMilliseconds
    for client in wheel.popDue(nowMilliseconds: now) {
      // The slot may be up to a tick early; what is due within it is due.
      if let next = client.advance(untilMilliseconds: now + wheel.tickMilliseconds) {
        wheel.insert(client, dueMilliseconds: next)
      }
    }
    if wheel.count == 0 {
      isTicking = false
    } else {
      scheduleTick()
    }
  }

  /// Takes no more sessions and ends those there are, spread over `duration` so that they do not
  /// all come back at once. Clients see their connection close and reconnect elsewhere.
  package func close(
    reason: SocketIODisconnectReason = .serverShutdown, within duration: Duration = .seconds(2)
  ) async {
    loop.assertInLoop()
    isDraining = true
    let all = Array(clients.values)
    let steps = 20
    let batch = all.count / steps + 1
    var next = 0
    while next < all.count {
      for client in all[next..<min(next + batch, all.count)] { client.end(reason) }
      next += batch
      guard next < all.count else { return }
      do {
        try await loop.sleep(for: duration / steps)
      } catch {
        // Cancelled: whoever waits wants it over, so the rest goes at once.
        for client in all[next...] { client.end(reason) }
        return
      }
    }
  }
}
