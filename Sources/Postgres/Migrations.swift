/// One numbered SQL file.
package struct Migration: Sendable, Equatable {
  /// From 1 on, each once.
  package let version: Int
  package let name: String
  package let sql: String

  package init(version: Int, name: String, sql: String) {
    self.version = version
    self.name = name
    self.sql = sql
  }
}

/// Brings a database to the schema that this binary carries.
///
/// One at a time, by an advisory lock; each file in a transaction of its own together with its line in
/// `hub_migrations`. Forward only: a file that was applied and has changed since, or a database that
/// knows a later version than the binary, stops the start with words about what to do. The checksums
/// are made by PostgreSQL's `sha256`. What PostgreSQL refuses inside a transaction (CREATE INDEX
/// CONCURRENTLY) cannot stand in a file.
package struct Migrations: Sendable {
  package struct Configuration: Sendable {
    /// How long to wait for another migrator.
    package var otherMigratorTimeout: Duration = .seconds(60)
    /// How long a statement may wait for a table's lock.
    package var lockTimeout: Duration = .seconds(10)
    /// How long a statement of a file may run. Zero: without end.
    package var statementTimeout: Duration = .zero

    package init() {}
  }

  /// The key of the advisory lock: "hubmigra" in ASCII.
  static let lockKey: Int64 = 0x6875_626d_6967_7261

  private let migrations: [Migration]
  private let configuration: Configuration

  /// - Throws: `migration` when two files have one number.
  package init(_ migrations: [Migration], _ configuration: Configuration = .init()) throws(PostgresError) {
    let sorted = migrations.sorted { $0.version < $1.version }
    for (one, other) in zip(sorted, sorted.dropFirst()) where one.version == other.version {
      throw PostgresError(
        .migration, "two migrations have the number \(one.version): \(one.name) and \(other.name)")
    }
    self.migrations = sorted
    self.configuration = configuration
  }

  /// Applies what is missing. Run it on a session that nobody else uses; its role must own the schema.
  /// - Returns: the versions that were applied now.
  package func apply(on connection: PostgresConnection) async throws(PostgresError) -> [Int] {
    try await takeLock(on: connection)
    let outcome: Result<[Int], PostgresError>
    do throws(PostgresError) {
      outcome = .success(try await applyMissing(on: connection))
    } catch {
      outcome = .failure(error)
    }
    if !connection.isClosed {
      _ = try? await connection.query("SELECT pg_advisory_unlock($1)", [.int8(Self.lockKey)])
      _ = try? await connection.execute(script: "RESET statement_timeout; RESET lock_timeout")
    }
    return try outcome.get()
  }

  private func takeLock(on connection: PostgresConnection) async throws(PostgresError) {
    // A wait for an advisory lock counts as a wait for a lock, so the time-out bounds it.
    try await connection.execute(
      script: """
        SET statement_timeout = 0;
        SET lock_timeout = '\(configuration.otherMigratorTimeout.milliseconds)ms'
        """)
    do throws(PostgresError) {
      try await connection.execute(script: "SELECT pg_advisory_lock(\(Self.lockKey))")
    } catch {
      guard error.sqlState == "55P03" else { throw error }
      throw PostgresError(
        .migration,
        "another hub migrates this database and was not ready in \(configuration.otherMigratorTimeout)",
        server: error.server)
    }
    try await connection.execute(
      script: """
        SET statement_timeout = '\(configuration.statementTimeout.milliseconds)ms';
        SET lock_timeout = '\(configuration.lockTimeout.milliseconds)ms';
        CREATE TABLE IF NOT EXISTS public.hub_migrations (
          version    integer PRIMARY KEY,
          name       text NOT NULL,
          checksum   text NOT NULL,
          applied_at timestamptz NOT NULL DEFAULT now()
        )
        """)
  }

  private func applyMissing(on connection: PostgresConnection) async throws(PostgresError) -> [Int] {
    let applied = try await connection.query(
      "SELECT version, name, checksum FROM public.hub_migrations ORDER BY version")
    let checksums = try await checksums(on: connection)
    var known: Set<Int> = []
    let newest = migrations.last?.version ?? 0
    for row in applied {
      let version = try row.int("version")
      let name = try row.string("name")
      known.insert(version)
      guard version <= newest else {
        throw PostgresError(
          .migration,
          "the database is at migration \(version) (\(name)), this hub knows \(newest): "
            + "run a newer hub")
      }
      guard let checksum = checksums[version] else {
        throw PostgresError(
          .migration, "the database has migration \(version) (\(name)), which this hub does not carry")
      }
      guard try checksum == row.string("checksum") else {
        throw PostgresError(
          .migration,
          "migration \(version) (\(name)) was changed after it was applied: restore the file and put "
            + "the change into a new one")
      }
    }
    var done: [Int] = []
    for migration in migrations where !known.contains(migration.version) {
      try await apply(migration, checksums[migration.version] ?? "", on: connection)
      done.append(migration.version)
    }
    return done
  }

  private func checksums(on connection: PostgresConnection) async throws(PostgresError) -> [Int: String] {
    let rows = try await connection.query(
      """
      SELECT version, encode(sha256(sql), 'hex') AS checksum
      FROM unnest($1::bigint[], $2::bytea[]) AS file(version, sql)
      """,
      [.ints(migrations.map(\.version)), .byteArrays(migrations.map { Array($0.sql.utf8) })])
    var checksums: [Int: String] = [:]
    for row in rows { checksums[try row.int("version")] = try row.string("checksum") }
    return checksums
  }

  private func apply(
    _ migration: Migration, _ checksum: String, on connection: PostgresConnection
  ) async throws(PostgresError) {
    do throws(PostgresError) {
      // The file gets a message of its own, so that an unfinished comment in it cannot swallow ours.
      try await connection.execute(script: "BEGIN")
      try await connection.execute(script: migration.sql)
      guard connection.isInTransaction else {
        throw PostgresError(.migration, "the file ends the transaction that it runs in")
      }
      _ = try await connection.query(
        "INSERT INTO public.hub_migrations (version, name, checksum) VALUES ($1::bigint::integer, $2, $3)",
        [.int(migration.version), .text(migration.name), .text(checksum)])
      try await connection.execute(script: "COMMIT")
    } catch {
      if !connection.isClosed { try? await connection.execute(script: "ROLLBACK") }
      throw PostgresError(
        .migration, "migration \(migration.version) (\(migration.name)) failed: \(error)",
        server: error.server)
    }
  }
}
