import EventLoop

/// Many screens that stay until they are closed.
actor Crowd {
  nonisolated let loop: EventLoop
  private let address: SocketAddress
  private let tokens: [String]
  private let receive: Screen.Receiver
  private var screens: [Screen] = []
  private var remaining = 0
  private var failure: (any Error)?

  /// - Parameters:
  ///   - tokens: dealt to the screens in turn.
  ///   - receive: as in `Screen`.
  init(
    loop: EventLoop, address: SocketAddress, tokens: [String],
    receive: @escaping Screen.Receiver = { _, _ in }
  ) {
    self.loop = loop
    self.address = address
    self.tokens = tokens
    self.receive = receive
  }

  nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// Opens `count` more, a few at once. - Throws: the first failure.
  func open(_ count: Int, atOnce: Int) async throws {
    remaining = count
    let workers = min(atOnce, count)
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let end = Countdown(workers) { continuation.resume() }
      for _ in 0..<workers {
        Task {
          await withTaskExecutorPreference(loop) { await openSome() }
          end.arrive()
        }
      }
    }
    if let failure { throw failure }
  }

  private func openSome() async {
    while remaining > 0 && failure == nil {
      remaining -= 1
      let screen = Screen(loop: loop, address: address, receive: receive)
      let token = tokens[screens.count % tokens.count]
      screens.append(screen)
      if screens.count.isMultiple(of: 1_000) { Progress.say("\(screens.count) clients") }
      do {
        try await screen.open(token: token, deadline: loop.now + .seconds(20))
      } catch {
        failure = error
      }
    }
  }

  /// Why one of the screens is not there any more.
  func lost() async -> BenchFailure? {
    for screen in screens {
      if let failure = await screen.failure { return failure }
    }
    return nil
  }

  func close() async {
    for screen in screens { await screen.close() }
    screens = []
  }
}

/// Calls back when as many arrivals came as were announced. Confined to one loop.
final class Countdown {
  private var left: Int
  private let body: () -> Void

  init(_ count: Int, _ body: @escaping () -> Void) {
    left = count
    self.body = body
    if count == 0 { body() }
  }

  func arrive() {
    left -= 1
    if left == 0 { body() }
  }
}
