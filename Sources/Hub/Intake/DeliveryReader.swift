import Bytes
import JSON
import Messaging
import Platforms
import Security

/// A verified request that was read: what of it is for which account is not decided yet.
struct ReadDelivery: Sendable {
  let id: UUIDv7
  let owner: Account
  let parserVersion: Int
  let receivedAt: Timestamp
  /// The kept headers as a JSON object.
  let headers: String
  let body: [UInt8]
  let hash: [UInt8]
  let parts: [Normalised.Part]
  /// What could not be read; nil: everything could.
  let fault: String?

  /// The platform's own ids of other accounts than the owner, each once.
  var otherAccounts: [String] {
    var others: [String] = []
    for part in parts {
      guard let account = part.account, !isOwn(part), !others.contains(account) else { continue }
      others.append(account)
    }
    return others
  }

  private func isOwn(_ part: Normalised.Part) -> Bool {
    guard !owner.isApp else { return false }
    return part.account == nil || owner.externalID == nil || part.account == owner.externalID
  }

  /// Deals the parts to the accounts they are for. What is for an account that is not connected makes
  /// the owner's own line of the ledger dead, so that a replay can find it later.
  /// - Parameter accounts: the connected ones among `otherAccounts`.
  /// - Returns: at least one delivery; the owner's, when it has one, is the first.
  func dealt(to accounts: [String: Account], ids: IDSource) -> [ParsedDelivery] {
    var own: [InboundItem] = []
    var others: [(account: Account, items: [InboundItem])] = []
    var unknown: [String] = []
    var nameless = false
    for part in parts {
      if isOwn(part) {
        own += part.items
      } else if let name = part.account, let account = accounts[name] {
        if let index = others.firstIndex(where: { $0.account.id == account.id }) {
          others[index].items += part.items
        } else {
          others.append((account, part.items))
        }
      } else if let name = part.account {
        if !unknown.contains(name) { unknown.append(name) }
      } else {
        nameless = true
      }
    }
    var reasons = fault.map { [$0] } ?? []
    if nameless { reasons.append("it does not say which account it is for") }
    if !unknown.isEmpty {
      reasons.append("no account is connected for \(unknown.prefix(5).joined(separator: ", "))")
    }
    var deliveries: [ParsedDelivery] = []
    if !owner.isApp || others.isEmpty || !reasons.isEmpty {
      let outcome: ParsedDelivery.Outcome =
        reasons.isEmpty ? .done : .dead(reason: reasons.joined(separator: "; "))
      deliveries.append(parsed(id, owner, outcome, own))
    }
    for (account, items) in others { deliveries.append(parsed(ids.next(), account, .done, items)) }
    return deliveries
  }

  /// The owner's line when everything in it went to other accounts.
  var emptied: ParsedDelivery { parsed(id, owner, .done, []) }

  /// Too many changes at once are kept as dead: they would hold the writer, and with it other accounts,
  /// for longer than a statement may take.
  private func parsed(
    _ id: UUIDv7, _ account: Account, _ outcome: ParsedDelivery.Outcome, _ items: [InboundItem]
  ) -> ParsedDelivery {
    let delivery = ParsedDelivery(
      id: id, tenant: account.tenant, account: account.id, platform: account.platform.rawValue,
      receivedAt: receivedAt, headers: headers, body: body, hash: hash, parserVersion: parserVersion,
      outcome: outcome, items: items)
    let rows = items.reduce(0) { $0 + ItemJSON.rowCount($1) }
    guard rows > DeliveryReader.rowsMax else { return delivery }
    return delivery.dead("more than \(DeliveryReader.rowsMax) changes at once")
  }
}

/// Reads verified requests: every item, and the name of what could not be read.
enum DeliveryReader {
  /// Rows that one delivery may change.
  static let rowsMax = 5_000

  static func read(
    id: UUIDv7, request: WebhookRequest, owner: Account, platform: any Platform, received: Timestamp
  ) -> ReadDelivery {
    let headers = KeptHeaders(of: request, platform: platform)
    return read(
      id: id, body: request.content, headers: headers,
      headersText: String(decoding: headers.json.encoded(), as: UTF8.self),
      hash: Digest.sha256(request.content), owner: owner, platform: platform, received: received)
  }

  /// Reads with today's parser; also what a replay does.
  static func read(
    id: UUIDv7, body: [UInt8], headers: KeptHeaders, headersText: String, hash: [UInt8], owner: Account,
    platform: any Platform, received: Timestamp
  ) -> ReadDelivery {
    let (parts, fault) = normalise(
      WebhookDelivery(body: body, headers: headers, receivedAt: received, secrets: owner.secrets), platform,
      account: owner.externalID)
    return ReadDelivery(
      id: id, owner: owner, parserVersion: platform.parserVersion, receivedAt: received,
      headers: headersText, body: body, hash: hash, parts: parts, fault: fault)
  }

  private static func normalise(
    _ delivery: WebhookDelivery, _ platform: any Platform, account: String?
  ) -> (parts: [Normalised.Part], fault: String?) {
    do throws(NormaliseError) {
      return told(try content(delivery, platform, account: account))
    } catch {
      return ([], "\(error)")
    }
  }

  /// A poll is read again from the answers that it kept.
  private static func content(
    _ delivery: WebhookDelivery, _ platform: any Platform, account: String?
  ) throws(NormaliseError) -> Normalised {
    guard let poller = platform as? any PollingPlatform,
      let job = PollRecord.job(
        delivery.headers, secrets: delivery.secrets, account: account, receivedAt: delivery.receivedAt)
    else { return try platform.normalise(delivery) }
    guard case .page(let page) = poller.poll(job, after: PollRecord.answers(delivery.body)) else {
      throw .wrongBody(expected: "a whole poll")
    }
    return page.content
  }

  private static func told(_ result: Normalised) -> (parts: [Normalised.Part], fault: String?) {
    guard let fault = result.faults.first else { return (result.parts, nil) }
    let more = result.faults.count > 1 ? " (and \(result.faults.count - 1) more)" : ""
    return (result.parts, "\(fault)\(more)")
  }
}
