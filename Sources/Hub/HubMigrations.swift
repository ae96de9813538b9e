package import EventLoop
package import Postgres

/// The migrations that the binary carries.
package enum HubMigrations {
  /// In the order of their numbers. A file is named `0001_subject.sql`.
  package static let all: [Migration] = EmbeddedFiles.contents.keys
    .filter { $0.hasPrefix("Migrations/") }
    .compactMap { path in
      let file = path.dropFirst("Migrations/".count).dropLast(".sql".count)
      guard let version = Int(file.prefix(4)), let sql = EmbeddedFiles.contents[path] else { return nil }
      return Migration(version: version, name: String(file.dropFirst(5)), sql: sql)
    }
    .sorted { $0.version < $1.version }

  /// Applies what is missing. - Returns: the versions applied now. Call on the loop.
  package static func apply(
    _ configuration: PostgresConfiguration, on loop: EventLoop, blocking: BlockingPool
  ) async throws -> [Int] {
    let connection = try await PostgresConnection.connect(configuration, on: loop, blocking: blocking)
    defer { connection.close() }
    return try await Migrations(all).apply(on: connection)
  }
}
