package import EventLoop

/// Some sessions on one event loop, kept open.
///
/// `query` and `batch` share sessions: the least busy one takes the stretch behind those under way.
/// `withConnection` and `transaction` lease one alone. Each place in the pool is kept by one task that
/// connects, waits for the end of the session, and connects again after a wait that doubles and is
/// spread by chance, so that many hubs do not come back at the same moment.
///
/// When no session is open, callers are refused at once with `unavailable`: a hub that queued them would
/// grow while the database is away. What was under way when a session broke fails with `connectionLost`
/// and is never sent again by the pool: only the caller knows whether that is safe.
///
/// Confined to its loop, like its sessions.
package final class PostgresPool: @unchecked Sendable {
  // Safe because: used on its loop only, which each entry asserts.

  package struct Configuration: Sendable {
    package var connection: PostgresConfiguration
    /// Sessions.
    package var size = 2
    /// Stretches under way on one session before callers wait.
    package var stretchesPerConnectionMax = 32
    /// Callers that wait for room; one more gets `poolExhausted`.
    package var waitersMax = 4_096
    /// How long a caller waits for room.
    package var waitTimeout: Duration = .seconds(5)
    /// The first wait after a failed connection, and the longest.
    package var backoff: ClosedRange<Duration> = .milliseconds(50)...(.seconds(3))
    /// How often an idle session is asked whether it still answers.
    package var probeInterval: Duration = .seconds(15)
    package var probeTimeout: Duration = .seconds(3)

    package init(connection: PostgresConfiguration) {
      self.connection = connection
    }
  }

  /// What operators should hear of.
  package enum Event: Sendable, Equatable {
    case connected
    case connectFailed(PostgresError, retryAfter: Duration)
    case lost(PostgresError)
  }

  /// For metrics.
  package struct Statistics: Sendable, Equatable {
    package var idle = 0
    package var busy = 0
    package var connecting = 0
    package var waiting = 0
    /// Counters since the start.
    package var stretches: UInt64 = 0
    package var refused: UInt64 = 0
    package var waitsTimedOut: UInt64 = 0
    package var connectionsLost: UInt64 = 0
    package var connectsFailed: UInt64 = 0
  }

  package let loop: EventLoop
  private let configuration: Configuration
  private let blocking: BlockingPool
  private let random: @Sendable () -> UInt64
  private let report: @Sendable (Event) -> Void
  private var slots: [Slot] = []
  private var waiters: [Waiter] = []
  private var isClosed = false
  private var hasStarted = false
  private var counters = Statistics()
  private var hurries = 0
  private static let restStep: Duration = .milliseconds(50)

  private final class Slot {
    var connection: PostgresConnection?
    var isLeased = false
    /// Waiters that were given this session and have not sent their stretch yet.
    var promised = 0
    var ended: UnsafeContinuation<PostgresError, Never>?
    var endedEarly: PostgresError?
  }

  private final class Waiter {
    let isExclusive: Bool
    var timer: TimerToken?
    var continuation: UnsafeContinuation<Result<PostgresConnection, PostgresError>, Never>?

    init(isExclusive: Bool) { self.isExclusive = isExclusive }
  }

  /// - Parameters:
  ///   - random: spreads the waits between connection attempts.
  ///   - report: called on the loop; must not block.
  package init(
    _ configuration: Configuration, on loop: EventLoop, blocking: BlockingPool,
    random: @escaping @Sendable () -> UInt64, report: @escaping @Sendable (Event) -> Void = { _ in }
  ) {
    self.configuration = configuration
    self.loop = loop
    self.blocking = blocking
    self.random = random
    self.report = report
  }

  // MARK: Life

  /// Starts connecting. On the loop.
  package func start() {
    loop.assertInLoop()
    guard !hasStarted else { return }
    hasStarted = true
    for index in 0..<max(1, configuration.size) {
      slots.append(Slot())
      // No capture list: with one the closure would leave the loop. `close` ends the task.
      loop.spawn { shard in
        _ = shard.loop
        await self.keep(index)
      }
    }
    loop.spawn { shard in
      while !self.isClosed {
        do { try await shard.loop.sleep(for: self.configuration.probeInterval) } catch { return }
        guard !self.isClosed else { return }
        await self.probe()
      }
    }
  }

  /// Waits until a session is open.
  /// - Throws: `timedOut` after `limit`.
  package func waitUntilAvailable(_ limit: Duration) async throws(PostgresError) {
    let end = LoopInstant.current() + limit
    while !isAvailable {
      guard LoopInstant.current() < end, !isClosed else {
        throw PostgresError(.timedOut, "no session with the database in \(limit)")
      }
      do { try await loop.sleep(for: .milliseconds(5)) } catch {
        throw PostgresError(.closed, "the task was cancelled")
      }
    }
  }

  /// Waits until nothing is under way, then ends all sessions; at `limit` it ends them anyhow.
  package func close(drainingFor limit: Duration) async {
    let end = LoopInstant.current() + limit
    while LoopInstant.current() < end,
      !waiters.isEmpty || slots.contains(where: { $0.isLeased || ($0.connection?.inFlight ?? 0) > 0 })
    {
      do { try await loop.sleep(for: .milliseconds(5)) } catch { break }
    }
    close()
  }

  /// Ends all sessions; what is under way and who waits fail with `closed`.
  package func close() {
    loop.assertInLoop()
    isClosed = true
    for waiter in waiters { answer(waiter, .failure(PostgresError(.closed, "the pool was closed"))) }
    waiters = []
    for slot in slots { slot.connection?.close() }
  }

  /// At least one session is open. When false, `query` throws `unavailable` at once.
  package var isAvailable: Bool {
    !isClosed && slots.contains { $0.connection != nil }
  }

  package var statistics: Statistics {
    var statistics = counters
    for slot in slots {
      switch slot.connection {
      case nil: statistics.connecting += 1
      case let connection? where slot.isLeased || connection.inFlight > 0: statistics.busy += 1
      default: statistics.idle += 1
      }
    }
    statistics.waiting = waiters.count
    return statistics
  }

  // MARK: Work

  /// Runs one statement, in a transaction of its own.
  package func query(
    _ sql: String, _ binds: [PostgresBind] = [], deadline: LoopInstant? = nil
  ) async throws(PostgresError) -> PostgresRows {
    let connection = try await connection(isExclusive: false)
    counters.stretches += 1
    return try await connection.query(sql, binds, deadline: deadline)
  }

  /// Runs several statements in one round trip and one transaction.
  package func batch(
    _ batch: [PostgresStatement], deadline: LoopInstant? = nil
  ) async throws(PostgresError) -> [PostgresRows] {
    let connection = try await connection(isExclusive: false)
    counters.stretches += 1
    return try await connection.batch(batch, deadline: deadline)
  }

  /// Lends a session to `body` alone. A session that comes back inside a transaction is closed, because
  /// nobody knows what it holds.
  package func withConnection<R>(
    _ body: (PostgresConnection) async throws -> R
  ) async throws -> R {
    let connection = try await connection(isExclusive: true)
    defer { giveBack(connection) }
    return try await body(connection)
  }

  /// Runs `body` between BEGIN and COMMIT, and ROLLBACK when it throws. Prefer `batch` where the
  /// statements are known beforehand: it costs one round trip.
  package func transaction<R>(
    _ body: (PostgresConnection) async throws -> R
  ) async throws -> R {
    try await withConnection { connection in
      _ = try await connection.query("BEGIN")
      let value: R
      do {
        value = try await body(connection)
      } catch {
        _ = try? await connection.query("ROLLBACK")
        throw error
      }
      // After a failed statement, whose error the body kept to itself, COMMIT rolls back and succeeds.
      guard try await connection.query("COMMIT").commandTag == "COMMIT" else {
        throw PostgresError(.rolledBack, "a statement of the transaction had failed")
      }
      return value
    }
  }

  // MARK: Leasing

  private func connection(isExclusive: Bool) async throws(PostgresError) -> PostgresConnection {
    loop.assertInLoop()
    guard !isClosed else { throw PostgresError(.closed, "the pool is closed") }
    guard isAvailable else {
      counters.refused += 1
      throw PostgresError(.unavailable, "no session with the database is open")
    }
    if waiters.isEmpty, let free = free(isExclusive: isExclusive)?.connection { return free }
    guard waiters.count < configuration.waitersMax else {
      counters.refused += 1
      throw PostgresError(.poolExhausted, "\(configuration.waitersMax) callers wait for a session")
    }
    let waiter = Waiter(isExclusive: isExclusive)
    let outcome = await withUnsafeContinuation {
      (continuation: UnsafeContinuation<Result<PostgresConnection, PostgresError>, Never>) in
      waiter.continuation = continuation
      waiter.timer = loop.schedule(after: configuration.waitTimeout) { [weak self] in
        self?.timedOut(waiter)
      }
      waiters.append(waiter)
    }
    let connection = try outcome.get()
    if !isExclusive, let slot = slots.first(where: { $0.connection === connection }) {
      // From here to the sending of the stretch nothing suspends.
      slot.promised -= 1
    }
    if connection.isClosed {
      // It ended between the answer and now; nothing was sent.
      throw PostgresError(.unavailable, "the session ended before the statement was sent")
    }
    return connection
  }

  /// The least busy session with room; leases it when asked for alone.
  private func free(isExclusive: Bool) -> Slot? {
    var best: (slot: Slot, load: Int)?
    for slot in slots where !slot.isLeased {
      guard let connection = slot.connection, connection.acceptsWork else { continue }
      let load = connection.inFlight + slot.promised
      if isExclusive && load > 0 { continue }
      guard load < configuration.stretchesPerConnectionMax else { continue }
      if let best, best.load <= load { continue }
      best = (slot, load)
    }
    if isExclusive { best?.slot.isLeased = true }
    return best?.slot
  }

  private func giveBack(_ connection: PostgresConnection) {
    guard let slot = slots.first(where: { $0.connection === connection }) else { return }
    slot.isLeased = false
    if connection.inFlight > 0 || connection.isInTransaction {
      connection.close()
    } else {
      serve()
    }
  }

  /// Serves who waits, in the order of coming. One who needs a session alone holds up those behind, or
  /// would never get it.
  private func serve() {
    while let waiter = waiters.first, let slot = free(isExclusive: waiter.isExclusive),
      let connection = slot.connection
    {
      waiters.removeFirst()
      if !waiter.isExclusive { slot.promised += 1 }
      answer(waiter, .success(connection))
    }
  }

  private func timedOut(_ waiter: Waiter) {
    waiters.removeAll { $0 === waiter }
    counters.waitsTimedOut += 1
    answer(
      waiter, .failure(PostgresError(.poolExhausted, "no room in \(configuration.waitTimeout)")))
  }

  private func answer(_ waiter: Waiter, _ outcome: Result<PostgresConnection, PostgresError>) {
    guard let waiting = waiter.continuation else { return }
    waiter.continuation = nil
    if let timer = waiter.timer { loop.cancel(timer) }
    waiting.resume(returning: outcome)
  }

  // MARK: Keeping the sessions

  /// Keeps one place of the pool filled until the pool is closed.
  private func keep(_ index: Int) async {
    var failures = 0
    while !isClosed {
      do throws(PostgresError) {
        let connection = try await PostgresConnection.connect(
          configuration.connection, on: loop, blocking: blocking)
        failures = 0
        guard !isClosed else { return connection.close() }
        let error = await run(connection, in: slots[index])
        guard !isClosed else { return }
        counters.connectionsLost += 1
        report(.lost(error))
        if !isAvailable { refuseWaiters() }
      } catch {
        guard !isClosed else { return }
        failures += 1
        counters.connectsFailed += 1
        let delay = backoff(failures)
        report(.connectFailed(error, retryAfter: delay))
        do { try await rest(delay) } catch { return }
      }
    }
  }

  /// Waits between two attempts, in steps, so that `hurry` ends it soon.
  private func rest(_ delay: Duration) async throws {
    let end = loop.now + delay
    let seen = hurries
    while loop.now < end && hurries == seen && !isClosed {
      try await loop.sleep(for: min(Self.restStep, end - loop.now))
    }
  }

  /// The database is known to answer again: sessions that wait for their next attempt try now. On the loop.
  package func hurry() {
    loop.assertInLoop()
    hurries += 1
  }

  /// Offers the session to callers until it ends.
  private func run(_ connection: PostgresConnection, in slot: Slot) async -> PostgresError {
    slot.endedEarly = nil
    slot.isLeased = false
    slot.promised = 0
    slot.connection = connection
    connection.onProgress = { [weak self] in self?.serve() }
    connection.onClose = { error in
      slot.connection = nil
      slot.isLeased = false
      slot.endedEarly = error
      slot.ended?.resume(returning: error)
      slot.ended = nil
    }
    report(.connected)
    serve()
    return await withUnsafeContinuation { (continuation: UnsafeContinuation<PostgresError, Never>) in
      if let error = slot.endedEarly {
        continuation.resume(returning: error)
      } else {
        slot.ended = continuation
      }
    }
  }

  private func refuseWaiters() {
    let refused = waiters
    waiters = []
    counters.refused += UInt64(refused.count)
    for waiter in refused {
      answer(waiter, .failure(PostgresError(.unavailable, "no session with the database is open")))
    }
  }

  /// Doubles with each failure; between half and all of that, by chance.
  private func backoff(_ failures: Int) -> Duration {
    let longest = configuration.backoff.upperBound
    var delay = configuration.backoff.lowerBound
    for _ in 1..<max(1, min(failures, 32)) where delay < longest { delay = min(delay * 2, longest) }
    let half = delay / 2
    return half + .nanoseconds(Int64(random() % UInt64(max(1, half.wholeNanoseconds))))
  }

  /// A session whose peer went away without a word stays open for hours: ask the idle ones.
  private func probe() async {
    for slot in slots where !slot.isLeased {
      guard let connection = slot.connection, connection.inFlight == 0 else { continue }
      do throws(PostgresError) {
        _ = try await connection.query("SELECT 1", deadline: loop.now + configuration.probeTimeout)
      } catch {
        if !connection.isClosed { connection.close() }
      }
    }
  }
}
