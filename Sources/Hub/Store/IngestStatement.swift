package import Bytes
import JSON
import Messaging
package import Postgres

/// The batch statement: one call of the SQL function `ingest` over arrays, in one round trip.
///
/// The columns are documented in the migration that defines the function; their order here is its
/// order there.
package enum IngestStatement {
  package static let sql: String = {
    let types =
      Deliveries.types + Messages.types + Changes.types + ["boolean", "boolean"]
    let parameters = types.enumerated().map { "$\($0.offset + 1)::\($0.element)" }
    return "SELECT tenant_id, user_id, seq, type, at, conversation_id, message_id, data "
      + "FROM ingest(\(parameters.joined(separator: ", ")))"
  }()

  /// Stores the deliveries in one transaction. - Returns: the events that it wrote, in order.
  ///
  /// What came back of the hub's own messages is recognised before, and cursors of polls move behind it, in
  /// the same transaction.
  /// - Parameter quiet: it was there before the account was connected: nobody's unread, and no push.
  static func run(
    _ deliveries: [ParsedDelivery], on pool: PostgresPool, ids: IDSource, notify: Bool, quiet: Bool = false
  ) async throws(PostgresError) -> [UserEvent] {
    let main = PostgresStatement(sql, binds(deliveries, ids: ids, notify: notify, quiet: quiet))
    let echoes = EchoStatement.binds(deliveries).map { PostgresStatement(EchoStatement.sql, $0) }
    let marks = deliveries.compactMap { delivery in
      delivery.poll.map {
        PostgresStatement(
          PollStatement.sql, PollStatement.binds(delivery.tenant, delivery.account, $0, delivery.id))
      }
    }
    guard echoes != nil || !marks.isEmpty else {
      return try EventRows.read(try await pool.query(main.sql, main.binds))
    }
    let results = try await pool.batch([echoes, main].compactMap(\.self) + marks)
    guard echoes != nil else { return try EventRows.read(results[0]) }
    return try EventRows.read(results[0]) + EventRows.read(results[1])
  }

  package static func binds(
    _ deliveries: [ParsedDelivery], ids: IDSource, notify: Bool, quiet: Bool = false
  ) -> [PostgresBind] {
    var messages = Messages()
    var changes = Changes()
    for (offset, delivery) in deliveries.enumerated() {
      let index = Int32(offset + 1)
      for item in delivery.items {
        if case .message(let message) = item {
          messages.append(message, index, of: delivery.id, ids: ids)
        } else {
          changes.append(item, delivery: index)
        }
      }
    }
    return Deliveries.binds(deliveries) + messages.binds + changes.binds + [.bool(notify), .bool(quiet)]
  }

  private enum Deliveries {
    static let types = [
      "uuid[]", "text[]", "uuid[]", "text[]", "timestamptz[]", "text[]", "bytea[]", "bytea[]", "int[]",
      "text[]", "text[]", "int[]",
    ]

    static func binds(_ deliveries: [ParsedDelivery]) -> [PostgresBind] {
      [
        .uuids(deliveries.map(\.id)),
        .texts(deliveries.map(\.tenant)),
        .uuids(deliveries.map(\.account)),
        .texts(deliveries.map(\.platform)),
        .timestamps(deliveries.map { PostgresTimestamp($0.receivedAt) }),
        .texts(deliveries.map(\.headers)),
        .byteArrays(deliveries.map(\.body)),
        .byteArrays(deliveries.map(\.hash)),
        .int4s(deliveries.map { Int32(clamping: $0.parserVersion) }),
        .texts(deliveries.map { $0.outcome == .done ? "done" : "dead" }),
        .texts(
          deliveries.map { delivery -> String? in
            if case .dead(let reason) = delivery.outcome { reason } else { nil }
          }),
        .int4s(deliveries.map { Int32(clamping: $0.items.count) }),
      ]
    }
  }

  private struct Messages {
    static let types = [
      "int[]", "uuid[]", "uuid[]", "text[]", "text[]", "text[]", "text[]", "smallint[]", "text[]",
      "text[]", "text[]", "text[]", "text[]", "text[]", "text[]", "text[]", "text[]", "text[]", "text[]",
      "timestamptz[]", "bigint[]",
    ]

    var delivery: [Int32?] = []
    var id: [UUIDv7?] = []
    var conversationID: [UUIDv7?] = []
    var conversation: [String?] = []
    var conversationKind: [String?] = []
    var conversationTitle: [String?] = []
    var externalID: [String?] = []
    var direction: [Int16?] = []
    var kind: [String?] = []
    var text: [String?] = []
    var senderID: [String?] = []
    var senderName: [String?] = []
    var senderAvatar: [String?] = []
    var replyTo: [String?] = []
    var thread: [String?] = []
    var attachments: [String?] = []
    var details: [String?] = []
    var preview: [String?] = []
    var status: [String?] = []
    var sentAt: [PostgresTimestamp?] = []
    var order: [Int64?] = []

    mutating func append(_ message: InboundMessage, _ index: Int32, of ledger: UUIDv7, ids: IDSource) {
      delivery.append(index)
      id.append(ids.next())
      conversationID.append(ids.next())
      conversation.append(message.conversation.externalID)
      conversationKind.append(message.conversation.kind.rawValue)
      conversationTitle.append(message.conversation.title)
      externalID.append(message.externalID)
      direction.append(message.direction == .inbound ? 0 : 1)
      kind.append(message.kind.rawValue)
      text.append(message.text)
      senderID.append(message.sender.id)
      senderName.append(message.sender.name)
      senderAvatar.append(message.sender.avatar)
      replyTo.append(message.replyTo)
      thread.append(message.threadID)
      attachments.append(ItemJSON.attachments(message.attachments, in: ledger))
      details.append(ItemJSON.details(message))
      preview.append(Preview.text(for: message))
      status.append(message.status?.rawValue)
      sentAt.append(PostgresTimestamp(message.sentAt))
      order.append(message.order)
    }

    var binds: [PostgresBind] {
      [
        .int4s(delivery), .uuids(id), .uuids(conversationID), .texts(conversation),
        .texts(conversationKind), .texts(conversationTitle), .texts(externalID), .int2s(direction),
        .texts(kind), .texts(text), .texts(senderID), .texts(senderName), .texts(senderAvatar),
        .texts(replyTo), .texts(thread), .texts(attachments), .texts(details), .texts(preview),
        .texts(status), .timestamps(sentAt), .int8s(order),
      ]
    }
  }

  private struct Changes {
    static let types = [
      "int[]", "text[]", "text[]", "text[]", "timestamptz[]", "bigint[]", "text[]",
    ]

    var delivery: [Int32?] = []
    var kind: [String?] = []
    var conversation: [String?] = []
    var externalID: [String?] = []
    var at: [PostgresTimestamp?] = []
    var order: [Int64?] = []
    var body: [String?] = []

    mutating func append(_ item: InboundItem, delivery index: Int32) {
      for change in ItemJSON.changes(item) {
        delivery.append(index)
        kind.append(change.kind)
        conversation.append(change.conversation)
        externalID.append(change.message)
        at.append(PostgresTimestamp(change.at))
        order.append(change.order)
        body.append(String(decoding: change.body.encoded(), as: UTF8.self))
      }
    }

    var binds: [PostgresBind] {
      [
        .int4s(delivery), .texts(kind), .texts(conversation), .texts(externalID), .timestamps(at),
        .int8s(order), .texts(body),
      ]
    }
  }
}

extension PostgresTimestamp {
  package init(_ timestamp: Timestamp) { self.init(microseconds: timestamp.microseconds) }
}

extension Timestamp {
  package init(_ timestamp: PostgresTimestamp) { self.init(microseconds: timestamp.microseconds) }
}
