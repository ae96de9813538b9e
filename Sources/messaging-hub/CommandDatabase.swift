import EventLoop
import Hub
import Postgres
import Security

/// The database of a command: the one that DATABASE_URL names, else the one that a running hub has,
/// else the hub's own, started for the command and stopped after it.
enum CommandDatabase {
  private static let connectLimit: Duration = .seconds(5)

  /// Runs `body` with a connection string.
  static func use<T>(_ settings: Settings, _ body: (String) async throws -> T) async throws -> T {
    if let url = settings.databaseURL { return try await body(url) }
    if let running = EmbeddedPostgres.connectionIfRunning(dataFolder: settings.dataFolder) {
      return try await body(running)
    }
    let server = try start(settings)
    defer { server.stop() }
    return try await body(server.connectionString)
  }

  /// Starts the hub's own PostgreSQL. Blocks.
  static func start(_ settings: Settings) throws -> EmbeddedPostgres {
    var configuration = EmbeddedPostgres.Configuration(dataFolder: settings.dataFolder)
    configuration.binaryFolder = settings.postgresBinaries
    do throws(EmbeddedPostgresError) {
      return try EmbeddedPostgres.start(configuration)
    } catch {
      throw Failure("\(error)")
    }
  }

  /// Runs `body` on a loop with a store on the database. The schema has to be there.
  static func withStore<T: Sendable>(
    _ settings: Settings, _ body: @escaping @Sendable (HubStore, EventLoop) async throws -> T
  ) async throws -> T {
    try await use(settings) { url in
      try await Program.onLoop("command") { loop in
        let blocking = BlockingPool()
        let writer = pool(url, role: "hub_writer", loop, blocking)
        let reader = pool(url, role: "hub_reader", loop, blocking)
        defer {
          writer.close()
          reader.close()
        }
        try await connect(url, loop, blocking)
        for pool in [writer, reader] {
          pool.start()
          try await pool.waitUntilAvailable(connectLimit)
        }
        return try await body(HubStore(reader: reader, writer: writer), loop)
      }
    }
  }

  /// Looks whether the database answers and has the schema of this program.
  /// - Throws: `Failure` with what to do.
  private static func connect(_ url: String, _ loop: EventLoop, _ blocking: BlockingPool) async throws {
    let connection = try await session(url, loop, blocking)
    defer { connection.close() }
    let applied = try await appliedMigrations(connection)
    guard let last = HubMigrations.all.last?.version, (applied.max() ?? 0) >= last else {
      throw Failure("the database has not the schema of this program yet; run: messaging-hub migrate")
    }
  }

  /// A session of the login itself, for migrations and for looking around.
  static func session(
    _ url: String, _ loop: EventLoop, _ blocking: BlockingPool
  ) async throws -> PostgresConnection {
    var configuration = PostgresConfiguration(connectionString: url)
    configuration.applicationName = "messaging-hub command"
    configuration.connectTimeout = connectLimit
    do {
      return try await PostgresConnection.connect(configuration, on: loop, blocking: blocking)
    } catch {
      throw Failure("the database does not answer (DATABASE_URL): \(error)")
    }
  }

  /// The versions that the database has; none when it is empty.
  static func appliedMigrations(_ connection: PostgresConnection) async throws -> [Int] {
    guard
      try await connection.query("SELECT to_regclass('hub_migrations') IS NOT NULL").first?.bool(0) == true
    else { return [] }
    return try await connection.query("SELECT version::int8 FROM hub_migrations ORDER BY 1").map {
      try $0.int(0)
    }
  }

  private static func pool(
    _ url: String, role: String, _ loop: EventLoop, _ blocking: BlockingPool
  ) -> PostgresPool {
    var connection = PostgresConfiguration(connectionString: url)
    connection.role = role
    connection.applicationName = "messaging-hub command"
    connection.statementTimeout = .seconds(300)
    var configuration = PostgresPool.Configuration(connection: connection)
    configuration.size = 1
    return PostgresPool(configuration, on: loop, blocking: blocking, random: Program.random)
  }
}
