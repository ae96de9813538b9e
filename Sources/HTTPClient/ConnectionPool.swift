import EventLoop
import HTTPWire

/// What two requests must have in common to use one connection, one after the other.
struct PoolKey: Hashable {
  let scheme: HTTPURL.Scheme
  let host: String
  let port: UInt16
  let proxy: HTTPProxy?
  /// A connection that was opened without a check must not serve a request that wants one.
  let policy: AddressPolicy
  let isLongLived: Bool
}

/// Which connections exist, who uses them and who waits: the bookkeeping of one client.
///
/// A place is the right to have a connection. Whoever takes one gives it back, with the connection
/// (`giveBack`) or without (`giveUp`). Idle connections are closed after a while, when their peer leaves or
/// speaks, and the oldest first when there are too many. Confined to the client's loop.
final class ConnectionPool {
  enum Grant: Sendable {
    case kept(HTTPClientConnection)
    /// A place without a connection: open one.
    case place
  }

  /// One caller that waits for a place.
  final class Waiter: @unchecked Sendable {
    // Safe because: confined to the loop of the client.
    fileprivate var continuation: UnsafeContinuation<Grant?, Never>?
    fileprivate var isDone = false
  }

  private struct Idle {
    let connection: HTTPClientConnection
    let since: LoopInstant
    let timer: TimerToken
  }

  private struct Origin {
    var idle: [Idle] = []
    /// In use, idle and being opened.
    var places = 0
    var waiters: [Waiter] = []
  }

  private let loop: EventLoop
  private let configuration: HTTPClient.Configuration
  private var origins: [PoolKey: Origin] = [:]
  private(set) var places = 0
  private(set) var idleCount = 0
  private(set) var waiting = 0
  private var isClosed = false

  init(loop: EventLoop, configuration: HTTPClient.Configuration) {
    self.loop = loop
    self.configuration = configuration
  }

  // MARK: Taking

  /// A connection or a place without waiting; nil: wait.
  /// - Throws: `.queueFull` when waiting would be in vain.
  func take(_ key: PoolKey) throws(HTTPClientError) -> Grant? {
    guard !isClosed else { throw .notSent(.clientClosed) }
    while let connection = takeIdle(key) {
      if connection.socket.isQuiet() { return .kept(connection) }
      connection.close()
      release(key)
    }
    let limit = key.isLongLived ? configuration.longLivedPerOriginMax : configuration.connectionsPerOriginMax
    let open = origins[key]?.places ?? 0
    if open < limit && makeRoom() {
      origins[key, default: Origin()].places += 1
      places += 1
      return .place
    }
    // Only who has this key gives a place of it back.
    guard open > 0, (origins[key]?.waiters.count ?? 0) < configuration.waitersPerOriginMax else {
      throw .notSent(.queueFull)
    }
    return nil
  }

  /// Waits for a place, in the order of coming. - Returns: nil when `leave` was called.
  func wait(_ key: PoolKey, _ waiter: Waiter) async -> Grant? {
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Grant?, Never>) in
      guard !waiter.isDone, !isClosed else { return continuation.resume(returning: nil) }
      waiter.continuation = continuation
      origins[key, default: Origin()].waiters.append(waiter)
      waiting += 1
    }
  }

  /// Takes a waiter out of the queue.
  func leave(_ key: PoolKey, _ waiter: Waiter) {
    guard !waiter.isDone else { return }
    waiter.isDone = true
    guard let continuation = waiter.continuation else { return }
    origins[key]?.waiters.removeAll { $0 === waiter }
    waiting -= 1
    waiter.continuation = nil
    continuation.resume(returning: nil)
  }

  private func serve(_ key: PoolKey, _ grant: Grant) -> Bool {
    guard origins[key]?.waiters.isEmpty == false, let waiter = origins[key]?.waiters.removeFirst() else {
      return false
    }
    waiting -= 1
    waiter.isDone = true
    let continuation = waiter.continuation
    waiter.continuation = nil
    continuation?.resume(returning: grant)
    return true
  }

  // MARK: Giving back

  /// The connection may serve another request.
  func giveBack(_ connection: HTTPClientConnection, _ key: PoolKey) {
    guard !isClosed, !connection.socket.isClosed, configuration.idleConnectionsMax > 0 else {
      connection.close()
      return giveUp(key)
    }
    if serve(key, .kept(connection)) { return }
    if idleCount >= configuration.idleConnectionsMax { closeOldestIdle() }
    let timer = loop.schedule(after: configuration.idleMax) { [weak self] in self?.drop(connection, key) }
    connection.socket.onUnreadInput = { [weak self] in
      if !connection.socket.isQuiet() { self?.drop(connection, key) }
    }
    origins[key, default: Origin()].idle.append(
      Idle(connection: connection, since: loop.now, timer: timer))
    idleCount += 1
  }

  /// The place is free; there is no connection.
  func giveUp(_ key: PoolKey) {
    if !isClosed, serve(key, .place) { return }
    release(key)
  }

  private func release(_ key: PoolKey) {
    places -= 1
    origins[key]?.places -= 1
    if let origin = origins[key], origin.places <= 0, origin.waiters.isEmpty { origins[key] = nil }
  }

  // MARK: Idle connections

  private func takeIdle(_ key: PoolKey) -> HTTPClientConnection? {
    guard let idle = origins[key]?.idle.popLast() else { return nil }
    return forget(idle)
  }

  private func forget(_ idle: Idle) -> HTTPClientConnection {
    idleCount -= 1
    loop.cancel(idle.timer)
    idle.connection.socket.onUnreadInput = nil
    return idle.connection
  }

  private func drop(_ connection: HTTPClientConnection, _ key: PoolKey) {
    guard let index = origins[key]?.idle.firstIndex(where: { $0.connection === connection }),
      let idle = origins[key]?.idle.remove(at: index)
    else { return }
    forget(idle).close()
    release(key)
  }

  /// Whether one more connection may be opened; closes an idle one for it if need be.
  private func makeRoom() -> Bool {
    if places >= configuration.connectionsMax { closeOldestIdle() }
    return places < configuration.connectionsMax
  }

  private func closeOldestIdle() {
    let oldest = origins.compactMap { key, origin in origin.idle.first.map { (key, $0) } }
      .min { $0.1.since < $1.1.since }
    if let (key, idle) = oldest { drop(idle.connection, key) }
  }

  /// Closes what is idle and sends the waiters away. What is in use comes back and is closed then.
  func close() {
    isClosed = true
    for (key, origin) in origins {
      for idle in origin.idle { drop(idle.connection, key) }
      for waiter in origin.waiters { leave(key, waiter) }
    }
  }
}
