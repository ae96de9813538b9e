package import Bytes
package import Messaging

/// A webhook delivery that was verified and read: what one transaction stores.
package struct ParsedDelivery: Sendable {
  package enum Outcome: Sendable, Equatable {
    case done
    /// Nothing, or not everything, could be read; replay can try again.
    case dead(reason: String)
  }

  package let id: UUIDv7
  package let tenant: String
  package let account: UUIDv7
  package let platform: String
  package let receivedAt: Timestamp
  /// The kept headers as a JSON object.
  package let headers: String
  package let body: [UInt8]
  /// SHA-256 of the body.
  package let hash: [UInt8]
  package let parserVersion: Int
  package let outcome: Outcome
  package let items: [InboundItem]
  /// It was polled: how far that has got. nil: it is a webhook, or a replay.
  package let poll: PollMark?

  package init(
    id: UUIDv7, tenant: String, account: UUIDv7, platform: String, receivedAt: Timestamp, headers: String,
    body: [UInt8], hash: [UInt8], parserVersion: Int, outcome: Outcome, items: [InboundItem],
    poll: PollMark? = nil
  ) {
    self.id = id
    self.tenant = tenant
    self.account = account
    self.platform = platform
    self.receivedAt = receivedAt
    self.headers = headers
    self.body = body
    self.hash = hash
    self.parserVersion = parserVersion
    self.outcome = outcome
    self.items = items
    self.poll = poll
  }

  /// The same delivery with nothing to apply, kept for a look and a replay.
  package func dead(_ reason: String) -> ParsedDelivery {
    ParsedDelivery(
      id: id, tenant: tenant, account: account, platform: platform, receivedAt: receivedAt,
      headers: headers, body: body, hash: hash, parserVersion: parserVersion,
      outcome: .dead(reason: reason), items: [], poll: poll)
  }
}
