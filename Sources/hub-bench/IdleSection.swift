import EventLoop

/// Memory per idle connection: the hub's resident bytes before and after many authenticated Socket.IO
/// clients over WebSocket, divided by their number.
struct IdleSection {
  private static let usersMax = 50
  private static let opensAtOnce = 64
  private static let settle: Duration = .seconds(10)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    let users = min(Self.usersMax, options.idleConnections)
    var tokens: [String] = []
    for number in 0..<users {
      tokens.append(try await hub.token(user: "idle-\(number)"))
    }
    Progress.say("idle: tokens of \(users) users are there")
    // One client first, so that what the hub sets up once is not counted.
    let crowd = Crowd(loop: hub.loop, address: hub.address, tokens: tokens)
    try await crowd.open(min(users, options.idleConnections), atOnce: Self.opensAtOnce)
    try await hub.loop.sleep(for: .seconds(2))
    let before = try hub.residentBytes()
    let start = LoopInstant.current()
    try await crowd.open(options.idleConnections, atOnce: Self.opensAtOnce)
    let openSeconds = (LoopInstant.current() - start).inSeconds
    Progress.say("idle: \(options.idleConnections) clients are authenticated; letting the hub settle")
    try await hub.loop.sleep(for: Self.settle)
    let after = try hub.residentBytes()
    let lost = await crowd.lost()
    await crowd.close()
    guard lost == nil else { throw lost ?? BenchFailure("a client was cut off") }
    let opened = options.idleConnections
    return [
      Figure("connections", "idle clients", Double(opened), ""),
      Figure(
        "bytesPerConnection", "memory per client", Double(after - before) / Double(opened), "bytes",
        goal: "<= 8192, aim 4096"),
      Figure("residentBefore", "resident before", Double(before) / 1_048_576, "MiB"),
      Figure("residentAfter", "resident after", Double(after) / 1_048_576, "MiB"),
      Figure("opensPerSecond", "clients admitted", Double(opened) / max(openSeconds, 0.001), "/s"),
    ]
  }
}

/// Many screens that do nothing but stay.
private actor Crowd {
  nonisolated let loop: EventLoop
  private let address: SocketAddress
  private let tokens: [String]
  private var screens: [Screen] = []
  private var remaining = 0
  private var failure: (any Error)?

  init(loop: EventLoop, address: SocketAddress, tokens: [String]) {
    self.loop = loop
    self.address = address
    self.tokens = tokens
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
      let screen = Screen(loop: loop, address: address)
      let token = tokens[screens.count % tokens.count]
      screens.append(screen)
      if screens.count.isMultiple(of: 1_000) { Progress.say("idle: \(screens.count) clients") }
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
