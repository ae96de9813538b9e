/// When a client has too much unread: the rule for the bytes that may wait for it.
///
/// What waits is bounded by `bytesMax`. One frame of any size may go to a client that has read nearly
/// everything, and does not count until it has been read: otherwise a frame larger than the bound could
/// never be delivered, and its client would be cut off each time it came back for it. So at most
/// `bytesMax` and one frame wait. Pure.
package struct QueueBound: Sendable, Equatable {
  package let bytesMax: Int
  /// Bytes of the frame that does not count.
  private var excused = 0

  package init(bytesMax: Int) { self.bytesMax = bytesMax }

  /// A client with no more than this has read nearly everything.
  package var lowBytes: Int { bytesMax / 4 }

  /// Whether a frame may be queued behind the `queued` bytes that wait.
  package mutating func admits(_ bytes: Int, queued: Int) -> Bool {
    if queued <= lowBytes { excused = 0 }
    if queued - excused + bytes <= bytesMax { return true }
    guard excused == 0, queued <= lowBytes else { return false }
    excused = bytes
    return true
  }
}
