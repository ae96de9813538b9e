import EventLoop
import Testing

@testable import Postgres

@Suite("PostgreSQL pool")
struct PostgresPoolTests {
  private static func withPool(
    size: Int = 2, _ change: (inout PostgresPool.Configuration) -> Void = { _ in },
    _ body: @Sendable (isolated Shard, PostgresPool) async throws -> Void
  ) async throws {
    var configuration = PostgresPool.Configuration(connection: try TestCluster.configuration())
    configuration.size = size
    change(&configuration)
    let fixed = configuration
    try await TestLoop.run { shard, blocking in
      let pool = PostgresPool(fixed, on: shard.loop, blocking: blocking, random: { 7 })
      pool.start()
      try await pool.waitUntilAvailable(.seconds(5))
      defer { pool.close() }
      try await body(shard, pool)
    }
  }

  @Test("many callers share few sessions")
  func sharing() async throws {
    try await Self.withPool { shard, pool in
      let tasks = (0..<200).map { number in
        begin(shard) { try await pool.query("SELECT $1::int8", [.int(number)])[0].int(0) }
      }
      var sum = 0
      for task in tasks { sum += try await task.value }
      #expect(sum == 199 * 100)
      let statistics = pool.statistics
      #expect(statistics.waiting == 0)
      #expect(statistics.stretches == 200)
    }
  }

  @Test("a transaction commits, and is taken back when its body throws")
  func transactions() async throws {
    struct Refused: Error {}
    try await Self.withPool(size: 1) { _, pool in
      _ = try await pool.query("CREATE TEMP TABLE t (id int8)")
      try await pool.transaction { connection in
        _ = try await connection.query("INSERT INTO t VALUES (1)")
      }
      do {
        try await pool.transaction { connection in
          _ = try await connection.query("INSERT INTO t VALUES (2)")
          throw Refused()
        }
        Issue.record("the transaction was committed")
      } catch {
        #expect(error is Refused)
      }
      let failed = await failure {
        try await pool.transaction { connection in _ = try await connection.query("SELECT 1/0") }
      }
      #expect(failed?.sqlState == "22012")
      let swallowed = await failure {
        try await pool.transaction { connection in
          _ = try await connection.query("INSERT INTO t VALUES (3)")
          _ = try? await connection.query("SELECT 1/0")
        }
      }
      #expect(swallowed?.code == .rolledBack)
      #expect(try await pool.query("SELECT count(*) FROM t").first?.int(0) == 1)
    }
  }

  @Test("a session that comes back inside a transaction is replaced")
  func leakedTransaction() async throws {
    try await Self.withPool(size: 1) { shard, pool in
      let first = try await pool.withConnection { connection in
        _ = try await connection.query("BEGIN")
        return connection.serverProcess
      }
      try await pool.waitUntilAvailable(.seconds(5))
      let second = try await pool.withConnection { $0.serverProcess }
      #expect(first != second)
    }
  }

  @Test("callers wait for a leased session, in bounds of number and time")
  func waiting() async throws {
    try await Self.withPool(
      size: 1,
      {
        $0.waitersMax = 1; $0.waitTimeout = .milliseconds(100)
      }
    ) { shard, pool in
      let loop = shard.loop
      let lease = begin(shard) {
        try await pool.withConnection { _ in try await loop.sleep(for: .milliseconds(300)) }
      }
      let early = try await eventually(loop) { pool.statistics.busy == 1 }
      #expect(early)
      let waits = begin(shard) { try await pool.query("SELECT 1") }
      let queued = try await eventually(loop) { pool.statistics.waiting == 1 }
      #expect(queued)
      let refused = await failure { try await pool.query("SELECT 2") }
      #expect(refused?.code == .poolExhausted)
      let timedOut = await failure { try await waits.value }
      #expect(timedOut?.code == .poolExhausted)
      try await lease.value
      #expect(try await pool.query("SELECT 3::int8").first?.int(0) == 3)
      #expect(pool.statistics.waitsTimedOut == 1)
    }
  }

