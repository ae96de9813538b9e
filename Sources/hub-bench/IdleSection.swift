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
