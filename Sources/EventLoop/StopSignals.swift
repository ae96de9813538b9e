import Dispatch
import Glibc
import Synchronization

/// SIGTERM and SIGINT as something to wait for.
///
/// Once it is made, it lives as long as the process, and neither signal ends that by itself. Signals
/// that come while nobody waits are kept, in their order. One waits at a time, by `next` or `onNext`.
package final class StopSignals: Sendable {
  private struct State {
    var pending: [String] = []
    var waiter: (@Sendable (String) -> Void)?
  }

  private let state = Mutex(State())
  // Safe because: made in the initialiser and only kept alive.
  private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

  package init() {
    let queue = DispatchQueue(label: "signals")
    let names: [(Int32, String)] = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")]
    sources = names.map { number, _ in
      signal(number, SIG_IGN)
      return DispatchSource.makeSignalSource(signal: number, queue: queue)
    }
    for (source, name) in zip(sources, names.map(\.1)) {
      // Held on purpose: the signals are ignored for good, so somebody must always receive them.
      source.setEventHandler { self.received(name) }
      source.resume()
    }
  }

  /// The next signal's name, "SIGTERM" or "SIGINT". Cancellation does not end the wait.
  package func next() async -> String {
    await withCheckedContinuation { continuation in
      onNext { continuation.resume(returning: $0) }
    }
  }

  /// Calls `body` once, with the next signal's name, on the signals' own queue or, when one came
  /// before, at once: also while every loop hangs.
  package func onNext(_ body: @escaping @Sendable (String) -> Void) {
    let name = state.withLock { state -> String? in
      if state.pending.isEmpty {
        state.waiter = body
        return nil
      }
      return state.pending.removeFirst()
    }
    if let name { body(name) }
  }

  private func received(_ name: String) {
    let waiter = state.withLock { state -> (@Sendable (String) -> Void)? in
      if let waiter = state.waiter {
        state.waiter = nil
        return waiter
      }
      state.pending.append(name)
      return nil
    }
    waiter?(name)
  }
}
