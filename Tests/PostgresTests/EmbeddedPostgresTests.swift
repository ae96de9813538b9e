import EventLoop
import Glibc
import Testing

@testable import Postgres

@Suite("Embedded PostgreSQL", .serialized)
struct EmbeddedPostgresTests {
  private static func withFolder(_ name: String, _ body: (String) async throws -> Void) async throws {
    let folder = "/tmp/hub-embedded-\(getpid())-\(name)"
    defer { FileTree.removeTree(folder) }
    try await body(folder)
  }

  private static func start(
    _ folder: String, report: @escaping @Sendable (EmbeddedPostgres.Event) -> Void = { _ in }
  ) throws -> EmbeddedPostgres {
    var configuration = EmbeddedPostgres.Configuration(dataFolder: folder)
    configuration.binaryFolder = TestCluster.environment("HUB_PG_BIN")
    configuration.searchPath = TestCluster.environment("PATH")
    configuration.sharedBuffersMegabytes = 16
    configuration.restartBackoff = .milliseconds(20)...(.milliseconds(100))
    return try EmbeddedPostgres.start(configuration, report: report)
  }

  private static func query(_ connectionString: String, _ sql: String) async throws -> Int? {
    try await TestLoop.withConnection(PostgresConfiguration(connectionString: connectionString)) {
      try await $1.query(sql).first?.int(0)
    }
  }

  private static func script(_ server: EmbeddedPostgres, _ sql: String) async throws {
    let configuration = PostgresConfiguration(connectionString: server.connectionString)
    try await TestLoop.withConnection(configuration) { try await $1.execute(script: sql) }
  }

  @Test("makes a durable cluster, keeps it over a restart, and lets one hub run it at a time")
  func life() async throws {
    try await Self.withFolder("life") { folder in
      #expect(EmbeddedPostgres.connectionIfRunning(dataFolder: folder) == nil)
      let first = try Self.start(folder)
      try await Self.script(first, "CREATE TABLE kept AS SELECT 42::int8 AS n")
      let settings = try await Self.query(
        first.connectionString,
        """
        SELECT count(*) FROM pg_settings
        WHERE (name, setting) IN (('fsync','on'), ('synchronous_commit','on'), ('full_page_writes','on'),
          ('listen_addresses',''), ('data_checksums','on'), ('server_encoding','UTF8'), ('jit','off'))
        """)
      #expect(settings == 7)
      _ = await failure {
        try await Self.script(
          first, "CREATE TABLE v (t text CHECK (t = 'x'), n int8); INSERT INTO v VALUES ('canary text')")
      }
      var log = ""
      for _ in 0..<200 where !log.contains("violates") {
        usleep(10_000)
        log = FileTree.names(in: first.layout.cluster + "/log")
          .compactMap { FileTree.read(first.layout.cluster + "/log/" + $0) }.joined()
      }
      #expect(log.contains("violates"))
      #expect(!log.contains("canary"))
      #expect(EmbeddedPostgres.connectionIfRunning(dataFolder: folder) == first.connectionString)
      let second = #expect(throws: EmbeddedPostgresError.self) { try Self.start(folder) }
      #expect(second?.description.contains("process \(getpid())") == true)
      first.stop()
      #expect(EmbeddedPostgres.connectionIfRunning(dataFolder: folder) == nil)

      let started = ContinuousClock.now
      let again = try Self.start(folder)
      let taken = ContinuousClock.now - started
      #expect(taken < .seconds(5))
      #expect(try await Self.query(again.connectionString, "SELECT n FROM kept") == 42)
      again.stop()
      again.stop()
      #expect(ChildProcess.servers(of: again.layout.cluster).isEmpty)
    }
  }

  @Test("an orphan of a dead hub is stopped; a stale process file is no obstacle")
  func orphan() async throws {
    try await Self.withFolder("orphan") { folder in
      let first = try Self.start(folder)
      try await Self.script(first, "CREATE TABLE kept AS SELECT 43::int8 AS n")
      first.stop()

      let layout = first.layout
      let binaries = try #require(
        PostgresBinaries.find(
          preferred: TestCluster.environment("HUB_PG_BIN"), searchPath: TestCluster.environment("PATH")
        ).first)
      let orphan = try ChildProcess.start(
        binaries.postgres,
        [
          "-D", layout.cluster, "-c", "listen_addresses=", "-c",
          "unix_socket_directories=\(layout.socketFolder)",
        ],
        output: layout.startLog, user: layout.user, diesWithThread: false)
      while FileTree.read(layout.processFile)?.contains("ready") != true { usleep(5_000) }
      let events = Seen<EmbeddedPostgres.Event>()
      let second = try Self.start(folder) { events.append($0) }
      _ = ChildProcess.wait(for: orphan)
      #expect(events.all.first == .orphanStopped(process: orphan))
      #expect(try await Self.query(second.connectionString, "SELECT n FROM kept") == 43)
      second.stop()

      // The number of a process that lives but is no server: ours.
      let stale = open(layout.processFile, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      let text = Array("\(getpid())\n\(layout.cluster)\n1\n5432\n\(layout.socketFolder)\n\n".utf8)
      #expect(write(stale, text, text.count) == text.count)
      close(stale)
      let third = try Self.start(folder)
      #expect(try await Self.query(third.connectionString, "SELECT n FROM kept") == 43)
      third.stop()
    }
  }

