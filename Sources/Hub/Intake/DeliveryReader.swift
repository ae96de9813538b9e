import Bytes
import JSON
import Messaging
import Platforms
import Security

/// Turns a verified request into a delivery: reads every item, names what could not be read.
enum DeliveryReader {
  /// Headers that are kept with a delivery: what platforms say about it, never what authenticates it.
  private static let keptHeaders: Set<String> = [
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp",
    "content-encoding", "traceparent",
  ]

  /// Rows that one delivery may change. A delivery with more would hold its writer, and with it other
  /// accounts, for longer than a statement may take; it is kept as dead.
  static let rowsMax = 5_000

  static func read(
    id: UUIDv7, request: WebhookRequest, account: Account, platform: any Platform, received: Timestamp
  ) -> ParsedDelivery {
    let headers = keptHeaders(of: request)
    let (outcome, items) = normalise(
      request.body, headers: headers, receivedAt: received, platform: platform)
    return ParsedDelivery(
      id: id, tenant: account.tenant, account: account.id, platform: platform.name.rawValue,
      receivedAt: received, headers: String(decoding: headers.json.encoded(), as: UTF8.self),
      body: request.body, hash: Digest.sha256(request.body), parserVersion: platform.parserVersion,
      outcome: outcome, items: items)
  }

  /// Reads a body with today's parser; also what a replay does.
  static func normalise(
    _ body: [UInt8], headers: KeptHeaders, receivedAt: Timestamp, platform: any Platform
  ) -> (ParsedDelivery.Outcome, [InboundItem]) {
    do throws(NormaliseError) {
      let result = try platform.normalise(body, headers: headers, receivedAt: receivedAt)
      let rows = result.items.reduce(0) { $0 + ItemJSON.rowCount($1) }
      guard rows <= rowsMax else { return (.dead(reason: "more than \(rowsMax) changes at once"), []) }
      guard let fault = result.faults.first else { return (.done, result.items) }
      let more = result.faults.count > 1 ? " (and \(result.faults.count - 1) more)" : ""
      return (.dead(reason: "\(fault)\(more)"), result.items)
    } catch {
      return (.dead(reason: "\(error)"), [])
    }
  }

  private static func keptHeaders(of request: WebhookRequest) -> KeptHeaders {
    KeptHeaders(request.headers.filter { keptHeaders.contains($0.name.lowercased()) })
  }
}
