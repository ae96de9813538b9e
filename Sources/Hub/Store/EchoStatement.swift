import Bytes
import JSON
import Messaging
import Postgres

/// The statement that recognises messages which the hub sent itself; it runs before the one that stores
/// them, in the same transaction, and only where a delivery holds outbound messages.
enum EchoStatement {
  static let sql =
    "SELECT tenant_id, user_id, seq, type, at, conversation_id, message_id, data FROM recognise_echoes("
    + "$1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], "
    + "$7::timestamptz[], $8::bigint[], $9::text[])"

  /// nil: nothing came back.
  static func binds(_ deliveries: [ParsedDelivery]) -> [PostgresBind]? {
    let echoes = deliveries.flatMap { delivery in
      delivery.items.compactMap { Echo($0, tenant: delivery.tenant, account: delivery.account) }
    }
    guard !echoes.isEmpty else { return nil }
    return [
      .texts(echoes.map(\.tenant)), .uuids(echoes.map(\.account)), .texts(echoes.map(\.conversation)),
      .texts(echoes.map(\.externalID)), .texts(echoes.map(\.matches)), .uuids(echoes.map(\.key)),
      .timestamps(echoes.map { $0.sentAt.map { PostgresTimestamp($0) } }), .int8s(echoes.map(\.order)),
      .texts(echoes.map { $0.status?.rawValue }),
    ]
  }

  /// What a platform tells of a message that the hub may have sent: the message itself, or its status
  /// with the hub's key.
  private struct Echo {
    let tenant: String
    let account: UUIDv7
    let conversation: String
    let externalID: String
    let matches: String
    let key: UUIDv7?
    let sentAt: Timestamp?
    let order: Int64?
    let status: MessageStatus?

    /// nil: it is about something else.
    init?(_ item: InboundItem, tenant: String, account: UUIDv7) {
      self.tenant = tenant
      self.account = account
      switch item {
      case .message(let message) where message.direction == .outbound:
        conversation = message.conversation.externalID
        externalID = message.externalID
        matches = EchoMatch.text(kind: message.kind, text: message.written ?? message.text)
        key = message.details?["clientKey"]?.string.flatMap { UUIDv7($0) }
        sentAt = message.sentAt
        order = message.order
        status = message.status
      case .status(let change):
        guard let known = change.clientKey.flatMap({ UUIDv7($0) }) else { return nil }
        conversation = change.conversation.externalID
        externalID = change.externalID
        matches = ""
        key = known
        // What the status says is stored with the other changes, behind this.
        sentAt = nil
        order = nil
        status = nil
      default: return nil
      }
    }
  }
}
