package import EventLoop
package import SocketIOWire
import WebSocketWire

/// What stands on one Engine.IO session. Used on the server's loop only.
package protocol EngineIOHandler: AnyObject {
  /// The session is open and its client knows it; nothing has been received yet.
  func opened() async
  /// Takes a `.message` or a `.binary`. While it is awaited nothing more is read from the client.
  /// - Returns: false when the client broke the protocol above: the session ends.
  func receive(_ packet: EngineIOPacket) async -> Bool
  /// After `opened` and `receive`, with everything that ended meanwhile.
  func settle() async
  /// The session is over.
  func ended(_ reason: SocketIODisconnectReason)
  /// When `isOverdue` has to be asked, in milliseconds of the server's clock; nil: never.
  var deadlineMilliseconds: Int64? { get }
  /// Whether the session has to end, because the client did not do in time what it should.
  func isOverdue(nowMilliseconds: Int64) -> Bool
}

/// Engine.IO on one event loop: sessions over both transports and their heartbeats. Its requests are in
/// `EngineIOServer+Requests.swift`; what the messages mean is up to the handlers.
///
/// Loop-confined, one per loop. The clients of a server are those whose handshake it answered; a
/// request about another server's session is handed over by `configuration.forward`.
package final class EngineIOServer: @unchecked Sendable {
  // Safe because: confined to its loop; the package's entrances assert it.

  package let loop: EventLoop
  package let configuration: SocketIOConfiguration
  private let makeHandler: (EngineIOClient) -> any EngineIOHandler

  private var clients: [String: EngineIOClient] = [:]
  private var wheel: DueWheel<EngineIOClient>
  private var isTicking = false
  private(set) var isDraining = false

  /// - Parameter handler: makes what stands on a new session; it must not keep the client alive.
  package init(
    loop: EventLoop, configuration: SocketIOConfiguration,
    handler: @escaping (EngineIOClient) -> any EngineIOHandler
  ) {
    self.loop = loop
    self.configuration = configuration
    makeHandler = handler
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

  // MARK: Sessions

  func client(_ id: String) -> EngineIOClient? { clients[id] }

  /// nil: there are as many as there may be, or the server is closing.
  func open(
    _ transport: EngineIOSession.Transport, _ revision: EngineIORevision, _ handshake: SocketIOHandshake
  ) -> EngineIOClient? {
    guard !isDraining, clients.count < configuration.sessionsMax else { return nil }
    let client = EngineIOClient(
      id: configuration.newSessionID(), server: self, transport: transport, revision: revision,
      handshake: handshake, nowMilliseconds: nowMilliseconds)
    client.handler = makeHandler(client)
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

  func forget(_ client: EngineIOClient, _ reason: SocketIODisconnectReason) {
    guard clients.removeValue(forKey: client.id) != nil else { return }
    configuration.observer?.sessionEnded(reason)
  }

  private func scheduleTick() {
    loop.schedule(after: .milliseconds(wheel.tickMilliseconds)) { [weak self] in self?.tick() }
  }

  private func tick() {
    let now = nowMilliseconds
    // What is due before the next tick is due: nothing is done late by more than the timer itself is.
    for client in wheel.popDue(nowMilliseconds: now + wheel.tickMilliseconds) {
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
