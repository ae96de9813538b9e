package import Bytes
import Postgres

/// One page of a conversation's messages.
package struct MessagePage: Sendable {
  package let items: [[UInt8]]
  /// Goes on in the direction of the list; nil: there is no more.
  package let next: PageCursor?
  /// Goes on from the first item in the other direction; nil: nothing to go on from.
  package let previous: PageCursor?
}

/// Which messages of a conversation a page shows.
package enum MessageAnchor: Sendable, Equatable {
  /// The newest, newest first.
  case last
  /// Older than a message, newest first.
  case before(UUIDv7)
  /// Newer than a message, oldest first.
  case after(UUIDv7)
  /// A message in the middle of its neighbours, newest first.
  case around(UUIDv7)

  fileprivate var mode: String {
    switch self {
    case .last: "last"
    case .before: "before"
    case .after: "after"
    case .around: "around"
    }
  }

  fileprivate var message: UUIDv7? {
    switch self {
    case .last: nil
    case .before(let id), .after(let id), .around(let id): id
    }
  }
}

/// What a list of conversations is narrowed by; nil: not by this.
package struct ConversationFilter: Sendable, Equatable {
  package var platform: String?
  package var state: String?
  /// true: only those with unread messages.
  package var unread: Bool?
  package var account: UUIDv7?

  package init(platform: String? = nil, state: String? = nil, unread: Bool? = nil, account: UUIDv7? = nil) {
    self.platform = platform
    self.state = state
    self.unread = unread
    self.account = account
  }
}

/// Lists and single documents, as the user sees them. All run under the reader role.
extension HubStore {
  /// Newest activity first.
  /// - Parameter position: of the last conversation of the page before; nil: from the beginning.
  package func conversations(
    _ principal: Principal, _ filter: ConversationFilter, behind position: (at: Timestamp, id: UUIDv7)?,
    limit: Int
  ) async throws -> StorePage {
    let rows = try await read(
      principal,
      "SELECT id, last_activity_at, data FROM list_conversations($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      [
        .text(principal.tenant), .text(principal.user), .text(filter.platform), .text(filter.state),
        .bool(filter.unread), .uuid(filter.account), .timestamp(position.map { PostgresTimestamp($0.at) }),
        .uuid(position?.id), .int4(Int32(clamping: limit + 1)),
      ])
    var next: PageCursor?
    if rows.count > limit {
      let last = rows[limit - 1]
      next = .conversation(at: Timestamp(try last.timestamp(1)), id: try last.uuid(0))
    }
    return StorePage(items: try rows.prefix(limit).map { try $0.bytes(2) }, next: next)
  }

  /// - Throws: `HubStoreError.notFound` also for a conversation that is not the user's to see.
  package func conversation(_ principal: Principal, _ id: UUIDv7) async throws -> [UInt8] {
    let rows = try await read(
      principal, "SELECT * FROM get_conversation($1, $2, $3)",
      [.text(principal.tenant), .text(principal.user), .uuid(id)])
    guard let document = try rows.first?.optionalBytes(0) else { throw HubStoreError.notFound }
    return document
  }

  /// - Throws: `HubStoreError.notFound` for a conversation or an anchor that is not the user's to see.
  package func messages(
    _ principal: Principal, conversation: UUIDv7, _ anchor: MessageAnchor, limit: Int
  ) async throws -> MessagePage {
    // Around a message both sides may go on anyway; in the other lists one row more tells.
    var asked = limit + 1
    if case .around = anchor { asked = limit }
    let rows = try await read(
      principal, "SELECT id, data FROM list_messages($1, $2, $3, $4, $5, $6)",
      [
        .text(principal.tenant), .text(principal.user), .uuid(conversation), .text(anchor.mode),
        .uuid(anchor.message), .int4(Int32(clamping: asked)),
      ])
    guard let first = rows.first else {
      // Nothing there and nothing to see are told apart.
      _ = try await self.conversation(principal, conversation)
      if let message = anchor.message { _ = try await self.message(principal, message) }
      if case .around = anchor { throw HubStoreError.notFound }
      return MessagePage(items: [], next: nil, previous: nil)
    }
    let shown = rows.prefix(limit)
    let lastID = try shown[shown.count - 1].uuid(0)
    let firstID = try first.uuid(0)
    let hasMore = rows.count > limit
    let items = try shown.map { try $0.bytes(1) }
    switch anchor {
    case .last:
      return MessagePage(items: items, next: hasMore ? .message(.before, id: lastID) : nil, previous: nil)
    case .before:
      return MessagePage(
        items: items, next: hasMore ? .message(.before, id: lastID) : nil,
        previous: .message(.after, id: firstID))
    case .after:
      return MessagePage(
        items: items, next: hasMore ? .message(.after, id: lastID) : nil,
        previous: .message(.before, id: firstID))
    case .around:
      return MessagePage(
        items: items, next: .message(.before, id: lastID), previous: .message(.after, id: firstID))
    }
  }

  /// - Throws: `HubStoreError.notFound` also for a message that is not the user's to see.
  package func message(_ principal: Principal, _ id: UUIDv7) async throws -> [UInt8] {
    let rows = try await read(
      principal, "SELECT * FROM get_message($1, $2, $3)",
      [.text(principal.tenant), .text(principal.user), .uuid(id)])
    guard let document = try rows.first?.optionalBytes(0) else { throw HubStoreError.notFound }
    return document
  }

  /// `{"unreadCounts":{platform:n},"totalUnread":n}`.
  package func unreadCounts(_ principal: Principal) async throws -> [UInt8] {
    let rows = try await read(
      principal, "SELECT unread_counts($1, $2)", [.text(principal.tenant), .text(principal.user)])
    guard let document = try rows.first?.optionalBytes(0) else { throw HubStoreError.notFound }
    return document
  }
}

/// An unread count that is not what the rows say.
package struct UnreadDrift: Sendable, Equatable {
  /// Which count: of a conversation, or of a platform.
  package let kind: String
  package let tenant: String
  package let user: String
  /// The conversation's id, or the platform.
  package let place: String
  package let stored: Int64
  package let counted: Int64
}

extension HubStore {
  /// Recounts every unread count. Reads all memberships: for the command line.
  /// - Parameter tenant: nil: all.
  package func unreadDrift(tenant: String?) async throws -> [UnreadDrift] {
    try await writer.query(
      "SELECT kind, tenant_id, user_id, place, stored, counted FROM verify_unread($1)", [.text(tenant)]
    ).map { row in
      UnreadDrift(
        kind: try row.string(0), tenant: try row.string(1), user: try row.string(2),
        place: try row.optionalString(3) ?? "", stored: try row.optionalInt64(4) ?? 0,
        counted: try row.optionalInt64(5) ?? 0)
    }
  }
}
