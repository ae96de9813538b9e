package import EventLoop
import Synchronization

/// Since when this node has said without a gap that it lives.
///
/// What a node holds, accounts that it reads and jobs that it does, is free for others when it has not been
/// seen for ten seconds. A node that stood still, or whose database was away, goes on where it was and has to
/// ask whether what it holds is still its own. One for the process; any thread may ask.
package final class NodePulse: Sendable {
  /// Shorter than what others wait, because a beat takes its way.
  private static let gapMax: Duration = .seconds(8)

  /// The moments are those at which the beats were begun.
  private let beats = Mutex<(first: LoopInstant, last: LoopInstant)?>(nil)

  package init() {}

  /// The database has taken a beat.
  package func beat(at begin: LoopInstant) {
    beats.withLock { beats in
      guard let known = beats, begin - known.last <= Self.gapMax else {
        beats = (begin, begin)
        return
      }
      beats = (known.first, max(known.last, begin))
    }
  }

  /// Whether nobody can have taken over since: what was held then is held now.
  package func isUnbroken(since moment: LoopInstant, now: LoopInstant = .current()) -> Bool {
    beats.withLock { beats in
      guard let beats else { return false }
      return beats.first <= moment && now - beats.last <= Self.gapMax
    }
  }
}
