package import Bytes
package import JSON
import Platforms
import Postgres

/// An account that this node reads for now.
package struct TakenPoll: Sendable {
  package let tenant: String
  package let account: UUIDv7
  /// The account's webhook key: what changes of it are announced by.
  package let key: String
  package let platform: String
  /// Whether it fills holes beside webhooks; otherwise it reads everything.
  package let isSweep: Bool
  package let intervalSeconds: Double
  package let failures: Int
  package let token: Int64
  package let cursor: JSONValue?
  package let isHistoryDue: Bool
  package let historyCursor: JSONValue?
  package let historyAfter: Timestamp?
  /// Messages from then on are no history; nil: nobody kept when it became due.
  package let historyBefore: Timestamp?
  /// When polling was set up: messages from then on are news.
  package let beganAt: Timestamp?
  package let sweepCursor: JSONValue?
  package let sweptAt: Timestamp?
}

/// How far a poll has got, beside what it found.
package struct PollMark: Sendable, Equatable {
  package let token: Int64
  /// live, history or sweep.
  package let mode: String
  /// JSON.
  package let cursor: String
  /// Of history and sweep: there is no more.
  package let isDone: Bool
}

/// Polling: who reads which account, and how far it has got.
extension HubStore {
  package func setPolling(
    tenant: String, account: UUIDv7, platform: String, role: String, historyAfter: Timestamp?
  ) async throws {
    _ = try await writer.query(
      "SELECT set_polling($1, $2, $3, $4, $5)",
      [
        .text(tenant), .uuid(account), .text(platform), .text(role),
        .timestamp(historyAfter.map { PostgresTimestamp($0) }),
      ])
  }

  package func takePolls(node: String, limit: Int) async throws -> [TakenPoll] {
    let rows = try await writer.query(
      """
      SELECT tenant_id, account_id, platform, role, interval_seconds, failures, token, cursor, history,
        history_cursor, history_after, sweep_cursor, swept_at,
        (SELECT a.key FROM accounts a WHERE a.tenant_id = p.tenant_id AND a.id = p.account_id),
        history_before, began_at
      FROM take_polls($1, $2) p
      """, [.text(node), .int4(Int32(clamping: limit))])
    return try rows.map { row in
      TakenPoll(
        tenant: try row.string(0), account: try row.uuid(1), key: try row.optionalString(13) ?? "",
        platform: try row.string(2),
        isSweep: try row.string(3) == "sweep", intervalSeconds: try row.optionalDouble(4) ?? 5,
        failures: try row.int(5), token: try row.int64(6), cursor: Self.json(try row.optionalBytes(7)),
        isHistoryDue: try row.string(8) == "due", historyCursor: Self.json(try row.optionalBytes(9)),
        historyAfter: try row.optionalTimestamp(10).map { Timestamp($0) },
        historyBefore: try row.optionalTimestamp(14).map { Timestamp($0) },
        beganAt: try row.optionalTimestamp(15).map { Timestamp($0) },
        sweepCursor: Self.json(try row.optionalBytes(11)),
        sweptAt: try row.optionalTimestamp(12).map { Timestamp($0) })
    }
  }

  private static func json(_ text: [UInt8]?) -> JSONValue? {
    text.flatMap { try? JSONValue(parsing: $0) }
  }

  /// Frees what nodes held that are gone.
  package func freePolls() async throws {
    _ = try await writer.query("SELECT free_polls()", [])
  }

  /// After an outage: every account with webhooks is looked through.
  package func sweepSoon() async throws {
    _ = try await writer.query("UPDATE polls SET due_at = now() WHERE role = 'sweep' AND node IS NULL", [])
  }

  /// What sweeps have found that webhooks had missed, by platform.
  package func recoveredBySweep() async throws -> [(platform: String, count: Int)] {
    try await writer.query(
      "SELECT platform, sum(recovered_by_sweep)::bigint FROM polls WHERE recovered_by_sweep > 0 GROUP BY 1",
      []
    ).map { (try $0.string(0), try $0.int(1)) }
  }

  package func pollDoubted() async throws {
    _ = try await writer.query("SELECT poll_doubted()", [])
  }

  package func beginSweep(_ poll: TakenPoll) async throws {
    _ = try await writer.query(
      "SELECT begin_sweep($1, $2, $3)", [.text(poll.tenant), .uuid(poll.account), .int8(poll.token)])
  }

  /// Moves the cursor of a page that held nothing.
  /// - Returns: false: the account is somebody else's by now.
  package func pollPage(_ poll: TakenPoll, _ mark: PollMark) async throws -> Bool {
    try await writer.query(PollStatement.sql, PollStatement.binds(poll.tenant, poll.account, mark, nil))
      .first?.bool(0) ?? false
  }

  package func holds(_ poll: TakenPoll) async throws -> Bool {
    try await writer.query(
      "SELECT 1 FROM polls WHERE tenant_id = $1 AND account_id = $2 AND token = $3 AND node IS NOT NULL",
      [.text(poll.tenant), .uuid(poll.account), .int8(poll.token)]
    ).first != nil
  }

  package func releasePoll(
    _ poll: TakenPoll, waitSeconds: Double, intervalSeconds: Double, failures: Int, forgetCursor: Bool
  ) async throws {
    _ = try await writer.query(
      "SELECT release_poll($1, $2, $3, $4, $5, $6, $7)",
      [
        .text(poll.tenant), .uuid(poll.account), .int8(poll.token), .double(waitSeconds),
        .double(intervalSeconds), .int4(Int32(clamping: failures)), .bool(forgetCursor),
      ])
  }
}

/// The statement that moves a cursor, alone or in the transaction that stores a page.
enum PollStatement {
  static let sql = "SELECT poll_page($1, $2, $3, $4, $5, $6, $7)"
  /// What the statement ends a transaction with that would store a page of another node's account.
  static let heldByAnother = "HB410"

  /// - Parameter delivery: the page's line of the ledger; nil: it held nothing.
  static func binds(
    _ tenant: String, _ account: UUIDv7, _ mark: PollMark, _ delivery: UUIDv7?
  ) -> [PostgresBind] {
    [
      .text(tenant), .uuid(account), .int8(mark.token), .text(mark.mode), .text(mark.cursor),
      .bool(mark.isDone), .uuid(delivery),
    ]
  }
}
