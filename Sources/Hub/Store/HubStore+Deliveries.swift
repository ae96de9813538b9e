package import Bytes
package import JSON
import Platforms
import Postgres

/// A line of the ledger of what came in.
package struct DeliveryRecord: Sendable {
  package let tenant: String
  package let id: UUIDv7
  package let receivedAt: Timestamp
  package let account: UUIDv7
  package let platform: String
  package let state: String
  /// Why it is dead.
  package let reason: String?
  package let parserVersion: Int
  package let itemCount: Int
  package let messageCount: Int
  package let bodyBytes: Int

  /// What the API and `deliveries show` say of it.
  package var json: JSONValue {
    [
      "id": .string("\(id)"), "receivedAt": .string(receivedAt.rfc3339), "accountId": .string("\(account)"),
      "platform": .string(platform), "state": .string(state), "reason": reason.map { .string($0) } ?? .null,
      "parserVersion": .integer(Int64(parserVersion)), "itemCount": .integer(Int64(itemCount)),
      "messageCount": .integer(Int64(messageCount)), "bodyBytes": .integer(Int64(bodyBytes)),
    ]
  }
}

/// A line of the ledger with what was received.
package struct StoredDelivery: Sendable {
  package let record: DeliveryRecord
  /// The kept headers, a JSON object.
  package let headers: String
  package let body: [UInt8]
  package let hash: [UInt8]

  /// The kept headers, as a platform reads them.
  var keptHeaders: KeptHeaders {
    let members = (try? JSONValue(parsing: Array(headers.utf8)))?.object ?? [:]
    return KeptHeaders(
      members.sorted { $0.key < $1.key }.compactMap { name, value in
        value.string.map { WebhookHeader(name, $0) }
      })
  }

  /// The record with `headers`, and `body` as text, or `bodyBase64` when it is none.
  package var json: JSONValue {
    var members = record.json.object ?? [:]
    members["headers"] = (try? JSONValue(parsing: Array(headers.utf8))) ?? .null
    if let text = String(validating: body, as: UTF8.self) {
      members["body"] = .string(text)
    } else {
      members["bodyBase64"] = .string(Base64.encode(body))
    }
    return .object(members)
  }
}

/// Which lines of the ledger a list shows; nil: all.
package struct DeliveryFilter: Sendable, Equatable {
  /// nil: every tenant, for the command line only.
  package var tenant: String?
  package var state: String?
  package var account: UUIDv7?

  package init(tenant: String? = nil, state: String? = nil, account: UUIDv7? = nil) {
    self.tenant = tenant
    self.state = state
    self.account = account
  }
}

/// The ledger, for operators. It is read under the writer role: it belongs to no user; each statement
/// carries the bound of the tenant itself.
extension HubStore {
  private static let columns = """
    d.tenant_id, d.id, d.received_at, d.account_id, d.platform, d.state, d.reason, d.parser,
    d.item_count, d.message_count, octet_length(d.body)
    """

  /// Newest first.
  package func deliveries(
    _ filter: DeliveryFilter, behind position: (at: Timestamp, id: UUIDv7)? = nil, limit: Int
  ) async throws -> (items: [DeliveryRecord], next: PageCursor?) {
    let rows = try await writer.query(
      """
      SELECT \(Self.columns) FROM deliveries d
      WHERE ($1::text IS NULL OR d.tenant_id = $1) AND ($2::text IS NULL OR d.state = $2)
        AND ($3::uuid IS NULL OR d.account_id = $3)
        AND ($4::timestamptz IS NULL OR (d.received_at, d.id) < ($4, $5::uuid))
      ORDER BY d.received_at DESC, d.id DESC LIMIT $6
      """,
      [
        .text(filter.tenant), .text(filter.state), .uuid(filter.account),
        .timestamp(position.map { PostgresTimestamp($0.at) }), .uuid(position?.id),
        .int4(Int32(clamping: limit + 1)),
      ])
    let items = try rows.prefix(limit).map { try Self.delivery($0) }
    var next: PageCursor?
    if rows.count > limit, let last = items.last { next = .delivery(at: last.receivedAt, id: last.id) }
    return (items, next)
  }

  /// - Parameter tenant: nil: any, for the command line only.
  /// - Throws: `HubStoreError.notFound`.
  package func delivery(_ id: UUIDv7, tenant: String?) async throws -> StoredDelivery {
    // The id was made when the delivery came, so its time names the partition to look into.
    let day: Int64 = 86_400_000_000
    let made = id.timestamp.microseconds
    let rows = try await writer.query(
      """
      SELECT \(Self.columns), coalesce(d.headers, '{}'), d.body, d.hash FROM deliveries d
      WHERE d.id = $1 AND ($2::text IS NULL OR d.tenant_id = $2) AND d.received_at BETWEEN $3 AND $4
      """,
      [
        .uuid(id), .text(tenant), .timestamp(PostgresTimestamp(microseconds: made - day)),
        .timestamp(PostgresTimestamp(microseconds: made + day)),
      ])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return StoredDelivery(
      record: try Self.delivery(row), headers: try row.string(11), body: try row.bytes(12),
      hash: try row.bytes(13))
  }

  private static func delivery(_ row: PostgresRow) throws -> DeliveryRecord {
    DeliveryRecord(
      tenant: try row.string(0), id: try row.uuid(1), receivedAt: Timestamp(try row.timestamp(2)),
      account: try row.uuid(3), platform: try row.string(4), state: try row.string(5),
      reason: try row.optionalString(6), parserVersion: try row.int(7), itemCount: try row.int(8),
      messageCount: try row.int(9), bodyBytes: try row.int(10))
  }
}

extension UUIDv7 {
  /// When the id was made, to the millisecond.
  package var timestamp: Timestamp {
    let milliseconds = bytes.prefix(6).reduce(Int64(0)) { $0 << 8 | Int64($1) }
    return Timestamp(microseconds: milliseconds * 1_000)
  }
}