  @Test("a server that is killed comes back with what was committed, and a pool with it")
  func killed() async throws {
    try await Self.withFolder("killed") { folder in
      let events = Seen<EmbeddedPostgres.Event>()
      let server = try Self.start(folder) { events.append($0) }
      defer { server.stop() }
      var configuration = PostgresPool.Configuration(
        connection: PostgresConfiguration(connectionString: server.connectionString))
      configuration.backoff = .milliseconds(10)...(.milliseconds(100))
      let fixed = configuration
      try await TestLoop.run { shard, blocking in
        let loop = shard.loop
        let pool = PostgresPool(fixed, on: loop, blocking: blocking, random: { 3 })
        pool.start()
        defer { pool.close() }
        try await pool.waitUntilAvailable(.seconds(5))
        _ = try await pool.query("CREATE TABLE kept AS SELECT 44::int8 AS n")
        for signal in [SIGKILL, SIGINT] {
          let process = try #require(server.serverProcess)
          let seen = events.all.count
          kill(process, signal)
          let ended = try await eventually(loop) { events.all.count > seen && !pool.isAvailable }
          #expect(ended)
          let error = await failure { try await pool.query("SELECT 1") }
          #expect(error?.code == .unavailable)
          try await pool.waitUntilAvailable(.seconds(20))
          #expect(try await pool.query("SELECT n FROM kept").first?.int(0) == 44)
          #expect(server.serverProcess != process)
        }
      }
      #expect(events.all.contains(.ended(code: 128 + SIGKILL, restartAfter: .milliseconds(20))))
    }
  }

  @Test("the socket's folder is short when the data folder's path is long")
  func longPath() async throws {
    try await Self.withFolder("long") { folder in
      let long = folder + "/" + String(repeating: "d", count: 120)
      let layout = try EmbeddedPostgresLayout.prepare(dataFolder: long, runtimeFolder: nil)
      #expect(layout.socketFolder.hasPrefix("/tmp/messaging-hub-"))
      let status = try #require(FileTree.status(layout.socketFolder))
      #expect(status.mode & 0o777 == 0o700)
      #expect(status.owner == (layout.user?.id ?? geteuid()))
      rmdir(layout.socketFolder)
    }
  }

  @Test("below a folder that the server may not enter, the cluster is a link", .enabled(if: geteuid() == 0))
  func closedParent() async throws {
    try await Self.withFolder("closed") { folder in
      #expect(mkdir(folder, 0o700) == 0)
      let data = folder + "/data"
      let layout = try EmbeddedPostgresLayout.prepare(dataFolder: data, runtimeFolder: nil)
      #expect(layout.cluster == "/var/lib/messaging-hub/\(shortName(of: data))/postgres")
      let again = try EmbeddedPostgresLayout.prepare(dataFolder: data, runtimeFolder: nil)
      #expect(again == layout)
      rmdir(FileTree.parent(of: layout.cluster))
      rmdir("/var/lib/messaging-hub")
      rmdir(layout.socketFolder)
    }
  }

  @Test("words for the operator when something is missing or in the way")
  func obstacles() async throws {
    try await Self.withFolder("obstacles") { folder in
      var configuration = EmbeddedPostgres.Configuration(dataFolder: folder)
      configuration.binaryFolder = "/nowhere"
      let fixed = configuration
      let missing = #expect(throws: EmbeddedPostgresError.self) { try EmbeddedPostgres.start(fixed) }
      #expect(missing?.description.contains("HUB_PG_BIN") == true)
      #expect(mkdir(folder + "/postgres", 0o755) == 0)
      let version = open(folder + "/postgres/PG_VERSION", O_WRONLY | O_CREAT, 0o644)
      #expect(write(version, "9\n", 2) == 2)
      close(version)
      let old = #expect(throws: EmbeddedPostgresError.self) { try Self.start(folder) }
      #expect(old?.description.contains("PostgreSQL 9") == true)
    }
  }
}
