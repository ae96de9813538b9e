import EventLoop
import Glibc
import Synchronization
import Testing

@testable import Postgres

/// One private server for the whole run, stopped at exit. It is not durable, which saves time; the tests
/// of `EmbeddedPostgres` make their own.
enum TestCluster {
  static let folder = "/tmp/hub-postgres-tests-\(getpid())"

  private static let started: Result<EmbeddedPostgres, EmbeddedPostgresError> = {
    var configuration = EmbeddedPostgres.Configuration(dataFolder: folder)
    configuration.binaryFolder = environment("HUB_PG_BIN")
    configuration.searchPath = environment("PATH")
    configuration.sharedBuffersMegabytes = 32
    configuration.connectionsMax = 90
    configuration.settings = ["fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"]
    do throws(EmbeddedPostgresError) {
      let server = try EmbeddedPostgres.start(configuration)
      atexit { TestCluster.clean() }
      return .success(server)
    } catch {
      return .failure(error)
    }
  }()

  static func server() throws -> EmbeddedPostgres { try started.get() }

  static func configuration(database: String = "hub") throws -> PostgresConfiguration {
    PostgresConfiguration(
      connectionString: try server().connectionString.replacingDatabase(with: database))
  }

  private static func clean() {
    if case .success(let server) = started { server.stop() }
    FileTree.removeTree(folder)
  }

  static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}

/// A loop and a pool of threads for one test.
struct TestLoop: Sendable {
  let loop: EventLoop
  let blocking = BlockingPool(threads: 2)

  init() throws {
    loop = try EventLoop(name: "postgres-test")
  }

  /// Runs `body` on the loop with a session of the shared server.
  static func withConnection<R: Sendable>(
    _ configuration: PostgresConfiguration? = nil,
    _ body: @Sendable (isolated Shard, PostgresConnection) async throws -> R
  ) async throws -> R {
    let configuration = try configuration ?? TestCluster.configuration()
    return try await run { shard, blocking in
      let connection = try await PostgresConnection.connect(
        configuration, on: shard.loop, blocking: blocking)
      defer { connection.close() }
      return try await body(shard, connection)
    }
  }

  static func run<R: Sendable>(
    _ body: @Sendable (isolated Shard, BlockingPool) async throws -> R
  ) async throws -> R {
    let test = try TestLoop()
    defer { test.loop.shutDown() }
    return try await test.loop.shard.run { shard in try await body(shard, test.blocking) }
  }

  /// Makes an empty database on the shared server.
  static func withDatabase<R: Sendable>(
    _ name: String, _ body: @Sendable (PostgresConfiguration) async throws -> R
  ) async throws -> R {
    try await withConnection { _, connection in
      try await connection.execute(script: "CREATE DATABASE \(name)")
    }
    return try await body(TestCluster.configuration(database: name))
  }
}

/// Looks until `condition` holds, at most five seconds. On the loop.
func eventually(_ loop: EventLoop, _ condition: () async throws -> Bool) async throws -> Bool {
  let end = LoopInstant.current() + .seconds(5)
  while LoopInstant.current() < end {
    if try await condition() { return true }
    try await loop.sleep(for: .milliseconds(5))
  }
  return false
}

/// What callbacks saw, in order.
final class Seen<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])

  func append(_ element: Element) { elements.withLock { $0.append(element) } }
  var all: [Element] { elements.withLock { $0 } }
}

/// Starts work on the loop beside the caller's; work starts in the order of the calls.
func begin<R: Sendable>(
  _ shard: isolated Shard, _ body: @escaping @Sendable () async throws -> R
) -> Task<R, any Error> {
  Task {
    _ = shard
    return try await body()
  }
}

/// Runs `body` and gives back how it failed. nil when it did not, which is recorded.
func failure<R>(_ body: () async throws -> R) async -> PostgresError? {
  do {
    _ = try await body()
    Issue.record("no error was thrown")
    return nil
  } catch let error as PostgresError {
    return error
  } catch {
    Issue.record("another error: \(error)")
    return nil
  }
}
