import EventLoop

/// Resolves names for one client: one lookup a name at a time, answers kept for seconds.
///
/// A lookup cannot be interrupted, so whoever waits for one leaves at the deadline and the lookup goes on
/// alone. Confined to the client's loop.
final class NameResolver {
  private static let cachedNamesMax = 256

  private struct Cached {
    let addresses: [SocketAddress]
    let until: LoopInstant
  }

  private let loop: EventLoop
  private let cacheLifetime: Duration
  private var cache: [String: Cached] = [:]
  /// Names that are being looked up, and who waits.
  private var waits: [String: [Wait]] = [:]

  /// One caller that waits for a lookup.
  final class Wait {
    private var continuation: UnsafeContinuation<Outcome, Never>?
    private var early: Outcome?

    enum Outcome: Sendable { case found([SocketAddress]), gone }

    func finish(_ outcome: Outcome) {
      if let waiting = continuation {
        continuation = nil
        waiting.resume(returning: outcome)
      } else if early == nil {
        early = outcome
      }
    }

    func outcome() async -> Outcome {
      await withUnsafeContinuation { (waiting: UnsafeContinuation<Outcome, Never>) in
        if let early { waiting.resume(returning: early) } else { continuation = waiting }
      }
    }
  }

  init(loop: EventLoop, cacheLifetime: Duration) {
    self.loop = loop
    self.cacheLifetime = cacheLifetime
  }

  func cached(_ name: String) -> [SocketAddress]? {
    guard let entry = cache[name], entry.until > loop.now else { return nil }
    return entry.addresses
  }

  /// Adds a caller. - Returns: whether the lookup has to be started.
  func join(_ name: String, _ wait: Wait) -> Bool {
    let isFirst = waits[name] == nil
    waits[name, default: []].append(wait)
    return isFirst
  }

  /// Takes a caller out; the lookup goes on.
  func leave(_ name: String, _ wait: Wait) {
    waits[name]?.removeAll { $0 === wait }
  }

  /// The lookup is done.
  func finish(_ name: String, _ addresses: [SocketAddress]) {
    if !addresses.isEmpty, cacheLifetime > .zero {
      if cache.count >= Self.cachedNamesMax { cache = cache.filter { $0.value.until > loop.now } }
      if cache.count < Self.cachedNamesMax {
        cache[name] = Cached(addresses: addresses, until: loop.now + cacheLifetime)
      }
    }
    for wait in waits.removeValue(forKey: name) ?? [] { wait.finish(.found(addresses)) }
  }
}
