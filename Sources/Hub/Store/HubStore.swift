package import Bytes
package import Postgres

/// Where a user's event log begins and ends: events up to `floor` have been dropped, `seq` is the last.
package struct EventBounds: Sendable, Equatable {
  package let floor: Int64
  package let seq: Int64
}

/// Why the store refuses a caller, as opposed to a database that fails: that is a `PostgresError`.
package enum HubStoreError: Error, Equatable {
  /// There is no such row, or it is not the caller's to see.
  case notFound
  /// The caller's tenant is suspended.
  case suspended
}

/// One page of a list: the items as JSON text, and where the next page begins.
package struct StorePage: Sendable {
  package let items: [[UInt8]]
  /// nil: this was the last page.
  package let next: PageCursor?
}

/// The store as one shard sees it: reads under the reader role with the caller's bounds set in the
/// same round trip, changes through SQL functions under the writer role.
///
/// JSON documents come from the database as text and are passed on as they are, so an event, a list
/// and a single read show the same object.
package struct HubStore: Sendable {
  package let reader: PostgresPool
  package let writer: PostgresPool

  package init(reader: PostgresPool, writer: PostgresPool) {
    self.reader = reader
    self.writer = writer
  }

  // MARK: Users and events

  /// Makes sure that the user has a row, and says where the event log stands.
  package func openUser(_ principal: Principal) async throws -> EventBounds {
    let rows = try await writer.query(
      "SELECT state, floor, seq FROM open_user($1, $2, $3, $4)",
      [
        .text(principal.tenant), .text(principal.user), .text(principal.email),
        .texts(principal.roles),
      ])
    guard let row = rows.first else { throw HubStoreError.notFound }
    guard try row.string(0) == "active" else { throw HubStoreError.suspended }
    return EventBounds(floor: try row.int64(1), seq: try row.int64(2))
  }

  package func eventBounds(_ principal: Principal) async throws -> EventBounds {
    let rows = try await read(
      principal, "SELECT floor, seq FROM event_bounds($1, $2)",
      [.text(principal.tenant), .text(principal.user)])
    guard let row = rows.first else { return EventBounds(floor: 0, seq: 0) }
    return EventBounds(floor: try row.int64(0), seq: try row.int64(1))
  }

  /// The user's events after a number, oldest first.
  package func events(_ principal: Principal, after seq: Int64, limit: Int) async throws -> [UserEvent] {
    let rows = try await read(
      principal, "SELECT seq, type, at, data FROM list_events($1, $2, $3, $4)",
      [.text(principal.tenant), .text(principal.user), .int8(seq), .int4(Int32(clamping: limit))])
    return try rows.map { row in
      UserEvent(
        user: principal.key, seq: try row.int64(0), type: try row.string(1),
        at: Timestamp(try row.timestamp(2)),
        data: try row.bytes(3))
    }
  }

  /// The last event number of each of these users; users without a row are left out.
  package func eventPositions(_ users: [UserKey]) async throws -> [UserKey: Int64] {
    let rows = try await writer.query(
      """
      SELECT u.tenant_id, u.id, u.event_seq
      FROM unnest($1::text[], $2::text[]) AS asked(tenant_id, id)
      JOIN users u ON u.tenant_id = asked.tenant_id AND u.id = asked.id
      """,
      [.texts(users.map(\.tenant)), .texts(users.map(\.user))])
    var positions: [UserKey: Int64] = [:]
    for row in rows {
      positions[UserKey(tenant: try row.string(0), user: try row.string(1))] = try row.int64(2)
    }
    return positions
  }

  // MARK: Reading positions

  package func markRead(
    _ principal: Principal, conversation: UUIDv7, upTo: UUIDv7?
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM mark_read($1, $2, $3, $4)",
      [.text(principal.tenant), .text(principal.user), .uuid(conversation), .uuid(upTo)])
  }

  package func markUnread(
    _ principal: Principal, conversation: UUIDv7, from: UUIDv7
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM mark_unread($1, $2, $3, $4)",
      [.text(principal.tenant), .text(principal.user), .uuid(conversation), .uuid(from)])
  }

  /// - Parameter patch: a JSON object that has been checked.
  package func setConversation(
    _ principal: Principal, conversation: UUIDv7, patch: String
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM set_conversation($1, $2, $3, $4::json)",
      [.text(principal.tenant), .text(principal.user), .uuid(conversation), .text(patch)])
  }

  /// Everybody who sees the conversation, the caller included.
  package func viewers(_ principal: Principal, conversation: UUIDv7) async throws -> [UserKey] {
    let rows = try await writer.query(
      """
      SELECT au.user_id FROM conversations c
      JOIN account_users au ON au.tenant_id = c.tenant_id AND au.account_id = c.account_id
      WHERE c.tenant_id = $1 AND c.id = $2
      """,
      [.text(principal.tenant), .uuid(conversation)])
    let users = try rows.map { UserKey(tenant: principal.tenant, user: try $0.string(0)) }
    guard users.contains(principal.key) else { throw HubStoreError.notFound }
    return users
  }

  // MARK: Plumbing

  /// Runs one query with the caller's bounds, in one transaction and one round trip.
  func read(_ principal: Principal, _ sql: String, _ binds: [PostgresBind]) async throws -> PostgresRows {
    let results = try await reader.batch([
      PostgresStatement(
        "SELECT set_config('hub.tenant', $1, true), set_config('hub.user', $2, true)",
        [.text(principal.tenant), .text(principal.user)]),
      PostgresStatement(sql, binds),
    ])
    return results[1]
  }

  /// Runs a function that changes something and returns the events it wrote.
  func change(_ sql: String, _ binds: [PostgresBind]) async throws -> [UserEvent] {
    do throws(PostgresError) {
      return try EventRows.read(try await writer.query(sql, binds))
    } catch {
      if error.sqlState == "P0002" { throw HubStoreError.notFound }
      throw error
    }
  }
}

/// Event rows as every writing function returns them:
/// (tenant_id, user_id, seq, type, at, conversation_id, message_id, data).
enum EventRows {
  static func read(_ rows: PostgresRows) throws(PostgresError) -> [UserEvent] {
    var events: [UserEvent] = []
    events.reserveCapacity(rows.count)
    for row in rows {
      events.append(
        UserEvent(
          user: UserKey(tenant: try row.string(0), user: try row.string(1)), seq: try row.int64(2),
          type: try row.string(3), at: Timestamp(try row.timestamp(4)),
          conversationID: try row.optionalUUID(5),
          messageID: try row.optionalUUID(6), data: try row.bytes(7)))
    }
    return events
  }
}
