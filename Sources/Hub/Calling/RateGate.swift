package import Bytes
import Platforms
package import Security
import Synchronization

/// Who has to be left alone for how long, as the platforms said: accounts, and the apps they belong to. One
/// for the process; any thread may ask. `PauseSharing` makes it one for all nodes.
package final class RateGate: Sendable {
  /// What is paused, by a name that tells nothing of it.
  struct Name: Hashable, Sendable {
    let tenant: String
    let code: [UInt8]
  }

  /// A pause that other nodes do not know of yet.
  struct News: Sendable {
    let name: Name
    let end: Timestamp
  }

  private struct State {
    var ends: [Name: Timestamp] = [:]
    var news: [News] = []

    /// The longest counts. What is over makes room.
    mutating func put(_ name: Name, _ end: Timestamp, _ now: Timestamp) {
      if ends.count >= RateGate.entriesMax { ends = ends.filter { $0.value > now } }
      ends[name] = max(ends[name] ?? end, end)
    }
  }

  private static let entriesMax = 100_000
  private static let purpose = "pause"
  /// Shorter ones are over before anybody has read of them.
  private static let sharedSecondsMin = 2.0

  private let keys: KeyRing
  private let state = Mutex(State())

  package init(keys: KeyRing) {
    self.keys = keys
  }

  /// When the account may be used again; nil: now.
  package func pause(of account: Account, now: Timestamp) -> Timestamp? {
    // Nearly always there is no pause at all.
    guard state.withLock({ !$0.ends.isEmpty }) else { return nil }
    let names = [name(account), app(account)]
    return state.withLock { state in names.compactMap { state.ends[$0] }.filter { $0 > now }.max() }
  }

  package func pauseAccount(_ account: Account, seconds: Double, now: Timestamp) {
    set(name(account), seconds, now)
  }

  package func pauseApp(_ account: Account, seconds: Double, now: Timestamp) {
    set(app(account), seconds, now)
  }

  private func set(_ name: Name, _ seconds: Double, _ now: Timestamp) {
    let seconds = RetryAfter.bounded(seconds, least: 0.1)
    let end = Timestamp(microseconds: now.microseconds + Int64(seconds * 1_000_000))
    state.withLock { state in
      state.put(name, end, now)
      if seconds >= Self.sharedSecondsMin, state.news.count < Self.entriesMax {
        state.news.append(News(name: name, end: end))
      }
    }
  }

  // MARK: Other nodes

  /// What others have to be told, once.
  func takeNews() -> [News] {
    state.withLock { state in
      defer { state.news = [] }
      return state.news
    }
  }

  /// What they could not be told yet.
  func putBack(_ news: [News]) {
    state.withLock { $0.news = news + $0.news }
  }

  /// What another node was told, in seconds from now.
  func learn(_ pauses: [(name: Name, seconds: Double)], now: Timestamp) {
    guard !pauses.isEmpty else { return }
    state.withLock { state in
      for pause in pauses {
        let seconds = RetryAfter.bounded(pause.seconds, least: 0)
        state.put(pause.name, Timestamp(microseconds: now.microseconds + Int64(seconds * 1_000_000)), now)
      }
    }
  }

  // MARK: Names

  private func name(_ account: Account) -> Name { coded(account, "account/\(account.id)") }

  /// Accounts whose credentials name the same app share its limits.
  private func app(_ account: Account) -> Name {
    let fields = ["appId", "clientId", "appSecret", "consumerKey"]
    let value = fields.compactMap { account.secrets[$0].first }.first ?? "\(account.id)"
    return coded(account, "app/\(account.platform)/\(value)")
  }

  /// What names an app may be a secret, so it is kept as a code of it.
  private func coded(_ account: Account, _ text: String) -> Name {
    Name(tenant: account.tenant, code: keys.code(Array(text.utf8), purpose: Self.purpose))
  }
}
