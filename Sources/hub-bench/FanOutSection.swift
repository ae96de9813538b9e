import EventLoop
import Synchronization

/// One message to many screens: an account that a whole team sees. Every user has a log and a push of
/// its own, so this is also what a message costs the database when many are told.
struct FanOutSection {
  private static let viewers = 200
  private static let rate = 5
  private static let lateArrivals: Duration = .seconds(20)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    let loop = hub.loop
    let account = try await hub.telegramAccount(owner: "team-0")
    let arrivals = FanOutArrivals()
    let names = (0..<Self.viewers).map { "team-\($0)" }
    var screens: [Screen] = []
    for name in names {
      let token = try await hub.token(user: name)
      let screen = Screen(loop: loop, address: hub.address) { arrivals.note($0, $1) }
      try await screen.open(token: token, deadline: loop.now + .seconds(20))
      screens.append(screen)
    }
    try await hub.share(account, with: names)
    Progress.say("fanout: \(Self.viewers) users see one account")

    let sender = WebhookSender(
      loop: loop, address: hub.address, template: WebhookTemplate(account: account, host: "\(hub.address)"),
      firstChat: WebhookTemplate.smallestID, chatCount: 16, firstID: WebhookTemplate.smallestID)
    try await sender.open()
    let count = Self.rate * options.seconds
    let start = LoopInstant.current()
    for index in 0..<count {
      let wait = start + .milliseconds(index * 1_000 / Self.rate) - LoopInstant.current()
      if wait > .zero { try await loop.sleep(for: wait) }
      await sender.send(number: index)
    }
    let answers = try await sender.collect()
    let expected = count * Self.viewers
    let deadline = LoopInstant.current() + Self.lateArrivals
    while arrivals.samples.count < expected && LoopInstant.current() < deadline {
      try await loop.sleep(for: .milliseconds(20))
    }
    await sender.close()
    for screen in screens { await screen.close() }

    guard answers.refusedCount == 0 else {
      throw BenchFailure("webhooks were refused: \(answers.refusedText)")
    }
    let samples = arrivals.samples
    guard samples.count == expected else {
      throw BenchFailure("\(samples.count) messages reached a screen instead of \(expected)")
    }
    let times = samples.quantiles([0.5, 0.99, 1])
    return [
      Figure("viewers", "users who see the account", Double(Self.viewers), ""),
      Figure("rate", "messages sent", Double(Self.rate), "/s"),
      Figure("p50", "webhook to any screen p50", times[0], "ms"),
      Figure("p99", "webhook to any screen p99", times[1], "ms"),
      Figure("max", "webhook to the last screen", times[2], "ms"),
    ]
  }
}

/// The times of all screens. Under a lock, because the receivers may be called from anywhere.
private final class FanOutArrivals: Sendable {
  private static let mark = Array("42[\"new_message\"".utf8)
  private let state = Mutex(Samples())

  var samples: Samples { state.withLock { $0 } }

  func note(_ packet: [UInt8], _ arrival: LoopInstant) {
    guard packet.starts(with: Self.mark), let marks = WebhookTemplate.marks(in: packet) else { return }
    state.withLock { $0.add(arrival - LoopInstant(nanoseconds: marks.sentAtNanoseconds)) }
  }
}
