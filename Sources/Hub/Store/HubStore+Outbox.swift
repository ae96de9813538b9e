package import Bytes
package import JSON
package import Messaging
package import Platforms
import Postgres

/// What a platform has to know to do something in a conversation, and which account does it.
package struct SendTarget: Sendable {
  /// A message of the conversation that the action is about.
  package struct Subject: Sendable {
    package let externalID: String
    package let sentAt: Timestamp
    package let isOutbound: Bool
    package let threadID: String?
    package let details: JSONValue?
    /// Of the message that it answers.
    package let answeredDetails: JSONValue?
  }

  package let account: UUIDv7
  package let conversation: ConversationRef
  package let lastInboundAt: Timestamp?
  package let lastInboundID: String?
  package let lastInboundDetails: JSONValue?
  package let lastInboundThreadID: String?
  package let lastSender: Person?
  package let subject: Subject?
}

/// A job that a worker has taken.
package struct OutboxJob: Sendable {
  package let tenant: String
  package let id: UUIDv7
  package let account: UUIDv7
  package let platform: String
  package let conversation: UUIDv7
  package let message: UUIDv7?
  package let user: String
  package let action: OutboundAction
  /// The platform does it once however often it is asked with the job's id.
  package let isRepeatable: Bool
  /// This one included.
  package let attempts: Int
}

/// A new message of a user, checked.
package struct QueuedMessage: Sendable {
  package let conversation: UUIDv7
  package let message: UUIDv7
  package let job: UUIDv7
  package let content: OutboundMessage
  /// As clients see them; nil: none.
  package let attachments: String?
  package let threadID: String?
  package let isRepeatable: Bool
  package let at: Timestamp
}

/// An `Idempotency-Key`, and what request it stands for.
package struct IdempotencyKey: Sendable, Equatable {
  package let text: String
  /// SHA-256 of the request.
  package let hash: [UInt8]

  package init(text: String, hash: [UInt8]) {
    self.text = text
    self.hash = hash
  }
}

/// What an `Idempotency-Key` says of a request.
package enum IdempotencyOutcome: Error, Equatable {
  /// The same request was made before, and this came of it.
  case repeated(UUIDv7)
  /// Another request was made with this key.
  case conflict
}

/// Jobs of the outbox: made by users, taken and ended by workers.
extension HubStore {
  /// - Parameter message: a message of the conversation; without one that is there, `subject` is nil.
  /// - Throws: `HubStoreError.notFound` when the user does not see the conversation.
  package func sendTarget(
    _ principal: UserKey, conversation: UUIDv7, message: UUIDv7? = nil
  ) async throws -> SendTarget {
    let rows = try await writer.query(
      """
      SELECT t.*, m.thread_id, (
        SELECT l.thread_id FROM messages l
        WHERE l.tenant_id = $1 AND l.conversation_id = $3 AND l.external_id = t.last_inbound_id
          AND l.direction = 0
        ORDER BY l.sent_at DESC LIMIT 1), m.details, (
        SELECT r.details FROM messages r
        WHERE r.tenant_id = $1 AND r.conversation_id = $3 AND r.external_id = m.reply_external_id LIMIT 1)
      FROM send_target($1, $2, $3, $4) t
      LEFT JOIN messages m ON m.tenant_id = $1 AND m.conversation_id = $3 AND m.id = $4
      """,
      [.text(principal.tenant), .text(principal.user), .uuid(conversation), .uuid(message)])
    guard let row = rows.first else { throw HubStoreError.notFound }
    let sender = try row.optionalString(6)
    return SendTarget(
      account: try row.uuid(0),
      conversation: ConversationRef(
        externalID: try row.string(1), kind: ConversationRef.Kind(rawValue: try row.string(2)) ?? .direct,
        title: try row.optionalString(3)),
      lastInboundAt: try row.optionalTimestamp(4).map { Timestamp($0) },
      lastInboundID: try row.optionalString(5),
      lastInboundDetails: try Self.details(row, 11),
      lastInboundThreadID: try row.optionalString(13),
      lastSender: try sender.map { Person(id: $0, name: try row.optionalString(7)) },
      subject: try Self.subject(row))
  }

  private static func subject(_ row: PostgresRow) throws -> SendTarget.Subject? {
    guard let id = try row.optionalString(8), let sentAt = try row.optionalTimestamp(9) else { return nil }
    return SendTarget.Subject(
      externalID: id, sentAt: Timestamp(sentAt), isOutbound: try row.int(10) == 1,
      threadID: try row.optionalString(12), details: try details(row, 14),
      answeredDetails: try details(row, 15))
  }

  private static func details(_ row: PostgresRow, _ column: PostgresRow.Column) throws -> JSONValue? {
    try row.optionalBytes(column).flatMap { try? JSONValue(parsing: $0) }
  }

