import EventLoop

/// Webhooks that the hub acknowledges in a second, beside the yardstick, in turns.
struct IngestSection {
  private static let accountCount = 4
  private static let chatsPerSender = 16
  /// Ids that one sender may use in all rounds; ten digits must do for all senders.
  private static let idsPerSender = 8_000_000
  private static let warmUp: Duration = .seconds(1)
  private static let firstTurn: Duration = .seconds(3)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    var accounts: [HubProcess.Account] = []
    for number in 0..<Self.accountCount {
      accounts.append(try await hub.telegramAccount(owner: "ingest-\(number)"))
    }
    let yardstick = try await Yardstick(hub: hub)
    defer { yardstick.removeFolder() }
    let load = IngestLoad(loop: hub.loop, senders: senders(accounts))
    let best = try await yardstick.findBest(secondsEach: max(1, min(2, options.seconds)))
    var rates: [Double] = []
    var yards: [Double] = []
    var counted = WebhookSender.Tally()
    var total = 0
    // The yardstick's conversations are there by now; let the hub make its own too.
    total += try await load.run(warmUp: .zero, for: Self.firstTurn).total.acknowledged
    for round in 1...options.rounds {
      let result = try await load.run(warmUp: Self.warmUp, for: .seconds(options.seconds))
      rates.append(Double(result.counted.acknowledged) / Double(options.seconds))
      counted.add(result.counted)
      total += result.total.acknowledged
      Progress.say("ingest: round \(round): hub \(Figure.grouped(Int(rates.last ?? 0))) webhooks/s")
      yards.append(try await yardstick.rate(best, seconds: options.seconds))
      Progress.say("ingest: round \(round): pgbench \(Figure.grouped(Int(yards.last ?? 0))) messages/s")
    }
    try await check(accounts, acknowledged: total, refused: counted.refusedCount)

    let times = counted.times.quantiles([0.5, 0.99])
    let ratio = yards.median > 0 ? rates.median / yards.median : 0
    return [
      Figure("acknowledgedPerSecond", "webhooks acknowledged", rates.median, "/s"),
      Figure("answerP50", "answer p50", times[0], "ms"),
      Figure("answerP99", "answer p99", times[1], "ms"),
      Figure("refused", "webhooks refused", Double(counted.refusedCount), ""),
      Figure("pgbenchPerSecond", "pgbench, same statement", yards.median, "messages/s"),
      Figure("pgbenchBatch", "its best batch", Double(best.batch), "messages"),
      Figure("pgbenchClients", "its best clients", Double(best.clients), ""),
      Figure("ratio", "hub to pgbench", ratio, "", goal: ">= 0.4, aim 0.6"),
    ]
  }

  private func senders(_ accounts: [HubProcess.Account]) -> [WebhookSender] {
    let templates = accounts.map { WebhookTemplate(account: $0, host: "\(hub.address)") }
    return (0..<options.connections).map { number in
      WebhookSender(
        loop: hub.loop, address: hub.address, template: templates[number % templates.count],
        firstChat: WebhookTemplate.smallestID + number * Self.chatsPerSender,
        chatCount: Self.chatsPerSender, firstID: WebhookTemplate.smallestID + number * Self.idsPerSender)
    }
  }

  /// A figure of messages that were not counted would be worth nothing: every acknowledged message is
  /// unread for its owner.
  private func check(_ accounts: [HubProcess.Account], acknowledged: Int, refused: Int) async throws {
    var unread = 0
    for account in accounts { unread += try await hub.unread(token: account.token) }
    Progress.say("ingest: \(acknowledged) acknowledged, \(unread) unread")
    // A refused webhook is not sent again here, and may or may not have been stored.
    guard unread >= acknowledged, unread <= acknowledged + refused else {
      throw BenchFailure("\(acknowledged) messages were acknowledged, but \(unread) are unread")
    }
  }
}

/// All senders of the section.
private actor IngestLoad {
  nonisolated let loop: EventLoop
  private let senders: [WebhookSender]
  private var failure: (any Error)?
  private var counted = WebhookSender.Tally()
  private var total = WebhookSender.Tally()

  init(loop: EventLoop, senders: [WebhookSender]) {
    self.loop = loop
    self.senders = senders
  }

  nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// - Returns: what was answered in the measured time, and all that was.
  func run(
    warmUp: Duration, for length: Duration
  ) async throws -> (counted: WebhookSender.Tally, total: WebhookSender.Tally) {
    counted = WebhookSender.Tally()
    total = WebhookSender.Tally()
    // Opened for each turn: the hub closes connections that say nothing meanwhile.
    for sender in senders { try await sender.open() }
    let start = LoopInstant.current() + warmUp
    let end = start + length
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let finished = Countdown(senders.count) { continuation.resume() }
      for sender in senders {
        Task {
          await withTaskExecutorPreference(loop) { await drive(sender, start, end) }
          finished.arrive()
        }
      }
    }
    for sender in senders { await sender.close() }
    if let failure { throw failure }
    guard counted.acknowledged > 0 else {
      throw BenchFailure("no webhook was acknowledged; answers: \(counted.refusedText)")
    }
    return (counted, total)
  }

  private func drive(_ sender: WebhookSender, _ start: LoopInstant, _ end: LoopInstant) async {
    do {
      let result = try await sender.run(from: start, to: end)
      counted.add(result.counted)
      total.add(result.total)
    } catch {
      failure = error
    }
  }
}
