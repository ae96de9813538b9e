import Bytes
package import EventLoop
import HTTPServer
import JSON
package import Security
import Synchronization
import SocketIOServer
package import Telemetry
import WebSocketWire

/// The realtime clients of one shard: authentication, the users' rooms, the live push and the resume.
///
/// Runs on its shard's loop. A session is anonymous until a token is verified, then opening while its
/// place in the event log is looked up, then open. Whatever is published meanwhile is noted in the
/// session's `EventCursor`, so nothing falls between the look-up and the room.
package actor RealtimeGateway {
  package struct Dependencies: Sendable {
    package let configuration: HubConfiguration
    package let store: HubStore
    package let tokens: TokenAuthority
    package let keys: KeyRing
    package let relay: EventRelay
    package let metrics: HubMetrics
    package let log: Logger
    package let clock: WallClock
    package let outbox: Outbox

    package init(
      configuration: HubConfiguration, store: HubStore, tokens: TokenAuthority, keys: KeyRing,
      relay: EventRelay, metrics: HubMetrics, log: Logger, clock: WallClock, outbox: Outbox
    ) {
      self.configuration = configuration
      self.store = store
      self.tokens = tokens
      self.keys = keys
      self.relay = relay
      self.metrics = metrics
      self.log = log
      self.clock = clock
      self.outbox = outbox
    }
  }

  private static let logPage = 200
  /// Looks at the log, over some seconds, for an event that was announced and is not there.
  private static let emptyPagesMax = 30

  package nonisolated let loop: EventLoop
  private let index: Int
  let dependencies: Dependencies
  private var sessions: [String: RealtimeSession] = [:]
  private var rooms = UserRooms<RealtimeSession>()
  private var plainCount: UInt64 = 0
  private var isDraining = false

  package init(loop: EventLoop, index: Int, dependencies: Dependencies) {
    self.loop = loop
    self.index = index
    self.dependencies = dependencies
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  // MARK: Published events

  package nonisolated func submit(_ batch: [RoutedEvent]) {
    onLoop { $0.deliver(batch) }
  }

  package nonisolated func submit(positions: [UserKey: Int64]) {
    onLoop { $0.observe(positions) }
  }

  package nonisolated func submit(ephemeral: Ephemeral) {
    onLoop { $0.deliver(ephemeral) }
  }

  private nonisolated func onLoop(_ call: @escaping @Sendable (isolated RealtimeGateway) -> Void) {
    if loop.inLoop {
      assumeIsolated(call)
    } else {
      loop.execute { self.assumeIsolated(call) }
    }
  }

  private func deliver(_ batch: [RoutedEvent]) {
    var rest = batch[...]
    while let user = rest.first?.event.user {
      // Session by session, not event by event: thousands of sessions do not fit into a cache twice. What
      // they are sent leaves at the end of the turn, all of it: sent in between, it wakes the readers, who
      // then stand in the way (64 ms instead of 38 for 5,000 sockets on two cores).
      let run = rest.prefix { $0.event.user == user }
      rest = rest.dropFirst(run.count)
      for session in rooms.members(of: user) {
        for routed in run { deliver(routed, to: session) }
      }
    }
  }

  private func deliver(_ routed: RoutedEvent, to session: RealtimeSession) {
    switch session.cursor.published(routed.event.seq) {
    case .send:
      session.send(routed)
      dependencies.metrics.pushed(routed.event.type)
    case .ignore: break
    case .catchUp: readLog(session)
    }
  }

  private func deliver(_ ephemeral: Ephemeral) {
    for user in ephemeral.users {
      for session in rooms.members(of: user) where session.isOpen && session.id != ephemeral.except {
        switch session.client {
        case .socketIO(let socket): socket.emit(ephemeral.frame)
        case .plain(let connection): connection.send(ephemeral.plain)
        }
        dependencies.metrics.pushed(ephemeral.type)
      }
    }
  }

  private func observe(_ positions: [UserKey: Int64]) {
    for (user, seq) in positions {
      for session in rooms.members(of: user) where session.cursor.observed(seq) == .catchUp {
        readLog(session)
      }
    }
  }

  // MARK: Sessions

  func opened(_ id: String, _ client: RealtimeClient) -> RealtimeSession {
    let session = RealtimeSession(
      id: id, client: client, deadline: loop.now + dependencies.configuration.authenticationDeadline,
      now: loop.now, burst: 2 * dependencies.configuration.limits.clientEventsPerSecond)
    sessions[id] = session
    return session
  }

  func session(_ id: String) -> RealtimeSession? { sessions[id] }

  /// nil: another has taken the socket's place.
  func session(of socket: SocketIOSocket) -> RealtimeSession? {
    sessions[socket.id].flatMap { $0.client.isSocket(socket) ? $0 : nil }
  }

  func nextPlainID() -> String {
    plainCount += 1
    return "ws-\(index)-\(plainCount)"
  }

  func closed(_ id: String) {
    guard let session = sessions[id] else { return }
    forget(session)
  }

  func forget(_ session: RealtimeSession) {
    if sessions[session.id] === session { sessions[session.id] = nil }
    leaveRoom(session)
    session.state = .closed
  }

  /// Ends the connection that a returning client had before, if this shard still holds it. One that
  /// another shard or node holds ends by its own ping timeout.
  func supersede(_ id: String) {
    guard let old = sessions[id] else { return }
    forget(old)
    old.client.disconnect(.goingAway, "the client has come back")
  }

  private func leaveRoom(_ session: RealtimeSession) {
    guard let user = session.principal?.key else { return }
    rooms.leave(session, user)
    dependencies.relay.left(user, shard: index)
  }

  /// Sends `auth_error` and ends the session.
  func refuse(_ session: RealtimeSession, _ message: String, _ code: String) {
    guard !session.isClosed else { return }
    dependencies.metrics.authenticationRefused(code)
    session.client.send(
      "auth_error", payload(["message": .string(message), "code": .string(code)]))
    session.client.disconnect(.policyViolation, message)
    forget(session)
  }

  // MARK: Authentication

  /// Checks a token and opens the session at its place in the log. Used for the first time and, with
  /// the same user, in place before a token expires.
  func authenticate(_ session: RealtimeSession, token: String, lastSeq: Int64?) async {
    let principal: Principal
    do {
      principal = try dependencies.tokens.verify(token, now: dependencies.clock.now())
    } catch {
      return refuse(session, error.description, "invalid_token")
    }
    switch session.state {
    case .closed: return
    case .opening(let current):
      guard current.key == principal.key else {
        return refuse(session, "this connection belongs to another user", "user_changed")
      }
      // A client that sends its token with the handshake and again as an event, as many do: the
      // look-up that is under way answers both.
      session.state = .opening(principal)
      if session.resumeAfter == nil { session.resumeAfter = lastSeq }
      return
    case .open(let current):
      guard current.key == principal.key else {
        return refuse(session, "this connection belongs to another user", "user_changed")
      }
      session.state = .open(principal)
      return sendAuthenticated(session, principal, seq: session.cursor.position, resumed: false)
    case .anonymous: break
    }
    session.state = .opening(principal)
    session.resumeAfter = lastSeq
    rooms.enter(session, principal.key)
    dependencies.relay.joined(principal.key, shard: index)
    let bounds: EventBounds
    do {
      bounds = try await dependencies.store.openUser(principal)
    } catch HubStoreError.suspended {
      return refuse(session, "this tenant is suspended", "suspended")
    } catch {
      dependencies.log.warning("cannot open a session", ["error": .string("\(error)")])
      return refuse(session, "the hub cannot reach its database; try again", "unavailable")
    }
    // The client may have gone while the store was asked.
    guard case .opening(let newest) = session.state else { return }
    session.state = .open(newest)
    open(session, newest, bounds, lastSeq: session.resumeAfter)
  }

  /// Opens the session of a client that comes back with proof of who it is.
  /// - Returns: false, and nothing was sent, when the log cannot give what it missed, the user may not come
  ///   in, the store cannot be asked, or the client has gone.
  func reopen(_ session: RealtimeSession, _ principal: Principal, after offset: Int64) async -> Bool {
    session.state = .opening(principal)
    rooms.enter(session, principal.key)
    dependencies.relay.joined(principal.key, shard: index)
    guard let bounds = try? await dependencies.store.openUser(principal), canResume(after: offset, bounds),
      case .opening(let newest) = session.state
    else { return false }
    session.state = .open(newest)
    open(session, newest, bounds, lastSeq: offset)
    return true
  }

  private func canResume(after seq: Int64, _ bounds: EventBounds) -> Bool {
    let limit = Int64(dependencies.configuration.limits.resumeEventsMax)
    return seq >= bounds.floor && seq <= bounds.seq && bounds.seq - seq <= limit
  }

  private func open(
    _ session: RealtimeSession, _ principal: Principal, _ bounds: EventBounds, lastSeq: Int64?
  ) {
    let place = lastSeq.flatMap { canResume(after: $0, bounds) ? $0 : nil }
    let action = session.cursor.opened(at: bounds.seq, lastSeq: place)
    sendAuthenticated(session, principal, seq: bounds.seq, resumed: place != nil)
    if lastSeq != nil && place == nil { sendResync(session, seq: bounds.seq) }
    if action == .catchUp { readLog(session) }
  }

  private func sendAuthenticated(
    _ session: RealtimeSession, _ principal: Principal, seq: Int64, resumed: Bool
  ) {
    session.send(
      "authenticated",
      payload([
        "userId": .string(principal.user), "email": principal.email.map { .string($0) } ?? .null,
        "seq": .integer(seq), "resumed": .bool(resumed),
      ]))
  }

  private func sendResync(_ session: RealtimeSession, seq: Int64) {
    dependencies.metrics.pushed("resync_required")
    session.send("resync_required", payload(["seq": .integer(seq)]))
  }

  // MARK: The log

  /// Reads what the session has not got, page by page, until it is live. One task a session.
  private func readLog(_ session: RealtimeSession) {
    guard !session.isReadingLog, session.isOpen else { return }
    session.isReadingLog = true
    Task { await withTaskExecutorPreference(loop) { await catchUp(session) } }
  }

  private func catchUp(_ session: RealtimeSession) async {
    // In the same turn as the last look at the cursor: an event that came between the two would find
    // a reader that has stopped reading.
    defer { session.isReadingLog = false }
    var failures = 0
    var emptyPages = 0
    while let principal = session.principal, session.isOpen {
      do {
        let page = try await dependencies.store.events(
          principal, after: session.cursor.position, limit: Self.logPage)
        failures = 0
        guard session.isOpen else { return }
        if let first = page.first, first.seq > session.cursor.position + 1 {
          // Retention dropped what is missing: the client starts anew.
          let end = max(page.last?.seq ?? first.seq, first.seq)
          session.cursor.skip(to: end)
          sendResync(session, seq: end)
          continue
        }
        for event in page {
          // Before each, not after the page: a page of large events is more than a client may be owed.
          try await waitForClient(session)
          guard session.isOpen else { return }
          guard session.cursor.read(event.seq) else { continue }
          session.send(event)
          dependencies.metrics.pushed(event.type)
        }
        if page.isEmpty && session.cursor.reachedEnd() { return }
        emptyPages = page.isEmpty ? emptyPages + 1 : 0
        guard emptyPages < Self.emptyPagesMax else {
          sendResync(session, seq: session.cursor.giveUp())
          return
        }
        if page.isEmpty { try await loop.sleep(for: .milliseconds(5 * emptyPages)) }
      } catch {
        failures += 1
        // The database is away: the client keeps its place and is served when it is back.
        try? await loop.sleep(for: .milliseconds(min(2_000, 50 << min(failures, 6))))
      }
    }
  }

  /// Back-pressure while many events are resent; a client that takes nothing is cut off by its queue.
  private func waitForClient(_ session: RealtimeSession) async throws {
    let low = QueueBound(bytesMax: dependencies.configuration.limits.clientQueueBytesMax).lowBytes
    while session.isOpen && session.client.queuedBytes > low {
      try await loop.sleep(for: .milliseconds(5))
    }
  }

  // MARK: Time

  /// Called a few times a second: silent clients and expired tokens end here.
  package func tick() {
    let now = loop.now
    let wall = dependencies.clock.now()
    var silent: [RealtimeSession] = []
    var expired: [RealtimeSession] = []
    for session in sessions.values {
      switch session.state {
      case .anonymous(let deadline): if deadline <= now { silent.append(session) }
      case .opening(let principal), .open(let principal):
        if principal.expires <= wall { expired.append(session) }
      case .closed: break
      }
    }
    for session in silent { refuse(session, "no token within the time allowed", "timeout") }
    for session in expired { refuse(session, "the token has expired", "token_expired") }
  }

  /// Ends all sessions of this shard, for a shutdown.
  package func drain() {
    isDraining = true
    for session in sessions.values {
      if case .plain = session.client {
        session.client.disconnect(.serviceRestart, "the server restarts")
      }
    }
  }

  func payload(_ members: [String: JSONValue]) -> [UInt8] {
    var members = members
    members["timestamp"] = .string(dependencies.clock.now().rfc3339)
    return JSONValue.object(members).encoded()
  }
}
