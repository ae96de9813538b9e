import CPostgres
import Glibc

/// Makes a new cluster and the hub's database in it. Blocks.
enum ClusterMaking {
  /// Runs initdb in a folder beside the final one and renames it at the end, so that an interrupted
  /// start leaves nothing that looks like a cluster.
  static func makeIfMissing(
    _ layout: EmbeddedPostgresLayout, _ binaries: PostgresBinaries
  ) throws(EmbeddedPostgresError) {
    guard !FileTree.exists(layout.versionFile) else { return }
    if FileTree.exists(layout.cluster), !FileTree.names(in: layout.cluster).isEmpty {
      throw EmbeddedPostgresError("\(layout.cluster) has files in it but no cluster: move it away")
    }
    let fresh = layout.cluster + ".new"
    FileTree.removeTree(fresh)
    try EmbeddedPostgresLayout.makePrivate(fresh, for: layout.user)
    let code = try ChildProcess.run(
      binaries.initdb,
      [
        "-D", fresh, "-U", "hub", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
        // Byte order for text: the same on every machine and after every upgrade of the C library.
        "--lc-collate=C", "--data-checksums",
      ],
      output: layout.startLog, user: layout.user)
    guard code == 0 else {
      let printed = FileTree.read(layout.startLog) ?? ""
      FileTree.removeTree(fresh)
      throw EmbeddedPostgresError(
        "initdb ended with code \(code): "
          + printed.split(separator: "\n").suffix(5).joined(separator: "; "))
    }
    rmdir(layout.cluster)
    guard rename(fresh, layout.cluster) == 0 else { throw .system("cannot make \(layout.cluster)") }
  }

  /// Makes the database `hub` when it does not exist.
  static func makeDatabase(_ layout: EmbeddedPostgresLayout) throws(EmbeddedPostgresError) {
    guard let pq = PQconnectdb(layout.connectionString.replacingDatabase(with: "postgres")) else {
      throw EmbeddedPostgresError("no memory for a connection")
    }
    defer { PQfinish(pq) }
    guard PQstatus(pq) == CONNECTION_OK else {
      throw EmbeddedPostgresError("cannot log in: \(PostgresConnection.message(of: pq))")
    }
    let found = PQexec(pq, "SELECT 1 FROM pg_database WHERE datname = 'hub'")
    defer { PQclear(found) }
    if PQresultStatus(found) == PGRES_TUPLES_OK, PQntuples(found) == 1 { return }
    let made = PQexec(pq, "CREATE DATABASE hub")
    defer { PQclear(made) }
    guard PQresultStatus(made) == PGRES_COMMAND_OK else {
      throw EmbeddedPostgresError("cannot make the database: \(PostgresConnection.message(of: pq))")
    }
    prepareLog(pq)
  }

  /// Segments of the write-ahead log that a new cluster has in store; `min_wal_size` keeps as many.
  static let logSegmentsAhead = 12

  /// Fills the store of log segments. A segment that is made when it is needed is first written full of
  /// zeros, 16 MB, while every commit waits. Best effort: without it the cluster is only less even.
  private static func prepareLog(_ pq: OpaquePointer) {
    let step = "SELECT pg_logical_emit_message(false, 'hub', ''); SELECT pg_switch_wal()"
    for statement in Array(repeating: step, count: logSegmentsAhead) + ["CHECKPOINT"] {
      PQclear(PQexec(pq, statement))
    }
  }
}
