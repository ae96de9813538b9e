import Bytes
package import EventLoop
import Platforms

/// Takes files out of the deliveries that brought them. One at a time on a node, because a delivery is whole
/// in memory meanwhile, and not on the loop, because taking a mail apart takes long.
package actor DeliveryParts {
  package nonisolated let loop: EventLoop
  private let store: HubStore
  private let blocking: BlockingPool
  private var isBusy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  package init(loop: EventLoop, store: HubStore, blocking: BlockingPool) {
    self.loop = loop
    self.store = store
    self.blocking = blocking
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// The bytes of a part by the name that the platform gave it. nil: there is no such part, or the ledger
  /// does not keep the delivery any more.
  /// - Throws: when the database is away.
  func bytes(
    of name: String, in id: UUIDv7, _ platform: any Platform, _ account: Account
  ) async throws -> [UInt8]? {
    await turn()
    defer { next() }
    let stored: StoredDelivery
    do {
      stored = try await store.delivery(id, tenant: account.tenant)
    } catch HubStoreError.notFound {
      return nil
    }
    let delivery = WebhookDelivery(
      body: stored.body, headers: stored.keptHeaders, receivedAt: stored.record.receivedAt,
      secrets: account.secrets)
    return try await blocking.run { platform.file(name, in: delivery) }
  }

  private func turn() async {
    guard isBusy else {
      isBusy = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  private func next() {
    guard !waiting.isEmpty else {
      isBusy = false
      return
    }
    waiting.removeFirst().resume()
  }
}
