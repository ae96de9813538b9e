import Bytes
package import EventLoop
package import Telemetry

/// Tells the other nodes whom the platforms want left alone, and learns it from them: a limit of an app holds
/// for all who use it, and for a hub that was started again.
///
/// Each node looks every second. Until then another may ask once more, which the platform answers as before.
package actor PauseSharing {
  private static let lookEvery: Duration = .seconds(1)

  package nonisolated let loop: EventLoop
  private let gate: RateGate
  private let store: HubStore
  private let clock: WallClock
  private let log: Logger
  private var isStopped = false

  package init(loop: EventLoop, gate: RateGate, store: HubStore, clock: WallClock, log: Logger) {
    self.loop = loop
    self.gate = gate
    self.store = store
    self.clock = clock
    self.log = log
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  package func run() async {
    while !isStopped {
      await look()
      try? await loop.sleep(for: Self.lookEvery)
    }
  }

  package func stop() { isStopped = true }

  /// Once before anything is asked: what was told before a restart still holds.
  package func look() async {
    let news = gate.takeNews()
    do {
      try await store.keepPauses(news, now: clock.now())
    } catch {
      gate.putBack(news)
      log.debug("pauses cannot be written", ["error": .string("\(error)")])
    }
    do {
      gate.learn(try await store.pauses(), now: clock.now())
    } catch {
      log.debug("pauses cannot be read", ["error": .string("\(error)")])
    }
  }
}
