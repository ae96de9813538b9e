import Bytes
package import EventLoop
import HTTPServer
import HTTPWire
import JSON
import Platforms
import Postgres
package import Security
import SocketIOServer
import Synchronization
package import Telemetry

/// One running hub: its shards, writers, listeners and the housekeeping around them.
///
/// Start: migrations, then pools and shards, then the doors. Stop, within a time limit: close the
/// doors, finish and commit what was accepted, tell the clients, close the database.
package final class HubNode: Sendable {
  package struct Parts: Sendable {
    package let configuration: HubConfiguration
    /// libpq connection string of a role that may migrate and take on the hub's own roles.
    package let database: String
    package let tokens: TokenAuthority
    package let keys: KeyRing
    package let log: Logger
    package let clock: WallClock

    package init(
      configuration: HubConfiguration, database: String, tokens: TokenAuthority, keys: KeyRing,
      log: Logger, clock: WallClock
    ) {
      self.configuration = configuration
      self.database = database
      self.tokens = tokens
      self.keys = keys
      self.log = log
      self.clock = clock
    }
  }

  private static let databaseWait: Duration = .seconds(30)

  private struct Running: Sendable {
    var shards: [HubShard] = []
    var listener: PostgresListener?
    var housekeeping: Housekeeping?
    var outbound: OutboundWorkers?
  }

  package let parts: Parts
  package let metrics: HubMetrics
  package let relay = EventRelay()
  private let pulse = NodePulse()
  package let directory: AccountDirectory
  package let status = NodeStatus()
  private let ids: IDSource
  private let nodeID: UUIDv7
  private let peers = PeerWatch()
  private let running = Mutex(Running())
  private let blocking = BlockingPool(threads: 2)
  private let group = PoolGroup()

  static let random: @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }

  package init(_ parts: Parts) {
    self.parts = parts
    metrics = HubMetrics()
    directory = AccountDirectory(keys: parts.keys)
    ids = IDSource(clock: parts.clock)
    nodeID = ids.next()
  }

  /// The address that the first shard listens on, once started.
  package var address: SocketAddress? {
    running.withLock { $0.shards.first?.address }
  }

  // MARK: Start

  /// Migrates the database, starts the shards and opens the doors.
  /// - Throws: with a text for the operator; nothing is left running.
  package func start() async throws {
    let configuration = parts.configuration
    let loops = try (0..<max(1, configuration.shardCount)).map { try EventLoop(name: "shard-\($0)") }
    try await migrate(on: loops[0])
    let pools = loops.map { ShardPools(loop: $0, parts: parts, blocking: blocking, group: group) }
    let writers = makeWriters(loops)
    let tls = try makeTLS(configuration.listen)
    // Beside the first writer's loop, when there is more than one.
    let outbound = try OutboundWorkers(
      OutboundWorkers.Parts(
        node: parts, nodeID: nodeID, store: pools[pools.count - 1].store, writers: writers, relay: relay,
        pulse: pulse, ids: ids,
        metrics: metrics, blocking: blocking), on: loops[loops.count - 1])
    let shards = loops.indices.map { index in
      HubShard(
        HubShard.Parts(
          index: index, loop: loops[index], node: parts, store: pools[index].store, writers: writers,
          relay: relay, directory: directory, keySets: outbound.keySets, ids: ids, metrics: metrics,
          status: status, tls: tls, outbox: outbound.outbox(pools[index].store),
          files: outbound.fileServing(pools[index].store)))
    }
    try await waitForDatabase(pools, writers)
    try await savePlatforms(pools[0].store, on: loops[0])
    relay.connect(shards.map(\.gateway))
    for shard in shards { shard.connect(siblings: shards) }
    running.withLock {
      $0.shards = shards
      $0.outbound = outbound
    }
    do {
      try await open(shards)
    } catch {
      await stop(within: .seconds(1))
      throw error
    }
    try await saveApps(pools[0].store, on: loops[0])
    startListener(on: loops[0])
    await startHousekeeping(pools[0].store, on: loops[0])
    outbound.start()
    status.set(.ready)
  }

  /// Before the doors open: conversations show it.
  private func savePlatforms(_ store: HubStore, on loop: EventLoop) async throws {
    try await loop.shard.run { shard in
      shard.assertIsolated()
      try await store.savePlatforms(PlatformCatalogue.all)
    }
  }

  /// Makes the apps that the configuration names. One that it no longer names stays.
  private func saveApps(_ store: HubStore, on loop: EventLoop) async throws {
    let ids = ids
    let keys = parts.keys
    let apps = parts.configuration.apps
    guard !apps.isEmpty else { return }
    try await loop.shard.run { shard in
      shard.assertIsolated()
      for app in apps {
        let draft = app.draft
        try await store.saveApp(
          tenant: app.tenant, id: ids.next(), platform: draft.platform.name.rawValue, name: draft.name,
          isConfigured: true
        ) { CredentialSeal.seal(draft.secrets, tenant: app.tenant, account: $0, keys: keys) }
      }
    }
  }

  private func migrate(on loop: EventLoop) async throws {
    var settings = PostgresConfiguration(connectionString: parts.database)
    settings.statementTimeout = .zero
    settings.applicationName = "messaging-hub migrate"
    let configuration = settings
    let blocking = blocking
    let log = parts.log
    let applied = try await loop.shard.run { shard in
      try await Self.untilReachable(shard.loop, log) {
        try await HubMigrations.apply(configuration, on: shard.loop, blocking: blocking)
      }
    }
    if !applied.isEmpty {
      parts.log.info("migrated", ["versions": .string(applied.map(String.init).joined(separator: ","))])
    }
  }

  /// A database that starts beside the hub may need a moment. Anything but "cannot connect" is thrown
  /// at once.
  private static func untilReachable<R>(
    _ loop: EventLoop, _ log: Logger, _ body: () async throws -> R
  ) async throws -> R {
    let end = loop.now + databaseWait
    while true {
      do {
        return try await body()
      } catch let error as PostgresError where error.code == .connectFailed && loop.now < end {
        log.warning("waiting for the database", ["error": .string("\(error)")])
        try await loop.sleep(for: .milliseconds(500))
      } catch let error as PostgresError where error.code == .connectFailed {
        throw PostgresError(.connectFailed, "the database does not answer: \(error.message)")
      }
    }
  }

  private func makeWriters(_ loops: [EventLoop]) -> [IngestWriter] {
    (0..<max(1, parts.configuration.writerCount)).map { number in
      let loop = loops[number % loops.count]
      let pool = ShardPools.pool(
        loop: loop, parts: parts, blocking: blocking, group: group, role: "hub_writer",
        name: "ingest-\(number)", size: 1)
      return IngestWriter(
        loop: loop, pool: pool, relay: relay, ids: ids, metrics: metrics, log: parts.log,
        limits: parts.configuration.limits, peers: peers)
    }
  }

  /// Every shard can read and write before the doors open.
  private func waitForDatabase(_ pools: [ShardPools], _ writers: [IngestWriter]) async throws {
    let limit = Self.databaseWait
    for store in pools.map(\.store) {
      for pool in [store.reader, store.writer] {
        try await pool.loop.shard.run { shard in
          _ = shard.loop
          try await pool.waitUntilAvailable(limit)
        }
      }
    }
    for writer in writers { try await writer.waitUntilAvailable(limit) }
  }

  private func makeTLS(_ listen: HubConfiguration.Listen) throws -> TLSContext? {
    guard let certificate = listen.certificateFile, let key = listen.keyFile else { return nil }
    return try TLSContext(serverCertificate: certificate, key: key)
  }

  private func open(_ shards: [HubShard]) async throws {
    let listen = parts.configuration.listen
    guard var address = SocketAddress(host: listen.host, port: listen.port) else {
      throw SocketError.resolution(listen.host)
    }
    if listen.port != 0 { try Listener.checkFree(address) }
    for shard in shards {
      // The first shard may have asked the kernel for a port; the others take the same.
      address = try await shard.listen(on: address)
    }
  }

  // MARK: Beside the requests

  private func startListener(on loop: EventLoop) {
    let relay = relay
    let directory = directory
    let log = parts.log
    let listener = PostgresListener(
      PostgresListener.Configuration(
        connection: PostgresConfiguration(connectionString: parts.database),
        channels: [Notifications.events, Notifications.accounts]),
      on: loop, blocking: blocking, random: HubNode.random
    ) { [weak self] event in
      switch event {
      case .notification(let notification):
        if notification.channel == Notifications.events {
          relay.announce(Notifications.positions(notification.payload))
        } else {
          directory.forget(notification.payload.isEmpty ? nil : notification.payload)
          self?.outbound?.reconsider(notification.payload)
        }
      case .mayHaveMissed:
        // Whatever was said while nobody listened is looked up.
        directory.forget(nil)
        self?.housekeeping?.checkPositionsSoon()
      case .lost(let error, _):
        log.warning("the notification connection was lost", ["error": .string("\(error)")])
      }
    }
    running.withLock { $0.listener = listener }
    loop.execute { listener.start() }
  }

  private var outbound: OutboundWorkers? { running.withLock { $0.outbound } }
  private var housekeeping: Housekeeping? { running.withLock { $0.housekeeping } }

  /// Returns when the others know of this node.
  private func startHousekeeping(_ store: HubStore, on loop: EventLoop) async {
    let housekeeping = Housekeeping(
      loop: loop, store: store, relay: relay, peers: peers, pulse: pulse, node: nodeID,
      retention: parts.configuration.retention, log: parts.log, metrics: metrics)
    running.withLock { $0.housekeeping = housekeeping }
    await loop.shard.run { shard in
      shard.assertIsolated()
      await housekeeping.begin()
    }
    Task(executorPreference: housekeeping.loop) { await housekeeping.run() }
  }

  // MARK: Stop

  /// Stops in order. What was accepted is committed and answered, unless `limit` passes first.
  package func stop(within limit: Duration) async {
    status.set(.draining)
    let parts = running.withLock { running -> Running in
      defer { running = Running() }
      return running
    }
    await withTaskGroup { group in
      for shard in parts.shards {
        group.addTask { await shard.stop(within: limit) }
      }
    }
    await parts.outbound?.stop(within: limit / 2)
    // After the doors: a database that hangs must not keep them open.
    await parts.housekeeping?.stop()
    if let listener = parts.listener { listener.loop.execute { listener.close() } }
    for shard in parts.shards { shard.loop.shutDown() }
  }
}