  /// The conversation of a message that the user sees.
  package func conversation(of message: UUIDv7, _ principal: Principal) async throws -> UUIDv7 {
    let rows = try await read(
      principal, "SELECT conversation_id FROM messages WHERE tenant_id = $1 AND id = $2",
      [.text(principal.tenant), .uuid(message)])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return try row.uuid(0)
  }

  // MARK: Users

  /// - Throws: `IdempotencyOutcome`, `HubStoreError.notFound`.
  package func queueMessage(
    _ user: UserKey, _ message: QueuedMessage, key: IdempotencyKey?
  ) async throws -> [UserEvent] {
    let content = message.content
    return try await idempotent {
      try await change(
        """
        SELECT * FROM queue_message(
          $1, $2, $3, $4, $5, $6, $7, $8, NULL, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        """,
        [
          .text(user.tenant), .text(user.user), .uuid(message.conversation), .uuid(message.message),
          .uuid(message.job), .text(content.kind.rawValue), .text(content.text), .text(message.attachments),
          .text(Preview.text(kind: content.kind, text: content.text, attachments: content.attachments)),
          .text(content.replyTo), .text(message.threadID), .timestamp(PostgresTimestamp(message.at)),
          .text(String(decoding: content.json.encoded(), as: UTF8.self)),
          .text(EchoMatch.text(kind: content.kind, text: content.text)), .bool(message.isRepeatable),
          .text(key?.text), .bytes(key?.hash),
        ])
    }
  }

  /// What came of an earlier request with the key; nil: nothing is known of it yet.
  func result(of key: IdempotencyKey, _ user: UserKey) async throws -> IdempotencyOutcome? {
    let rows = try await writer.query(
      "SELECT result_id, hash = $4 FROM idempotency_keys WHERE tenant_id = $1 AND user_id = $2 AND key = $3",
      [.text(user.tenant), .text(user.user), .text(key.text), .bytes(key.hash)])
    guard let row = rows.first else { return nil }
    return try row.bool(1) ? .repeated(try row.uuid(0)) : .conflict
  }

  /// Makes a job that is no message.
  /// - Throws: `IdempotencyOutcome`, `HubStoreError.notFound`.
  package func queueAction(
    _ user: UserKey, _ action: OutboundAction, conversation: UUIDv7, message: UUIDv7?, job: UUIDv7,
    isRepeatable: Bool, key: IdempotencyKey? = nil
  ) async throws {
    _ = try await idempotent {
      _ = try await self.writer.query(
        "SELECT queue_action($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
          .text(user.tenant), .text(user.user), .uuid(conversation), .uuid(message), .uuid(job),
          .text(action.name), .text(String(decoding: action.json.encoded(), as: UTF8.self)),
          .bool(isRepeatable), .text(key?.text), .bytes(key?.hash),
        ])
      return []
    }
  }

  private func idempotent(_ body: () async throws -> [UserEvent]) async throws -> [UserEvent] {
    do {
      return try await body()
    } catch let error as PostgresError where error.sqlState == "HB409" {
      throw IdempotencyOutcome.conflict
    } catch let error as PostgresError where error.sqlState == "HB208" {
      guard let id = UUIDv7(error.message) else { throw error }
      throw IdempotencyOutcome.repeated(id)
    } catch let error as PostgresError where error.sqlState == "P0002" {
      throw HubStoreError.notFound
    }
  }

  /// Sends a failed message again. nil: it has not failed.
  package func retryMessage(_ principal: Principal, _ id: UUIDv7) async throws -> [UserEvent]? {
    do {
      return try await change(
        "SELECT * FROM retry_message($1, $2, $3)",
        [.text(principal.tenant), .text(principal.user), .uuid(id)])
    } catch let error as PostgresError where error.sqlState == "HB422" {
      return nil
    }
  }

  // MARK: Workers

  package func takeJobs(node: String, limit: Int) async throws -> [OutboxJob] {
    let rows = try await writer.query(
      """
      SELECT tenant_id, id, account_id, platform, conversation_id, message_id, user_id, action, body,
        is_repeatable, attempts
      FROM take_jobs($1, $2)
      """, [.text(node), .int4(Int32(clamping: limit))])
    return try rows.map { row in
      let name = try row.string(7)
      guard let json = try? JSONValue(parsing: try row.bytes(8)),
        let action = OutboundAction(name: name, json: json)
      else { throw HubStoreError.notFound }
      return OutboxJob(
        tenant: try row.string(0), id: try row.uuid(1), account: try row.uuid(2),
        platform: try row.string(3), conversation: try row.uuid(4), message: try row.optionalUUID(5),
        user: try row.string(6), action: action, isRepeatable: try row.bool(9), attempts: try row.int(10))
    }
  }

  package func jobSent(_ job: OutboxJob, node: String, _ receipt: SendReceipt) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM job_sent($1, $2, $3, $4, $5, $6, $7)",
      [
        .text(job.tenant), .uuid(job.id), .text(node), .text(receipt.messageID),
        .timestamp(receipt.sentAt.map { PostgresTimestamp($0) }), .int8(receipt.order),
        .text(receipt.status.rawValue),
      ])
  }

  /// - Parameter item: what the action comes to here; nil: nothing.
  package func jobApplied(_ job: OutboxJob, node: String, _ item: InboundItem?) async throws -> [UserEvent] {
    let change = item.flatMap { ItemJSON.changes($0).first }
    return try await self.change(
      "SELECT * FROM job_applied($1, $2, $3, $4, $5, $6, $7)",
      [
        .text(job.tenant), .uuid(job.id), .text(node), .text(change?.kind), .text(change?.message),
        .timestamp(change.map { PostgresTimestamp($0.at) }),
        .text(change.map { String(decoding: $0.body.encoded(), as: UTF8.self) }),
      ])
  }

  /// - Parameter waitSeconds: from now on, by the database's clock, which decides what is due.
  package func jobLater(
    _ job: OutboxJob, node: String, waitSeconds: Double, reason: String, counts: Bool
  ) async throws {
    _ = try await writer.query(
      "SELECT job_later($1, $2, $3, $4, $5, $6)",
      [
        .text(job.tenant), .uuid(job.id), .text(node), .double(waitSeconds), .text(reason), .bool(counts),
      ])
  }

  package func jobFailed(
    _ job: OutboxJob, node: String, reason: String, canRetry: Bool
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM job_failed($1, $2, $3, $4, $5)",
      [.text(job.tenant), .uuid(job.id), .text(node), .text(reason), .bool(canRetry)])
  }

  package func jobUnknown(
    _ job: OutboxJob, node: String, waitSeconds: Double, reason: String
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM job_unknown($1, $2, $3, $4, $5)",
      [.text(job.tenant), .uuid(job.id), .text(node), .double(waitSeconds), .text(reason)])
  }

  /// Whether the job is still this node's.
  package func holds(_ job: OutboxJob, node: String) async throws -> Bool {
    try await writer.query(
      "SELECT 1 FROM outbox WHERE tenant_id = $1 AND id = $2 AND state = 'sending' AND node = $3",
      [.text(job.tenant), .uuid(job.id), .text(node)]
    ).first != nil
  }

  /// Jobs of nodes that are gone, and unknown ones whose time is up.
  package func recoverJobs(waitSeconds: Double) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM recover_jobs(make_interval(secs => $1), $2, $3)",
      [
        .double(waitSeconds), .text("the hub was stopped while it was being sent"),
        .text("the platform did not answer; the message may have been sent"),
      ])
  }
}

