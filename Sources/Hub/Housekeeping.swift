package import Bytes
package import EventLoop
import Postgres
package import Telemetry

/// What a node does on its own account: says that it lives, looks for other nodes, keeps the
/// partitions, and now and then compares its clients' positions with the log, as a net under a lost
/// notification.
package actor Housekeeping {
  private static let heartbeat: Duration = .seconds(2)
  private static let positionsEvery = 5
  /// Turns after the start that all look at the positions: until the others have seen this node, they do
  /// not tell it what they commit.
  private static let newcomerTurns = 4
  private static let partitionsEvery = 900
  private static let sweepsEvery = 15
  private static let outboxEvery = 1_800
  private static let farewellMax: Duration = .seconds(1)

  package nonisolated let loop: EventLoop
  private let store: HubStore
  private let relay: EventRelay
  private let peers: PeerWatch
  private let pulse: NodePulse
  private let node: UUIDv7
  private let retention: HubConfiguration.Retention
  private let log: Logger
  private let metrics: HubMetrics
  private var isStopped = false
  private var isBeating = false
  private var isPositionCheckDue = false

  package init(
    loop: EventLoop, store: HubStore, relay: EventRelay, peers: PeerWatch, pulse: NodePulse,
    node: UUIDv7,
    retention: HubConfiguration.Retention, log: Logger, metrics: HubMetrics
  ) {
    self.loop = loop
    self.store = store
    self.relay = relay
    self.peers = peers
    self.pulse = pulse
    self.node = node
    self.retention = retention
    self.log = log
    self.metrics = metrics
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  package func run() async {
    // Of its own: what takes long must not make the others think that this node is gone.
    Task { await withTaskExecutorPreference(loop) { await keepBeating() } }
    var turn = 0
    while !isStopped {
      if turn.isMultiple(of: Self.partitionsEvery) {
        await attempt("partitions") { try await store.keepPartitions(retention) }
      }
      if isPositionCheckDue || turn < Self.newcomerTurns || turn.isMultiple(of: Self.positionsEvery) {
        isPositionCheckDue = false
        await attempt("positions") { try await checkPositions() }
      }
      if turn.isMultiple(of: Self.sweepsEvery) {
        await attempt("sweeps") {
          for row in try await store.recoveredBySweep() { metrics.recoveredBySweep(row.platform, row.count) }
        }
      }
      if turn.isMultiple(of: Self.outboxEvery) {
        await attempt("outbox") { try await store.keepOutbox(retention) }
        await attempt("pauses") { try await store.forgetPauses() }
      }
      turn += 1
      try? await loop.sleep(for: Self.heartbeat)
    }
  }

  /// Before this node takes anything: what a node holds that nobody has seen is free for others.
  package func begin() async { await attempt("heartbeat") { try await beat() } }

  private func keepBeating() async {
    while !isStopped {
      try? await loop.sleep(for: Self.heartbeat)
      if !isStopped { await attempt("heartbeat") { try await beat() } }
    }
  }

  package func stop() async {
    isStopped = true
    // A beat that is on its way would say that the node is there again.
    let deadline = loop.now + Self.farewellMax
    while isBeating && loop.now < deadline { try? await loop.sleep(for: .milliseconds(5)) }
    await attempt("farewell") { try await store.removeNode(node, deadline: loop.now + Self.farewellMax) }
  }

  package nonisolated func checkPositionsSoon() {
    loop.execute { self.assumeIsolated { $0.isPositionCheckDue = true } }
  }

  private func beat() async throws {
    isBeating = true
    defer { isBeating = false }
    let begin = LoopInstant.current()
    peers.set(try await store.beat(node) > 0)
    pulse.beat(at: begin)
  }

  private func checkPositions() async throws {
    let users = relay.users()
    for start in stride(from: 0, to: users.count, by: 1_000) {
      let page = Array(users[start..<min(start + 1_000, users.count)])
      relay.announce(try await store.eventPositions(page))
    }
  }

  private func attempt(_ name: String, _ body: () async throws -> Void) async {
    do {
      try await body()
    } catch {
      log.debug("housekeeping failed", ["task": .string(name), "error": .string("\(error)")])
    }
  }
}
