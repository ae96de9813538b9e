import Bytes
import EventLoop
import Postgres

/// Nodes and the upkeep of partitions.
extension HubStore {
  /// Says that this node lives. - Returns: how many others do.
  func beat(_ node: UUIDv7) async throws -> Int {
    let rows = try await writer.query(
      """
      WITH mine AS (
        INSERT INTO nodes (id, seen_at) VALUES ($1, now())
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
      )
      SELECT count(*) FROM nodes WHERE id <> $1 AND seen_at > now() - interval '10 seconds'
      """, [.text("\(node)")])
    return try rows.first?.int(0) ?? 0
  }

  func removeNode(_ node: UUIDv7, deadline: LoopInstant) async throws {
    _ = try await writer.query(
      "DELETE FROM nodes WHERE id = $1 OR seen_at < now() - interval '1 day'", [.text("\(node)")],
      deadline: deadline)
  }

  /// Forgets jobs that are settled, and keys of requests.
  func keepOutbox(_ retention: HubConfiguration.Retention) async throws {
    _ = try await writer.query(
      "SELECT keep_outbox(make_interval(days => $1), make_interval(days => $2))",
      [.int4(Int32(clamping: retention.eventDays)), .int4(Int32(clamping: retention.deliveryDays))])
  }

  /// Makes partitions ahead of time and drops those that retention has passed.
  func keepPartitions(_ retention: HubConfiguration.Retention) async throws {
    _ = try await writer.query(
      "SELECT keep_partitions($1, $2)",
      [.int4(Int32(clamping: retention.deliveryDays)), .int4(Int32(clamping: retention.eventDays))])
  }
}
