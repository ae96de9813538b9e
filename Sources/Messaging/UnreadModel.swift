/// Unread arithmetic as plainly as it can be said: the oracle that the database's incremental counts
/// are compared with.
///
/// Unread is the number of inbound, not deleted messages behind the user's own read position.
package struct UnreadModel: Sendable {
  private struct Entry {
    let position: MessagePosition
    let isInbound: Bool
    var isDeleted = false
  }

  /// By external id.
  private var entries: [String: Entry] = [:]
  private var deletedBeforeArrival: Set<String> = []
  /// nil: nothing is read.
  private(set) package var readUpTo: MessagePosition?

  package init() {}

  package var unread: Int {
    entries.values.count { entry in
      guard entry.isInbound, !entry.isDeleted else { return false }
      guard let readUpTo else { return true }
      return entry.position > readUpTo
    }
  }

  /// A message arrived; a second time it changes nothing.
  package mutating func insert(_ externalID: String, at position: MessagePosition, isInbound: Bool) {
    guard entries[externalID] == nil else { return }
    let isDeleted = deletedBeforeArrival.remove(externalID) != nil
    entries[externalID] = Entry(position: position, isInbound: isInbound, isDeleted: isDeleted)
  }

  /// A message was deleted, perhaps before it arrived.
  package mutating func delete(_ externalID: String) {
    if entries[externalID] == nil {
      deletedBeforeArrival.insert(externalID)
    } else {
      entries[externalID]?.isDeleted = true
    }
  }

  /// The user read up to a message; nil: to the last one. The position never goes back.
  package mutating func read(upTo externalID: String?) {
    let target = externalID.map { entries[$0]?.position } ?? entries.values.map(\.position).max()
    guard let target else { return }
    readUpTo = readUpTo.map { max($0, target) } ?? target
  }

  /// The user marks a message and all behind it as unread.
  package mutating func markUnread(from externalID: String) {
    guard let target = entries[externalID]?.position else { return }
    readUpTo = entries.values.map(\.position).filter { $0 < target }.max()
  }
}
