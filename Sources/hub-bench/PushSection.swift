import EventLoop
import Synchronization

/// From the moment a webhook is sent to the moment its `new_message` arrives at a client, at an even
/// pace. The pace does not wait for answers, so a hub that falls behind shows it in the times.
struct PushSection {
  private static let connections = 64
  private static let chats = 256
  private static let warmUpMessages = 200
  private static let lateArrivals: Duration = .seconds(10)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    let account = try await hub.telegramAccount(owner: "push")
    let arrivals = Arrivals()
    let screen = Screen(loop: hub.loop, address: hub.address) { arrivals.note($0, $1) }
    try await screen.open(token: account.token, deadline: hub.loop.now + .seconds(10))
    let senders = senders(account)
    for sender in senders { try await sender.open() }

    try await send(Self.warmUpMessages, first: 0, senders)
    try await wait(for: Self.warmUpMessages, arrivals, screen)
    let count = options.rate * options.seconds
    Progress.say("push: \(count) messages at \(options.rate)/s")
    arrivals.reset(first: Self.warmUpMessages, count: count)
    let lateness = try await send(count, first: Self.warmUpMessages, senders)
    var answers = WebhookSender.Tally()
    for sender in senders { answers.add(try await sender.collect()) }
    try await wait(for: count, arrivals, screen)

    let result = arrivals.result
    for sender in senders { await sender.close() }
    await screen.close()
    guard answers.refusedCount == 0 else {
      throw BenchFailure("webhooks were refused: \(answers.refusedText)")
    }
    guard result.missing == 0, result.doubles == 0 else {
      throw BenchFailure("\(result.missing) messages did not arrive, \(result.doubles) came twice")
    }
    return figures(result.times.quantiles([0.5, 0.9, 0.99, 1]), lateness.quantiles([0.99])[0])
  }

  private func figures(_ times: [Double], _ lateness: Double) -> [Figure] {
    [
      Figure("rate", "messages sent", Double(options.rate), "/s"),
      Figure("p50", "webhook to screen p50", times[0], "ms", goal: "< 3"),
      Figure("p90", "webhook to screen p90", times[1], "ms"),
      Figure("p99", "webhook to screen p99", times[2], "ms", goal: "< 15"),
      Figure("max", "webhook to screen max", times[3], "ms"),
      Figure("latenessP99", "the sender's own lateness p99", lateness, "ms"),
    ]
  }

  private func senders(_ account: HubProcess.Account) -> [WebhookSender] {
    let template = WebhookTemplate(account: account, host: "\(hub.address)")
    return (0..<Self.connections).map { number in
      WebhookSender(
        loop: hub.loop, address: hub.address, template: template,
        firstChat: WebhookTemplate.smallestID + number * (Self.chats / Self.connections),
        chatCount: Self.chats / Self.connections,
        firstID: WebhookTemplate.smallestID + number * 1_000_000)
    }
  }

  /// Sends each message at its own due time, or at once when that has passed.
  /// - Returns: how late each was sent.
  @discardableResult
  private func send(_ count: Int, first: Int, _ senders: [WebhookSender]) async throws -> Samples {
    let loop = hub.loop
    let start = LoopInstant.current() + .milliseconds(50)
    let step = 1_000_000_000 / options.rate
    var lateness = Samples()
    for index in 0..<count {
      let due = start + .nanoseconds(index * step)
      let wait = due - LoopInstant.current()
      if wait > .zero { try await loop.sleep(for: wait) }
      let sentAt = await senders[index % senders.count].send(number: first + index)
      lateness.add(sentAt - due)
      if index > 0 && index.isMultiple(of: options.rate * 2) { Progress.say("push: \(index) sent") }
    }
    return lateness
  }

  private func wait(for count: Int, _ arrivals: Arrivals, _ screen: Screen) async throws {
    let deadline = LoopInstant.current() + Self.lateArrivals
    while arrivals.count < count && LoopInstant.current() < deadline {
      if let failure = await screen.failure { throw failure }
      try await hub.loop.sleep(for: .milliseconds(10))
    }
  }
}

/// What reached the screen. Under a lock, because the receiver may be called from anywhere.
private final class Arrivals: Sendable {
  struct Result: Sendable {
    var times = Samples()
    var seen: [Bool] = []
    var first = 0
    var doubles = 0

    var missing: Int { seen.count { !$0 } }
  }

  private static let mark = Array("42[\"new_message\"".utf8)
  private let state = Mutex(Result(seen: Array(repeating: false, count: 200)))

  var result: Result { state.withLock { $0 } }
  var count: Int { state.withLock { $0.times.count } }

  /// Expects the messages with these numbers from now on.
  func reset(first: Int, count: Int) {
    state.withLock { $0 = Result(seen: Array(repeating: false, count: count), first: first) }
  }

  func note(_ packet: [UInt8], _ arrival: LoopInstant) {
    guard packet.starts(with: Self.mark), let marks = WebhookTemplate.marks(in: packet) else { return }
    state.withLock { state in
      let index = marks.number - state.first
      guard state.seen.indices.contains(index) else { return }
      if state.seen[index] { state.doubles += 1 }
      state.seen[index] = true
      state.times.add(arrival - LoopInstant(nanoseconds: marks.sentAtNanoseconds))
    }
  }
}
