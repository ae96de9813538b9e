package import Bytes
import Synchronization

/// Makes ids: UUID version 7, rising within a node even inside one millisecond and when the wall
/// clock is set back. From any thread.
package final class IDSource: Sendable {
  private struct Last {
    var milliseconds: UInt64 = 0
    var counter: UInt16 = 0
  }

  private let last = Mutex(Last())
  private let clock: WallClock
  private let random: @Sendable () -> UInt64

  package init(
    clock: WallClock, random: @escaping @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }
  ) {
    self.clock = clock
    self.random = random
  }

  package func next() -> UUIDv7 {
    let now = UInt64(max(0, clock.now().microseconds / 1_000))
    let (milliseconds, counter) = last.withLock { last -> (UInt64, UInt16) in
      if now > last.milliseconds {
        last.milliseconds = now
        last.counter = 0
      } else if last.counter == 0x0fff {
        last.milliseconds += 1
        last.counter = 0
      } else {
        last.counter += 1
      }
      return (last.milliseconds, last.counter)
    }
    return UUIDv7(milliseconds: milliseconds, counter: counter, random: random())
  }
}

/// The wall clock as a value, so that tests can set it.
package struct WallClock: Sendable {
  private let read: @Sendable () -> Timestamp

  package init(_ read: @escaping @Sendable () -> Timestamp) {
    self.read = read
  }

  package func now() -> Timestamp { read() }
}