/// Where a node stands; readiness and health ask.
package final class NodeStatus: Sendable {
  package enum Phase: Sendable { case starting, ready, draining }

  private let phase = Mutex(Phase.starting)

  package init() {}
  package var current: Phase { phase.withLock { $0 } }
  func set(_ next: Phase) { phase.withLock { $0 = next } }
}

/// The database connections of one shard, by role.
struct ShardPools: Sendable {
  let store: HubStore

  init(loop: EventLoop, parts: HubNode.Parts, blocking: BlockingPool, group: PoolGroup) {
    store = HubStore(
      reader: Self.pool(
        loop: loop, parts: parts, blocking: blocking, group: group, role: "hub_reader", name: "reader",
        size: parts.configuration.readConnections),
      writer: Self.pool(
        loop: loop, parts: parts, blocking: blocking, group: group, role: "hub_writer", name: "writer",
        size: 2))
  }

  /// A started pool. It connects by itself and again after a loss.
  static func pool(
    loop: EventLoop, parts: HubNode.Parts, blocking: BlockingPool, group: PoolGroup, role: String,
    name: String, size: Int
  ) -> PostgresPool {
    var connection = PostgresConfiguration(connectionString: parts.database)
    connection.role = role
    connection.applicationName = "messaging-hub \(name)"
    // A platform gives a webhook a few seconds; a database that hangs is to be told from a slow one soon.
    connection.statementTimeout = .seconds(5)
    connection.deadlineGrace = .seconds(1)
    var configuration = PostgresPool.Configuration(connection: connection)
    configuration.size = size
    let log = parts.log
    let pool = PostgresPool(configuration, on: loop, blocking: blocking, random: HubNode.random) { event in
      switch event {
      case .connected:
        log.debug("database connected", ["pool": .string(name)])
        group.hurry()
      case .connectFailed(let error, _):
        log.warning("cannot connect to the database", ["pool": .string(name), "error": .string("\(error)")])
      case .lost(let error):
        log.warning("a database connection was lost", ["pool": .string(name), "error": .string("\(error)")])
      }
    }
    group.add(pool)
    loop.execute { pool.start() }
    return pool
  }
}

/// The pools of a node: when one finds the database again, the others need not wait out their pause.
final class PoolGroup: Sendable {
  private let pools = Mutex<[PostgresPool]>([])

  func add(_ pool: PostgresPool) { pools.withLock { $0.append(pool) } }

  func hurry() {
    for pool in pools.withLock({ $0 }) { pool.loop.execute { pool.hurry() } }
  }
}
