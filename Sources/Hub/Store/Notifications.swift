import JSON

/// What nodes and commands tell each other through NOTIFY: ids only, a wake-up and no data.
enum Notifications {
  /// Events were written.
  static let events = "hub_events"
  /// An account changed; the payload is its webhook key.
  static let accounts = "hub_accounts"

  /// Reads `[[tenant, user, seq], ...]`; anything else says nothing.
  static func positions(_ payload: String) -> [UserKey: Int64] {
    guard let entries = (try? JSONValue(parsing: Array(payload.utf8)))?.array else { return [:] }
    var positions: [UserKey: Int64] = [:]
    for entry in entries {
      guard let tenant = entry[0]?.string, let user = entry[1]?.string, let seq = entry[2]?.integer
      else { continue }
      positions[UserKey(tenant: tenant, user: user)] = max(
        seq, positions[UserKey(tenant: tenant, user: user)] ?? 0)
    }
    return positions
  }
}
