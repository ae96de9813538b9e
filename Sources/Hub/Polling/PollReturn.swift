import Bytes
package import EventLoop
import Messaging
import Platforms
package import Security
package import Telemetry

/// How reading an account ended for now.
enum PollEnd: Sendable {
  /// `found`: something came.
  case idle(found: Bool)
  case failed(APIFailure)
  /// It is somebody else's, or the hub stops.
  case lost
  /// The database is away.
  case unavailable
}

/// Gives an account back after reading: when it is due again, and what its users are told.
package struct PollReturn: Sendable {
  /// Failures in a row after which the account's users are told.
  private static let failuresTold = 3
  private static let failureLimit = 300.0
  private static let hopelessWait = 3_600.0

  package let store: HubStore
  package let gate: RateGate
  package let states: AccountStates
  package let keys: KeyRing
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger
  package let loop: EventLoop
  /// Between two sweeps of an account with webhooks.
  package let sweepSeconds: Double
  /// How many times sooner than usual accounts are polled.
  package let pace: Double

  func giveBack(_ poll: TakenPoll, _ end: PollEnd) async {
    let plan = (PlatformCatalogue.named(poll.platform) as? any PolledPlatform)?.polling
    var wait = 1.0
    var interval = poll.intervalSeconds
    var failures = 0
    var forgets = false
    switch end {
    case .lost: failures = poll.failures
    case .unavailable: wait = 2
    case .idle(let found):
      interval = Self.interval(poll, plan, found: found, sweepSeconds: sweepSeconds, pace: pace)
      wait = interval * (1 + Double(HubNode.random() % 100) / 1_000)
      if poll.failures > 0 { await connected(poll) }
    case .failed(let failure):
      failures = poll.failures + 1
      (wait, forgets) = await handle(failure, poll, failures)
    }
    // A database that is away is no reason to keep the account for ever: the node's own heartbeat fails as
    // well.
    for _ in 0..<30 {
      do {
        try await store.releasePoll(
          poll, waitSeconds: wait, intervalSeconds: interval, failures: failures, forgetCursor: forgets)
        return
      } catch {
        try? await loop.sleep(for: .seconds(1))
      }
    }
  }

  /// Seconds until the next poll: few while messages come, more and more while none do.
  static func interval(
    _ poll: TakenPoll, _ plan: PollingPlan?, found: Bool, sweepSeconds: Double, pace: Double
  ) -> Double {
    if poll.isSweep { return sweepSeconds }
    let least = Double(plan?.intervalMin ?? 5) / pace
    let most = Double(plan?.intervalMax ?? 300) / pace
    return found ? least : min(max(poll.intervalSeconds, least) * 1.5, most)
  }

  private func handle(
    _ failure: APIFailure, _ poll: TakenPoll, _ failures: Int
  ) async -> (wait: Double, forgetsCursor: Bool) {
    metrics.polled(poll.platform, .failed)
    log.info(
      "a poll failed",
      [
        "account": .string("\(poll.account)"), "platform": .string(poll.platform),
        "reason": .string(failure.reason),
      ])
    let backoff = Backoff.seconds(
      attempt: failures, base: 2, limit: Self.failureLimit, random: HubNode.random())
    switch failure.remedy {
    case .later(let seconds):
      if seconds == nil && failures >= Self.failuresTold { await trouble(poll, failure.reason) }
      return (seconds.map { max($0, 1) } ?? backoff, false)
    case .pauseAccount(let seconds), .pauseApp(let seconds):
      if let account = await account(poll) {
        if case .pauseApp = failure.remedy {
          gate.pauseApp(account, seconds: seconds, now: clock.now())
        } else {
          gate.pauseAccount(account, seconds: seconds, now: clock.now())
        }
      }
      return (seconds, false)
    case .credentials(let action):
      await badCredentials(poll, failure.reason, action)
      return (Self.hopelessWait, false)
    case .renewToken:
      await badCredentials(poll, failure.reason, "connect the account again")
      return (Self.hopelessWait, false)
    case .restart: return (1, true)
    case .none, .unknown:
      if failures >= Self.failuresTold { await trouble(poll, failure.reason) }
      return (backoff, false)
    }
  }

  private func account(_ poll: TakenPoll) async -> Account? {
    try? await store.owner(
      of: poll.account, tenant: poll.tenant, platform: PlatformName(rawValue: poll.platform), keys: keys)
  }

  private func badCredentials(_ poll: TakenPoll, _ reason: String, _ action: String) async {
    guard let account = await account(poll) else { return }
    await states.set(account, .badCredentials, reason: reason, action: action)
  }

  private func trouble(_ poll: TakenPoll, _ reason: String) async {
    guard let account = await account(poll) else { return }
    await states.set(account, .transientError, reason: reason, action: nil)
  }

  private func connected(_ poll: TakenPoll) async {
    guard let account = await account(poll) else { return }
    await states.set(account, .connected, reason: nil, action: nil)
  }
}
