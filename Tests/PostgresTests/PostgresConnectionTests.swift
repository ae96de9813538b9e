import EventLoop
import Testing

@testable import Postgres

@Suite("PostgreSQL connection")
struct PostgresConnectionTests {
  @Test("an error in the middle of three stretches under way fails that one alone")
  func threeStretches() async throws {
    try await TestLoop.withConnection { shard, connection in
      let first = begin(shard) { try await connection.query("SELECT 1::int8") }
      let second = begin(shard) {
        try await connection.batch([
          PostgresStatement("SELECT 2::int8"), PostgresStatement("SELECT 1/0"), PostgresStatement("SELECT 3"),
        ])
      }
      let third = begin(shard) { try await connection.query("SELECT 4::int8") }
      let firstRow = try await first.value.first
      #expect(try firstRow?.int(0) == 1)
      let error = await failure { try await second.value }
      #expect(error?.sqlState == "22012")
      #expect(error?.isDataFault == true)
      let thirdRow = try await third.value.first
      #expect(try thirdRow?.int(0) == 4)
      #expect(connection.inFlight == 0)
    }
  }

  @Test("a batch is one transaction: its last statement's fault takes the first one back")
  func batchIsAtomic() async throws {
    try await TestLoop.withConnection { shard, connection in
      try await connection.execute(script: "CREATE TEMP TABLE t (id int8 PRIMARY KEY)")
      let error = await failure {
        try await connection.batch([
          PostgresStatement("INSERT INTO t VALUES ($1)", [.int(1)]),
          PostgresStatement("INSERT INTO t VALUES ($1)", [.int(1)]),
        ])
      }
      #expect(error?.isUniqueViolation == true)
      #expect(error?.server?.constraint == "t_pkey")
      #expect(error?.description.contains("(1)") == false)
      #expect(try await connection.query("SELECT count(*) FROM t").first?.int(0) == 0)
      let rows = try await connection.batch([
        PostgresStatement("INSERT INTO t VALUES ($1)", [.int(1)]),
        PostgresStatement("INSERT INTO t VALUES ($1)", [.int(2)]),
      ])
      #expect(rows.map(\.affectedRows) == [1, 1])
    }
  }

  @Test("a constraint that is checked at the commit fails the stretch")
  func deferredConstraint() async throws {
    try await TestLoop.withConnection { shard, connection in
      try await connection.execute(
        script: "CREATE TEMP TABLE d (id int8 UNIQUE DEFERRABLE INITIALLY DEFERRED)")
      let failing = begin(shard) { try await connection.query("INSERT INTO d VALUES (1), (1)") }
      let next = begin(shard) { try await connection.query("SELECT count(*) FROM d") }
      let error = await failure { try await failing.value }
      #expect(error?.isUniqueViolation == true)
      let nextRow = try await next.value.first
      #expect(try nextRow?.int(0) == 0)
    }
  }

