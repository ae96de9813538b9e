import Dispatch
import Synchronization

/// A few threads for calls that block: files, name resolution, waiting for a child process.
package final class BlockingPool: Sendable {
  package struct Overloaded: Error, CustomStringConvertible {
    package let limit: Int
    package var description: String { "more than \(limit) blocking calls are waiting" }
  }

  private let queues: [DispatchQueue]
  private let next = Atomic<Int>(0)
  private let waiting = Atomic<Int>(0)
  private let waitingMax: Int

  /// - Parameters:
  ///   - threads: calls that run at once.
  ///   - waitingMax: calls that may wait or run; one more throws `Overloaded`.
  package init(threads: Int = 2, waitingMax: Int = 1_024) {
    queues = (0..<max(1, threads)).map { DispatchQueue(label: "blocking-\($0)") }
    self.waitingMax = waitingMax
  }

  /// Runs `body` off the loop and comes back to the caller's executor. A call that has started is
  /// not interrupted by cancellation.
  package func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    let count = waiting.add(1, ordering: .relaxed).newValue
    defer { waiting.subtract(1, ordering: .relaxed) }
    guard count <= waitingMax else { throw Overloaded(limit: waitingMax) }
    let turn = next.add(1, ordering: .relaxed).newValue
    let queue = queues[abs(turn % queues.count)]
    return try await withCheckedThrowingContinuation { continuation in
      queue.async { continuation.resume(with: Result(catching: body)) }
    }
  }
}
