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
    var echoes: [(delivery: ParsedDelivery, message: InboundMessage)] = []
    for delivery in deliveries {
      for case .message(let message) in delivery.items where message.direction == .outbound {
        echoes.append((delivery, message))
      }
    }
    guard !echoes.isEmpty else { return nil }
    return [
      .texts(echoes.map(\.delivery.tenant)), .uuids(echoes.map(\.delivery.account)),
      .texts(echoes.map(\.message.conversation.externalID)), .texts(echoes.map(\.message.externalID)),
      .texts(echoes.map { EchoMatch.text(kind: $0.message.kind, text: $0.message.text) }),
      .uuids(echoes.map { $0.message.details?["clientKey"]?.string.flatMap { UUIDv7($0) } }),
      .timestamps(echoes.map { PostgresTimestamp($0.message.sentAt) }), .int8s(echoes.map(\.message.order)),
      .texts(echoes.map { $0.message.status?.rawValue }),
    ]
  }
}
