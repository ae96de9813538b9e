package import EventLoop
package import Platforms
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

  private struct State {
    var entries: [String: Entry] = [:]
    /// By tenant, platform and the platform's own id.
    var externals: [[String]: Entry] = [:]
    var apps: [String: (apps: [Account], expires: LoopInstant)] = [:]
    /// Counts what was forgotten: an answer that was asked for before that is used and not kept.
    var generation: UInt64 = 0
  }

  private let state = Mutex(State())
  private let keys: KeyRing

  package init(keys: KeyRing) {
    self.keys = keys
  }

  /// - Throws: when the database has to be asked and is away.
  package func account(_ key: String, store: HubStore, now: LoopInstant) async throws -> Account? {
    let (entry, generation) = state.withLock { ($0.entries[key], $0.generation) }
    if let entry, entry.expires > now { return entry.account }
    let account = try await store.account(key: key, keys: keys)
    let expires = now + (account == nil ? Self.unknownLifetime : Self.lifetime)
    state.withLock { state in
      guard state.generation == generation else { return }
      if account == nil && state.entries.count > Self.unknownMax {
        state.entries = state.entries.filter { $0.value.account != nil }
      }
      state.entries[key] = Entry(account: account, expires: expires)
    }
    return account
  }

  /// An account by the platform's own id of it. nil: none is connected.
  /// - Throws: when the database has to be asked and is away.
  package func account(
    tenant: String, platform: PlatformName, externalID: String, store: HubStore, now: LoopInstant
  ) async throws -> Account? {
    let name = [tenant, platform.rawValue, externalID]
    let (entry, generation) = state.withLock { ($0.externals[name], $0.generation) }
    if let entry, entry.expires > now { return entry.account }
    let account = try await store.account(
      tenant: tenant, platform: platform, externalID: externalID, keys: keys)
    let expires = now + (account == nil ? Self.unknownLifetime : Self.lifetime)
    state.withLock { state in
      guard state.generation == generation else { return }
      if account == nil && state.externals.count > Self.unknownMax {
        state.externals = state.externals.filter { $0.value.account != nil }
      }
      state.externals[name] = Entry(account: account, expires: expires)
    }
    return account
  }

  /// The apps of a platform, over all tenants, oldest first.
  /// - Throws: when the database has to be asked and is away.
  package func apps(_ platform: PlatformName, store: HubStore, now: LoopInstant) async throws -> [Account] {
    let (entry, generation) = state.withLock { ($0.apps[platform.rawValue], $0.generation) }
    if let entry, entry.expires > now { return entry.apps }
    let apps = try await store.apps(platform, keys: keys)
    let expires = now + (apps.isEmpty ? Self.unknownLifetime : Self.lifetime)
    state.withLock { state in
      if state.generation == generation { state.apps[platform.rawValue] = (apps, expires) }
    }
    return apps
  }

  /// Forgets one account, or all when `key` is nil. What is known by other names goes in both cases.
  package func forget(_ key: String?) {
    state.withLock { state in
      state.generation += 1
      state.externals = [:]
      state.apps = [:]
      if let key { state.entries[key] = nil } else { state.entries = [:] }
    }
  }
}
