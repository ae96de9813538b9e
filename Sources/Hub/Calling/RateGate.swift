package import Bytes
import Platforms
import Synchronization

/// Who has to be left alone for how long, as the platforms said: accounts, and the apps they belong to. One
/// for the process; any thread may ask.
package final class RateGate: Sendable {
  private static let entriesMax = 100_000

  private let pauses = Mutex<[String: Timestamp]>([:])

  package init() {}

  /// When the account may be used again; nil: now.
  package func pause(of account: Account, now: Timestamp) -> Timestamp? {
    pauses.withLock { pauses in
      [Self.name(account), Self.app(account)].compactMap { pauses[$0] }.filter { $0 > now }.max()
    }
  }

  package func pauseAccount(_ account: Account, seconds: Double, now: Timestamp) {
    set(Self.name(account), seconds, now)
  }

  package func pauseApp(_ account: Account, seconds: Double, now: Timestamp) {
    set(Self.app(account), seconds, now)
  }

  private func set(_ name: String, _ seconds: Double, _ now: Timestamp) {
    let end = Timestamp(microseconds: now.microseconds + Int64(min(max(seconds, 0.1), 3_600) * 1_000_000))
    pauses.withLock { pauses in
      if pauses.count >= Self.entriesMax { pauses = pauses.filter { $0.value > now } }
      pauses[name] = max(pauses[name] ?? end, end)
    }
  }

  private static func name(_ account: Account) -> String { "\(account.tenant)/\(account.id)" }

  /// Accounts whose credentials name the same app share its limits.
  private static func app(_ account: Account) -> String {
    let fields = ["appId", "clientId", "appSecret", "consumerKey"]
    let value = fields.compactMap { account.secrets[$0].first }.first ?? "\(account.id)"
    return "\(account.tenant)/\(account.platform)/\(value)"
  }
}
