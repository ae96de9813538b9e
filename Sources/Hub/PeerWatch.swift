import Synchronization

/// Whether somebody besides this node wants to hear of committed groups: other nodes.
///
/// A NOTIFY takes a lock that all notifying commits share, so it is sent only when it is of use. A
/// node is counted from its registration, which comes before it listens; what it missed before that
/// its clients read from the log.
package final class PeerWatch: Sendable {
  private let listening = Atomic<Bool>(false)

  package init() {}

  package var areListening: Bool { listening.load(ordering: .relaxed) }

  package func set(_ areListening: Bool) { listening.store(areListening, ordering: .relaxed) }
}