extension OutboundMessage {
  /// The files as the attachments that clients see.
  var attachments: [Attachment] {
    files.map {
      Attachment(kind: $0.kind, name: $0.name, mimeType: $0.mimeType, sizeBytes: $0.sizeBytes)
    }
  }
}

/// What a message and its echo have in common where the platform does not repeat the hub's own id.
enum EchoMatch {
  static func text(kind: MessageKind, text: String?) -> String {
    let words = (text ?? "").split { $0.isWhitespace }.joined(separator: " ")
    return words.isEmpty ? "kind:\(kind.rawValue)" : "text:\(words)"
  }
}

/// The outbox as its users see it.
extension HubStore {
  private static let jobDocument = """
    json_build_object('id', o.id, 'action', o.action, 'conversationId', o.conversation_id,
      'messageId', o.message_id,
      'accountId', o.account_id, 'platform', o.platform, 'state', o.state, 'attempts', o.attempts,
      'reason', o.reason, 'canRetry', o.can_retry,
      'createdAt', json_time(o.created_at)::json, 'finishedAt', json_time(o.finished_at)::json)::text
    """

  /// Jobs of the accounts that the user sees, newest first.
  func jobs(_ principal: Principal, state: String?, limit: Int) async throws -> [[UInt8]] {
    try await writer.query(
      """
      SELECT \(Self.jobDocument) FROM outbox o
      JOIN account_users u ON u.tenant_id = o.tenant_id AND u.account_id = o.account_id AND u.user_id = $2
      WHERE o.tenant_id = $1 AND ($3::text IS NULL OR o.state = $3) ORDER BY o.id DESC LIMIT $4
      """,
      [
        .text(principal.tenant), .text(principal.user), .text(state), .int4(Int32(clamping: limit)),
      ]
    ).map { try $0.bytes(0) }
  }

  func job(_ principal: Principal, _ id: UUIDv7) async throws -> [UInt8]? {
    try await writer.query(
      """
      SELECT \(Self.jobDocument) FROM outbox o
      JOIN account_users u ON u.tenant_id = o.tenant_id AND u.account_id = o.account_id AND u.user_id = $2
      WHERE o.tenant_id = $1 AND o.id = $3
      """, [.text(principal.tenant), .text(principal.user), .uuid(id)]
    ).first?.bytes(0)
  }
}
