package import Bytes
package import EventLoop
package import Postgres
package import Telemetry

/// Commits deliveries in groups: what arrives while one transaction is in flight goes into the next.
///
/// At low load a group is one delivery and nothing waits; under load the group grows and with it the
/// throughput. One group is in flight, so one account's deliveries are committed in the order of their
/// arrival. The queue is bounded in number and bytes; past it a delivery is refused at once.
///
/// Law 1: `commit` returns when the transaction has committed, or throws and nothing was stored that
/// the caller may acknowledge.
package actor IngestWriter {
  package enum Refusal: Error, Equatable, CustomStringConvertible {
    /// The queue is full.
    case overloaded
    /// The database is away, or the hub is stopping.
    case unavailable(String)

    package var description: String {
      switch self {
      case .overloaded: "too many deliveries are waiting"
      case .unavailable(let reason): reason
      }
    }
  }

  private struct Waiting {
    let delivery: ParsedDelivery
    let continuation: CheckedContinuation<Void, any Error>
  }

  private static let groupBytesMax = 8 << 20
  /// Rows that one transaction changes, about: so that it ends long before its time limit.
  private static let groupRowsMax = 10_000

  package nonisolated let loop: EventLoop
  private let pool: PostgresPool
  private let relay: EventRelay
  private let ids: IDSource
  private let metrics: HubMetrics
  private let log: Logger
  private let limits: HubConfiguration.Limits
  /// Whether other nodes listen; asked at each group.
  private let peers: PeerWatch
  private var queue: [Waiting] = []
  private var queueBytes = 0
  private var isCommitting = false

  package init(
    loop: EventLoop, pool: PostgresPool, relay: EventRelay, ids: IDSource, metrics: HubMetrics,
    log: Logger, limits: HubConfiguration.Limits, peers: PeerWatch
  ) {
    self.loop = loop
    self.pool = pool
    self.relay = relay
    self.ids = ids
    self.metrics = metrics
    self.log = log
    self.limits = limits
    self.peers = peers
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// One account always goes to the same writer: its order is kept and no two writers meet on its rows.
  package static func writer(for account: UUIDv7, among writers: [IngestWriter]) -> IngestWriter {
    var hash: UInt32 = 2_166_136_261
    for byte in account.bytes { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return writers[Int(hash) % writers.count]
  }

  /// Deliveries that wait for a group.
  package var depth: Int { queue.count }

  func waitUntilAvailable(_ limit: Duration) async throws {
    try await pool.waitUntilAvailable(limit)
  }

  /// Stores one delivery with all that was read from it. Returns after the commit.
  /// - Throws: `Refusal`; the delivery is not stored and the platform has to send it again.
  package func commit(_ delivery: ParsedDelivery) async throws {
    guard queue.count < limits.ingestQueueMax, queueBytes < limits.ingestQueueBytesMax else {
      throw Refusal.overloaded
    }
    guard pool.isAvailable else { throw Refusal.unavailable("the database is not available") }
    try await withCheckedThrowingContinuation { continuation in
      queue.append(Waiting(delivery: delivery, continuation: continuation))
      queueBytes += delivery.body.count
      metrics.ingestQueue(add: 1)
      if !isCommitting {
        isCommitting = true
        startCommitting()
      }
    }
  }

  /// Outside of the continuation's closure, where a task would start on the global pool.
  private func startCommitting() {
    Task { await withTaskExecutorPreference(loop) { await commitGroups() } }
  }

  private func commitGroups() async {
    while !queue.isEmpty { await commit(takeGroup()) }
    isCommitting = false
  }

  private func takeGroup() -> [Waiting] {
    var count = 0
    var bytes = 0
    var rows = 0
    while count < queue.count && count < limits.groupMax {
      let size = queue[count].delivery.body.count
      let changes = queue[count].delivery.items.reduce(0) { $0 + ItemJSON.rowCount($1) }
      if count > 0 && (bytes + size > Self.groupBytesMax || rows + changes > Self.groupRowsMax) { break }
      bytes += size
      rows += changes
      count += 1
    }
    let group = Array(queue[..<count])
    queue.removeFirst(count)
    queueBytes -= bytes
    metrics.ingestQueue(add: -count)
    return group
  }

  /// Commits one group. A group that the database refuses for its content is halved until the one
  /// delivery at fault is alone; that one is kept as dead, the others are stored. So is one with a page of an
  /// account that another node reads by now; the page is not stored at all.
  private func commit(_ group: [Waiting]) async {
    let start = LoopInstant.current()
    do {
      let events = try await IngestStatement.run(
        group.map(\.delivery), on: pool, ids: ids, notify: peers.areListening)
      metrics.committed(group: group.count, seconds: (LoopInstant.current() - start).inSeconds)
      relay.publish(events)
      for waiting in group { waiting.continuation.resume() }
    } catch {
      await recover(group, from: error)
    }
  }

  private func recover(_ group: [Waiting], from error: PostgresError) async {
    let isForeign = error.sqlState == PollStatement.heldByAnother
    guard error.isDataFault || isForeign else {
      metrics.commitFailed()
      log.warning(
        "a group was not committed",
        ["error": .string("\(error)"), "deliveries": .integer(Int64(group.count))])
      for waiting in group {
        waiting.continuation.resume(throwing: Refusal.unavailable("the database did not commit"))
      }
      return
    }
    if group.count > 1 {
      await commit(Array(group[..<(group.count / 2)]))
      await commit(Array(group[(group.count / 2)...]))
      return
    }
    guard let waiting = group.first else { return }
    if isForeign {
      waiting.continuation.resume(throwing: Refusal.unavailable("the account is read by another node"))
      return
    }
    let delivery = waiting.delivery
    if delivery.outcome == .done || !delivery.items.isEmpty {
      log.warning(
        "a delivery could not be applied",
        ["delivery": .string("\(delivery.id)"), "error": .string("\(error)")])
      await commit([Waiting(delivery: delivery.dead("store: \(error)"), continuation: waiting.continuation)])
    } else {
      waiting.continuation.resume(throwing: Refusal.unavailable("the delivery cannot be stored"))
    }
  }
}
