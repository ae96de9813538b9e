package import EventLoop
package import Security
import Synchronization

/// The accounts by webhook key, kept in memory by all shards.
///
/// An entry is read from the database when it is first asked for and again after `lifetime`; a change
/// on any node drops it at once by notification, so the lifetime is only a net. Unknown keys are
/// remembered for a moment, in a bounded number, so that a scanner costs no database.
package final class AccountDirectory: Sendable {
  private struct Entry {
    let account: Account?
    let expires: LoopInstant
  }

  private static let unknownMax = 10_000
  private static let unknownLifetime: Duration = .seconds(2)
  private static let lifetime: Duration = .seconds(60)

  private let entries = Mutex<[String: Entry]>([:])
  private let keys: KeyRing

  package init(keys: KeyRing) {
    self.keys = keys
  }

  /// - Throws: when the database has to be asked and is away.
  package func account(_ key: String, store: HubStore, now: LoopInstant) async throws -> Account? {
    if let entry = entries.withLock({ $0[key] }), entry.expires > now { return entry.account }
    let account = try await store.account(key: key, keys: keys)
    let expires = now + (account == nil ? Self.unknownLifetime : Self.lifetime)
    entries.withLock { entries in
      if account == nil && entries.count > Self.unknownMax {
        entries = entries.filter { $0.value.account != nil }
      }
      entries[key] = Entry(account: account, expires: expires)
    }
    return account
  }

  /// Forgets one account, or all when `key` is nil.
  package func forget(_ key: String?) {
    entries.withLock { entries in
      if let key { entries[key] = nil } else { entries = [:] }
    }
  }
}