  @Test("a session that is leased alone carries nobody else's statement, whoever waited before")
  func leaseIsAlone() async throws {
    try await Self.withPool(size: 1, { $0.stretchesPerConnectionMax = 2 }) { shard, pool in
      _ = try await pool.query("CREATE TEMP TABLE t (id int8)")
      var tasks: [Task<Void, any Error>] = []
      for number in 0..<60 {
        if number.isMultiple(of: 3) {
          tasks.append(
            begin(shard) {
              // Rolled back: a stranger's row inside would go with it.
              do {
                try await pool.transaction { connection in
                  _ = try await connection.query("INSERT INTO t VALUES (-1)")
                  _ = try await connection.query("SELECT pg_sleep(0.001)")
                  throw CancellationError()
                }
              } catch is CancellationError {}
            })
        } else {
          tasks.append(begin(shard) { _ = try await pool.query("INSERT INTO t VALUES ($1)", [.int(number)]) })
        }
      }
      for task in tasks { try await task.value }
      let row = try await pool.query("SELECT count(*), min(id) FROM t").first
      #expect(try row?.int(0) == 40)
      #expect(try row?.int(1) == 1)
    }
  }

  @Test("a closing pool lets finish what is under way")
  func draining() async throws {
    try await Self.withPool { shard, pool in
      let slow = begin(shard) { try await pool.query("SELECT pg_sleep(0.1), 9::int8 AS n").first?.int("n") }
      let busy = try await eventually(shard.loop) { pool.statistics.busy == 1 }
      #expect(busy)
      await pool.close(drainingFor: .seconds(5))
      let value = try await slow.value
      #expect(value == 9)
      let error = await failure { try await pool.query("SELECT 1") }
      #expect(error?.code == .closed)
    }
  }

  @Test("without a database callers are refused at once, and the attempts spread out")
  func unavailable() async throws {
    var configuration = PostgresPool.Configuration(
      connection: PostgresConfiguration(connectionString: "host=/nowhere dbname=x"))
    configuration.size = 1
    configuration.backoff = .milliseconds(2)...(.milliseconds(8))
    let fixed = configuration
    try await TestLoop.run { shard, blocking in
      let events = Seen<PostgresPool.Event>()
      let pool = PostgresPool(
        fixed, on: shard.loop, blocking: blocking, random: { 0 }, report: { events.append($0) })
      pool.start()
      let error = await failure { try await pool.query("SELECT 1") }
      #expect(error?.code == .unavailable)
      #expect(error?.isRetryable == true)
      let happened = try await eventually(shard.loop) { events.all.count >= 4 }
      #expect(happened)
      let delays = events.all.prefix(4).compactMap { event -> Duration? in
        if case .connectFailed(_, let delay) = event { delay } else { nil }
      }
      #expect(delays == [.milliseconds(1), .milliseconds(2), .milliseconds(4), .milliseconds(4)])
      pool.close()
    }
  }

  @Test("sessions that are ended come back; what was under way fails as lost")
  func recovers() async throws {
    try await Self.withPool(size: 2, { $0.backoff = .milliseconds(5)...(.milliseconds(50)) }) { shard, pool in
      let slow = begin(shard) { try await pool.query("SELECT pg_sleep(30) /* pool test victim */") }
      try await TestLoop.withConnection { otherShard, killer in
        let found = try await eventually(otherShard.loop) {
          try await killer.query(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE query LIKE '%pool test victim%' AND pid <> pg_backend_pid() AND state = 'active'
            """
          ).count == 1
        }
        #expect(found)
      }
      let error = await failure { try await slow.value }
      #expect(error?.code == .connectionLost)
      let back = try await eventually(shard.loop) { pool.statistics.idle == 2 }
      #expect(back)
      #expect(pool.statistics.connectionsLost == 1)
    }
  }
}
