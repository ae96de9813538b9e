import EventLoop
import Synchronization

/// One event to thousands of sockets of one user: what is written once and sent to all of them.
///
/// The receiving end shares the machine with the hub, so the figures hold its work too.
struct CrowdSection {
  private static let opensAtOnce = 64
  private static let messages = 20
  private static let lateArrivals: Duration = .seconds(10)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    let loop = hub.loop
    let account = try await hub.telegramAccount(owner: "crowd")
    let arrivals = CrowdArrivals()
    let crowd = Crowd(loop: loop, address: hub.address, tokens: [account.token]) { arrivals.note($0, $1) }
    try await crowd.open(options.idleConnections, atOnce: Self.opensAtOnce)
    try await loop.sleep(for: .seconds(2))
    Progress.say("crowd: one user has \(options.idleConnections) sockets")
    let sender = WebhookSender(
      loop: loop, address: hub.address, template: WebhookTemplate(account: account, host: "\(hub.address)"),
      firstChat: WebhookTemplate.smallestID, chatCount: 1, firstID: WebhookTemplate.smallestID)
    try await sender.open()
    var spreads = Samples()
    var totals = Samples()
    for number in 0..<Self.messages {
      arrivals.begin()
      await sender.send(number: number)
      let deadline = LoopInstant.current() + Self.lateArrivals
      while arrivals.count < options.idleConnections && LoopInstant.current() < deadline {
        try await loop.sleep(for: .milliseconds(100))
      }
      guard let times = arrivals.times, arrivals.count == options.idleConnections else {
        throw BenchFailure("\(arrivals.count) sockets of \(options.idleConnections) got the message")
      }
      spreads.add(times.last - times.first)
      totals.add(times.last - times.sent)
      // What follows the message (the counts) is out of the way before the next.
      try await loop.sleep(for: .milliseconds(300))
    }
    let answers = try await sender.collect()
    await sender.close()
    let lost = await crowd.lost()
    await crowd.close()
    if let lost { throw lost }
    guard answers.refusedCount == 0 else {
      throw BenchFailure("webhooks were refused: \(answers.refusedText)")
    }
    let spread = spreads.quantiles([0.5, 1])
    let total = totals.quantiles([0.5, 1])
    return [
      Figure("sockets", "sockets of one user", Double(options.idleConnections), ""),
      Figure("spread", "first to last socket, median", spread[0], "ms", goal: "<= 40 for 5000"),
      Figure("spreadMax", "first to last socket, worst", spread[1], "ms"),
      Figure("total", "webhook to the last socket, median", total[0], "ms"),
      Figure("totalMax", "webhook to the last socket, worst", total[1], "ms"),
    ]
  }
}

/// When the sockets got the message that is being waited for.
private final class CrowdArrivals: Sendable {
  struct Times {
    var sent: LoopInstant
    var first: LoopInstant
    var last: LoopInstant
  }

  private struct State {
    var count = 0
    var times: Times?
  }

  private static let mark = Array("42[\"new_message\"".utf8)
  private let state = Mutex(State())

  var count: Int { state.withLock { $0.count } }
  var times: Times? { state.withLock { $0.times } }

  func begin() { state.withLock { $0 = State() } }

  func note(_ packet: [UInt8], _ arrival: LoopInstant) {
    guard packet.starts(with: Self.mark) else { return }
    state.withLock { state in
      state.count += 1
      if var times = state.times {
        times.last = max(times.last, arrival)
        state.times = times
      } else if let marks = WebhookTemplate.marks(in: packet) {
        // Read once: all the packets are the same.
        state.times = Times(
          sent: LoopInstant(nanoseconds: marks.sentAtNanoseconds), first: arrival, last: arrival)
      }
    }
  }
}