  @Test("a statement is prepared once, and again when a failure kept it from being prepared")
  func preparedStatements() async throws {
    try await TestLoop.withConnection { shard, connection in
      let sql = "SELECT $1 + 1 AS n"
      // The prepare of `sql` is skipped, because the step before it fails.
      _ = await failure {
        try await connection.batch([PostgresStatement("SELECT 1/0"), PostgresStatement(sql, [.int(1)])])
      }
      for number in 1...3 {
        #expect(try await connection.query(sql, [.int(number)]).first?.int("n") == number + 1)
      }
      let named = try await connection.query(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1", [.text(sql)])
      #expect(try named.first?.int(0) == 1)
      #expect(try await connection.query(sql, [.double(1)]).first?.double("n") == 2)
    }
  }

  @Test("the first callers of a statement may come together")
  func concurrentFirstUse() async throws {
    try await TestLoop.withConnection { shard, connection in
      let one = begin(shard) { try await connection.query("SELECT $1::int8 * 2", [.int(1)]) }
      let two = begin(shard) { try await connection.query("SELECT $1::int8 * 2", [.int(2)]) }
      let three = begin(shard) { try await connection.query("SELECT $1::int8 * 2", [.int(3)]) }
      let numbers = try await [one.value, two.value, three.value].map { try $0[0].int(0) }
      #expect(numbers == [2, 4, 6])
    }
  }

  @Test("a table that changed its shape fails a cached statement once")
  func changedTable() async throws {
    try await TestLoop.withConnection { shard, connection in
      try await connection.execute(script: "CREATE TEMP TABLE c (a int8); INSERT INTO c VALUES (1)")
      #expect(try await connection.query("SELECT * FROM c").columnCount == 1)
      try await connection.execute(script: "ALTER TABLE c ADD b text")
      let error = await failure { try await connection.query("SELECT * FROM c") }
      #expect(error?.sqlState == "0A000")
      #expect(try await connection.query("SELECT * FROM c").columnCount == 2)
    }
  }

  @Test("a script waits for what is under way, and later work waits for it")
  func scriptsInOrder() async throws {
    try await TestLoop.withConnection { shard, connection in
      let before = begin(shard) {
        try await connection.query("SELECT count(*) FROM pg_class WHERE relname = 'made_by_script'")
      }
      let script = begin(shard) {
        try await connection.execute(
          script: "CREATE TEMP TABLE made_by_script (a int8); INSERT INTO made_by_script VALUES (1), (2);")
      }
      let beforeRow = try await before.value.first
      #expect(try beforeRow?.int(0) == 0)
      try await script.value
      #expect(try await connection.query("SELECT count(*) FROM made_by_script").first?.int(0) == 2)
      let error = await failure {
        try await connection.execute(script: "SELECT 1; SELECT nonsense; SELECT 2")
      }
      #expect(error?.sqlState == "42703")
      #expect(try await connection.query("SELECT 5::int8").first?.int(0) == 5)
    }
  }

  @Test("a statement past its deadline is cancelled, and its neighbours behind it go on")
  func deadline() async throws {
    try await TestLoop.withConnection { shard, connection in
      let loop = shard.loop
      let started = LoopInstant.current()
      let slow = begin(shard) {
        try await connection.query("SELECT pg_sleep(30)", deadline: loop.now + .milliseconds(100))
      }
      let next = begin(shard) { try await connection.query("SELECT 6::int8") }
      let error = await failure { try await slow.value }
      #expect(error?.code == .timedOut)
      let nextRow = try await next.value.first
      #expect(try nextRow?.int(0) == 6)
      #expect(LoopInstant.current() - started < .seconds(5))
      let happened = try await eventually(loop) { connection.acceptsWork }
      #expect(happened)
    }
  }

  @Test("PostgreSQL's own statement time-out is an error of that statement")
  func serverTimeout() async throws {
    var configuration = try TestCluster.configuration()
    configuration.statementTimeout = .milliseconds(50)
    try await TestLoop.withConnection(configuration) { shard, connection in
      let error = await failure {
        try await connection.query("SELECT pg_sleep(30)")
      }
      #expect(error?.isQueryCancelled == true)
      #expect(error?.isRetryable == true)
      #expect(!connection.isClosed)
    }
  }

  @Test("a session that is ended in the middle of a statement fails it as lost, and all behind it")
  func terminated() async throws {
    try await TestLoop.withConnection { shard, killer in
      let loop = shard.loop
      let blocking = BlockingPool()
      let victim = try await PostgresConnection.connect(
        TestCluster.configuration(), on: loop, blocking: blocking)
      let ended = Seen<PostgresError>()
      victim.onClose = { ended.append($0) }
      let slow = begin(shard) { try await victim.query("SELECT pg_sleep(30)") }
      let behind = begin(shard) { try await victim.query("SELECT 1") }
      _ = try await killer.query(
        "SELECT pg_terminate_backend($1)", [.int4(victim.serverProcess)])
      let first = await failure { try await slow.value }
      let second = await failure { try await behind.value }
      #expect(first?.code == .connectionLost)
      #expect(first?.sqlState == "57P01")
      #expect(second?.code == .connectionLost)
      #expect(victim.isClosed)
      #expect(ended.all.count == 1)
      let late = await failure { try await victim.query("SELECT 1") }
      #expect(late?.code == .closed)
    }
  }

  @Test("an idle session that is ended says so")
  func terminatedWhileIdle() async throws {
    try await TestLoop.withConnection { shard, killer in
      let victim = try await PostgresConnection.connect(
        TestCluster.configuration(), on: shard.loop, blocking: BlockingPool())
      _ = try await killer.query("SELECT pg_terminate_backend($1)", [.int4(victim.serverProcess)])
      let happened = try await eventually(shard.loop) { victim.isClosed }
      #expect(happened)
    }
  }

  @Test("megabytes go both ways")
  func large() async throws {
    try await TestLoop.withConnection { shard, connection in
      let megabytes = [UInt8](repeating: 0x61, count: 8 * 1_024 * 1_024)
      let one = begin(shard) { try await connection.query("SELECT $1", [.bytes(megabytes)]) }
      let two = begin(shard) { try await connection.query("SELECT $1", [.bytes(megabytes)]) }
      let oneRow = try await one.value.first
      #expect(try oneRow?.bytes(0) == megabytes)
      let twoRow = try await two.value.first
      #expect(try twoRow?.bytes(0) == megabytes)
    }
  }

  @Test("the session has the settings of its configuration")
  func settings() async throws {
    var configuration = try TestCluster.configuration()
    configuration.applicationName = "a hub's test"
    configuration.statementTimeout = .seconds(7)
    configuration.role = "pg_monitor"
    configuration.settings = ["search_path": "pg_catalog, public"]
    try await TestLoop.withConnection(configuration) { shard, connection in
      let rows = try await connection.query(
        """
        SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS t,
               current_user::text AS role, current_setting('search_path') AS path
        """)
      let row = try #require(rows.first)
      #expect(try row.string("name") == "a hub's test")
      #expect(try row.string("t") == "7s")
      #expect(try row.string("role") == "pg_monitor")
      #expect(try row.string("path") == "pg_catalog, public")
    }
  }

  @Test("what cannot be connected to is refused, and the text has no password")
  func refused() async throws {
    try await TestLoop.run { shard, blocking in
      for text in [
        "host=/nowhere dbname=x password=s3cret", "postgresql://u:s3cret@127.0.0.1:1/x", "s3cret nonsense",
        "host=localhost port=1 password=s3cret dbname=x",
      ] {
        let error = await failure {
          try await PostgresConnection.connect(
            PostgresConfiguration(connectionString: text), on: shard.loop, blocking: blocking)
        }
        #expect(error?.code == .connectFailed)
        #expect(error?.description.contains("s3cret") == false)
      }
    }
  }
}
