import EventLoop
import Testing

@testable import Postgres

@Suite("Migrations")
struct MigrationsTests {
  private static let first = Migration(version: 1, name: "one", sql: "CREATE TABLE a (id int8); -- end")
  private static let second = Migration(
    version: 2, name: "two", sql: "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2);")

  private static func apply(
    _ migrations: [Migration], _ configuration: PostgresConfiguration
  ) async throws -> [Int] {
    try await TestLoop.withConnection(configuration) { _, connection in
      try await Migrations(migrations).apply(on: connection)
    }
  }

  @Test("each file is applied once, in order")
  func once() async throws {
    try await TestLoop.withDatabase("migrations_once") { configuration in
      let all = [Self.second, Self.first]
      #expect(try await Self.apply([Self.first], configuration) == [1])
      #expect(try await Self.apply(all, configuration) == [2])
      #expect(try await Self.apply(all, configuration) == [])
      try await TestLoop.withConnection(configuration) { _, connection in
        #expect(try await connection.query("SELECT count(*) FROM a").first?.int(0) == 2)
        let row = try await connection.query("SELECT * FROM hub_migrations WHERE version = 1").first
        #expect(try row?.string("checksum").count == 64)
      }
    }
  }

  @Test("two migrators at once: one works, the other finds it done")
  func together() async throws {
    try await TestLoop.withDatabase("migrations_together") { configuration in
      let slow = Migration(version: 1, name: "slow", sql: "SELECT pg_sleep(0.1); CREATE TABLE b (id int8)")
      async let one = Self.apply([slow], configuration)
      async let two = Self.apply([slow], configuration)
      let applied = try await [one, two]
      #expect(applied.flatMap { $0 } == [1])
    }
  }

  @Test("a failing file leaves nothing of itself, and the files before it stay")
  func failing() async throws {
    try await TestLoop.withDatabase("migrations_failing") { configuration in
      let bad = Migration(version: 2, name: "bad", sql: "CREATE TABLE half (id int8); SELECT nonsense")
      let error = await failure { try await Self.apply([Self.first, bad], configuration) }
      #expect(error?.code == .migration)
      #expect(error?.message.contains("migration 2 (bad)") == true)
      try await TestLoop.withConnection(configuration) { _, connection in
        let rows = try await connection.query(
          "SELECT to_regclass('half')::text AS half, (SELECT max(version) FROM hub_migrations) AS newest")
        #expect(try rows.first?.optionalString("half") == nil)
        #expect(try rows.first?.int("newest") == 1)
      }
    }
  }

  @Test("a file that changed after it was applied, and a database that is newer, are told apart")
  func histories() async throws {
    try await TestLoop.withDatabase("migrations_histories") { configuration in
      _ = try await Self.apply([Self.first, Self.second], configuration)
      let changed = Migration(version: 1, name: "one", sql: Self.first.sql + " ")
      let error = await failure { try await Self.apply([changed, Self.second], configuration) }
      #expect(error?.message.contains("was changed after it was applied") == true)
      let older = await failure { try await Self.apply([Self.first], configuration) }
      #expect(older?.message.contains("run a newer hub") == true)
      let third = Migration(version: 3, name: "three", sql: "SELECT 1")
      let hole = await failure { try await Self.apply([Self.first, third], configuration) }
      #expect(hole?.message.contains("does not carry") == true)
    }
  }

  @Test("a file may not end its own transaction, and two files may not have one number")
  func wrongFiles() async throws {
    try await TestLoop.withDatabase("migrations_wrong") { configuration in
      let commits = Migration(version: 1, name: "commits", sql: "CREATE TABLE c (id int8); COMMIT")
      let error = await failure { try await Self.apply([commits], configuration) }
      #expect(error?.message.contains("ends the transaction") == true)
      let double = await failure { try await Self.apply([Self.first, Self.first], configuration) }
      #expect(double?.code == .migration)
    }
  }
}
