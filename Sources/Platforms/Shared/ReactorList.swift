import JSON
import Messaging

/// Who has reacted to the messages that are looked at again. A platform that shows reactions as they stand
/// does not show who has none left: that is found by who is missing.
struct ReactorList: Equatable {
  /// Reactions of a message as the platform shows them.
  struct Shown {
    var byUser: [String: [String]] = [:]
    /// Nobody is left out of it.
    var isWhole = true

    mutating func add(_ user: String, _ emoji: String) {
      byUser[MessageText.sanitised(user, bytesMax: 256), default: []].append(emoji)
    }
  }

  /// Of a message; others are told of, and their end is not.
  private static let usersMax = 50

  private var users: [String: [String]] = [:]

  var isEmpty: Bool { users.isEmpty }

  /// - Returns: what each one has now, also those who had something and have nothing any more.
  mutating func turn(_ message: String, _ shown: Shown) -> [(user: String, emoji: [String])] {
    let before = users[message] ?? []
    var told = shown.byUser.sorted { $0.key < $1.key }.map { (user: $0.key, emoji: $0.value) }
    var known = told.map(\.user)
    let missing = before.filter { shown.byUser[$0] == nil }
    if shown.isWhole { told += missing.map { ($0, []) } } else { known += missing }
    users[message] = known.isEmpty ? nil : Array(known.prefix(Self.usersMax))
    return told
  }

  /// Forgets all messages but these.
  mutating func keep(_ isKept: (String) -> Bool) { users = users.filter { isKept($0.key) } }

  // MARK: JSON

  init() {}

  init(_ json: JSONValue?) {
    users = (json?.object ?? [:]).mapValues { ($0.array ?? []).compactMap(\.string) }.filter {
      !$0.value.isEmpty
    }
  }

  var json: JSONValue { .object(users.mapValues { .array($0.map { .string($0) }) }) }
}
