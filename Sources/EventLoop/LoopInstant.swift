import Glibc

/// A point on the monotonic clock, in nanoseconds since an arbitrary start. Time-outs, back-off and
/// heartbeats use it, so a wall clock that is set never moves them.
package struct LoopInstant: Sendable, Hashable, Comparable {
  package let nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// Reads CLOCK_MONOTONIC. Inside a loop prefer `EventLoop.now`, which costs nothing.
  package static func current() -> LoopInstant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return LoopInstant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  /// Saturates at both ends.
  package static func + (instant: LoopInstant, duration: Duration) -> LoopInstant {
    let step = duration.wholeNanoseconds
    if step >= 0 {
      let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(UInt64(step))
      return LoopInstant(nanoseconds: overflow ? .max : sum)
    }
    let (sum, overflow) = instant.nanoseconds.subtractingReportingOverflow(step.magnitude)
    return LoopInstant(nanoseconds: overflow ? 0 : sum)
  }

  package static func - (later: LoopInstant, earlier: LoopInstant) -> Duration {
    later >= earlier
      ? .nanoseconds(Int64(clamping: later.nanoseconds - earlier.nanoseconds))
      : .nanoseconds(-Int64(clamping: earlier.nanoseconds - later.nanoseconds))
  }

  package static func < (left: LoopInstant, right: LoopInstant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }
}

extension Duration {
  /// Nanoseconds, clamped to what 64 bits hold (292 years).
  package var wholeNanoseconds: Int64 {
    Int64(clamping: attoseconds / 1_000_000_000)
  }

  /// Seconds with their fraction, for logs and metrics.
  package var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}
