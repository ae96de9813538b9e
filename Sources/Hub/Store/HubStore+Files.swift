package import Bytes
package import JSON
package import Messaging
import Postgres

/// An attachment whose file a worker of this node fetches.
package struct FetchJob: Sendable {
  package let tenant: String
  package let message: UUIDv7
  package let position: Int
  /// What the platform said of it, and members of the hub's own.
  package let source: JSONValue
  /// Where the file goes.
  package let key: String
  /// This one included.
  package let attempts: Int
  package let account: UUIDv7
  package let platform: String
  package let conversation: ConversationRef
  /// The platform's id of the message.
  package let externalID: String
  package let details: JSONValue?
  package let isDeleted: Bool
}

/// An attachment as it is served.
package struct StoredFile: Sendable {
  package let state: String
  package let reason: String?
  package let key: String?
  package let name: String?
  package let type: String?
  package let storedAt: Timestamp?
}

/// Attachments: fetched, shown, given up.
extension HubStore {
  // MARK: Workers

  package func takeFiles(node: String, limit: Int) async throws -> [FetchJob] {
    let rows = try await writer.query(
      """
      SELECT tenant_id, message_id, position, source, storage_key, attempts, account_id, platform,
        conversation, conversation_kind, message, details, is_deleted
      FROM take_files($1, $2)
      """, [.text(node), .int4(Int32(clamping: limit))])
    return try rows.map { row in
      let details = try row.optionalBytes(11)
      return FetchJob(
        tenant: try row.string(0), message: try row.uuid(1), position: try row.int(2),
        source: try row.optionalBytes(3).flatMap { try? JSONValue(parsing: $0) } ?? .null,
        key: try row.string(4), attempts: try row.int(5), account: try row.uuid(6),
        platform: try row.string(7),
        conversation: ConversationRef(
          externalID: try row.string(8), kind: ConversationRef.Kind(rawValue: try row.string(9)) ?? .direct),
        externalID: try row.string(10), details: details.flatMap { try? JSONValue(parsing: $0) },
        isDeleted: try row.bool(12))
    }
  }

  private static func place(_ job: FetchJob, _ node: String) -> [PostgresBind] {
    [
      .text(job.tenant), .uuid(job.message), .int4(Int32(clamping: job.position)), .text(node),
      .text(job.key),
    ]
  }

  package func fileStored(
    _ job: FetchJob, node: String, type: String, bytes: Int64
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM file_stored($1, $2, $3, $4, $5, $6, $7)",
      Self.place(job, node) + [.text(type), .int8(bytes)])
  }

  package func fileFailed(_ job: FetchJob, node: String, reason: String) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM file_failed($1, $2, $3, $4, $5, $6)", Self.place(job, node) + [.text(reason)])
  }

  package func fileLater(
    _ job: FetchJob, node: String, waitSeconds: Double, reason: String, counts: Bool
  ) async throws {
    _ = try await writer.query(
      "SELECT file_later($1, $2, $3, $4, $5, $6, $7, $8)",
      Self.place(job, node) + [.double(waitSeconds), .text(reason), .bool(counts)])
  }

  /// Files that nodes which are gone had taken are free again.
  package func recoverFiles() async throws {
    _ = try await writer.query("SELECT recover_files()", [])
  }

  // MARK: Users

  /// Has a file fetched anew. nil: it is there.
  package func retryFile(_ principal: Principal, _ message: UUIDv7, _ position: Int) async throws
    -> [UserEvent]?
  {
    do {
      return try await change(
        "SELECT * FROM retry_file($1, $2, $3, $4)",
        [
          .text(principal.tenant), .text(principal.user), .uuid(message), .int4(Int32(clamping: position)),
        ])
    } catch let error as PostgresError where error.sqlState == "HB422" {
      return nil
    }
  }

  /// - Throws: `HubStoreError.notFound` when the user sees no such attachment.
  package func file(_ principal: Principal, _ message: UUIDv7, _ position: Int) async throws -> StoredFile {
    let rows = try await read(
      principal, "SELECT state, reason, storage_key, name, mime, stored_at FROM find_file($1, $2, $3, $4)",
      [.text(principal.tenant), .text(principal.user), .uuid(message), .int4(Int32(clamping: position))])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return StoredFile(
      state: try row.string(0), reason: try row.optionalString(1), key: try row.optionalString(2),
      name: try row.optionalString(3), type: try row.optionalString(4),
      storedAt: try row.optionalTimestamp(5).map { Timestamp($0) })
  }

  // MARK: Upkeep

  /// Uploads that nobody sent in time, and files of deleted accounts, are given up.
  package func releaseFiles(uploadsAfterSeconds: Int) async throws {
    _ = try await writer.query(
      "SELECT expire_uploads(make_interval(secs => $1))", [.double(Double(uploadsAfterSeconds))])
    for _ in 0..<20 {
      let rows = try await writer.query("SELECT release_files($1)", [.text("the account was deleted")])
      guard try rows.first?.bool(0) == true else { return }
    }
  }

  /// Keys of files that are to be deleted, taken for some minutes.
  package func takeStaleFiles(limit: Int) async throws -> [(tenant: String, key: String)] {
    try await writer.query(
      "SELECT tenant_id, key FROM take_stale_files($1)", [.int4(Int32(clamping: limit))]
    ).map { (tenant: try $0.string(0), key: try $0.string(1)) }
  }

  package func forgetStaleFile(tenant: String, key: String) async throws {
    _ = try await writer.query("SELECT forget_stale_file($1, $2)", [.text(tenant), .text(key)])
  }
}
