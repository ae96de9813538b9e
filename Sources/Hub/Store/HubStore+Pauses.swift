import Bytes
import Postgres

/// Pauses that platforms asked for, as all nodes know them. Between nodes they go as seconds by the clock of
/// the database.
extension HubStore {
  func keepPauses(_ news: [RateGate.News], now: Timestamp) async throws {
    for pause in news {
      let seconds = Double(pause.end.microseconds - now.microseconds) / 1_000_000
      _ = try await writer.query(
        "SELECT keep_pause($1, $2, $3)",
        [.text(pause.name.tenant), .bytes(pause.name.code), .double(seconds)])
    }
  }

  func pauses() async throws -> [(name: RateGate.Name, seconds: Double)] {
    try await writer.query(
      """
      SELECT tenant_id, name, extract(epoch FROM until - now())::double precision FROM pauses
      WHERE until > now()
      """, []
    ).map { row in
      (
        name: RateGate.Name(tenant: try row.string(0), code: try row.bytes(1)),
        seconds: try row.optionalDouble(2) ?? 0
      )
    }
  }

  /// Forgets what is over.
  func forgetPauses() async throws {
    _ = try await writer.query("DELETE FROM pauses WHERE until < now()", [])
  }
}
