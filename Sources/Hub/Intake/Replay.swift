package import Bytes
import Platforms
import Postgres
package import Security

/// Reads a stored delivery again with today's parser and stores what it finds.
///
/// The raw body is what counts: the same line of the ledger is written anew, and everything in it is
/// applied as if it came now. Because applying is idempotent, a second replay changes nothing. The
/// signature is not looked at again: it was checked before the delivery was stored.
package struct Replay: Sendable {
  package enum Outcome: Sendable, Equatable {
    /// Read and applied before by the same parser; nothing was done.
    case unchanged
    case done
    /// Still not, or not wholly, readable.
    case dead(reason: String)
  }

  package let store: HubStore
  package let keys: KeyRing
  package let ids: IDSource

  package init(store: HubStore, keys: KeyRing, ids: IDSource) {
    self.store = store
    self.keys = keys
    self.ids = ids
  }

  /// Call on the store's loop.
  /// - Parameters:
  ///   - tenant: nil: any, for the command line only.
  ///   - notify: tell the nodes; a caller that publishes the events itself on the only node need not.
  /// - Throws: `HubStoreError.notFound`, or the database's fault.
  package func run(
    _ id: UUIDv7, tenant: String?, notify: Bool
  ) async throws -> (outcome: Outcome, events: [UserEvent]) {
    let stored = try await store.delivery(id, tenant: tenant)
    let record = stored.record
    guard let platform = PlatformCatalogue.named(record.platform) else {
      return (.dead(reason: "this hub knows no platform \(record.platform)"), [])
    }
    if record.state == "done" && record.parserVersion == platform.parserVersion { return (.unchanged, []) }
    let owner = try await store.owner(
      of: record.account, tenant: record.tenant, platform: platform.name, keys: keys)
    let read = DeliveryReader.read(
      id: id, body: stored.body, headers: stored.keptHeaders, headersText: stored.headers,
      hash: stored.hash, owner: owner, platform: platform, received: record.receivedAt)
    var accounts: [String: Account] = [:]
    for name in read.otherAccounts {
      accounts[name] = try await store.account(
        tenant: record.tenant, platform: platform.name, externalID: name, keys: keys)
    }
    var deliveries = read.dealt(to: accounts, ids: ids)
    // The line itself is written anew in any case. What went to others from a line that was done was
    // stored with it.
    if deliveries.first?.id != id { deliveries.insert(read.emptied, at: 0) }
    if record.state == "done" { deliveries = [deliveries[0]] }
    let events: [UserEvent]
    do throws(PostgresError) {
      events = try await IngestStatement.run(deliveries, on: store.writer, ids: ids, notify: notify)
    } catch {
      guard error.isDataFault else { throw error }
      return (.dead(reason: "store: \(error)"), [])
    }
    switch deliveries[0].outcome {
    case .done: return (.done, events)
    case .dead(let reason): return (.dead(reason: reason), events)
    }
  }
}
