import Bytes
package import EventLoop
import JSON
import Messaging
import Platforms
package import Security
package import Telemetry

/// Does one job of the outbox: asks the platform for the next call, makes it, and writes down what came of
/// it.
///
/// A call that may have arrived is never made again, unless the platform does it once by itself: then the
/// message is `unknown` until its echo or its status comes.
package struct SendRunner: Sendable {
  /// Calls of one job: uploads of an album, and what follows.
  private static let runningMax = 64
  private static let callsMax = 40
  private static let showCallsMax = 4
  private static let attemptsMax = 10
  /// Seconds that news of an unanswered message is waited for.
  private static let doubtSeconds: Double = 60
  private static let recordTries = 60

  package let node: String
  package let store: HubStore
  package let caller: PlatformCaller
  package let mail: MailSender
  package let pulse: NodePulse
  package let gate: RateGate
  package let tokens: TokenKeeper
  package let states: AccountStates
  package let links: FileLinks
  package let relay: EventRelay
  package let keys: KeyRing
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger
  package let loop: EventLoop

  /// What came of a job, before it is written down.
  private enum Outcome {
    case sent(SendReceipt)
    case failed(reason: String, canRetry: Bool)
    case later(seconds: Double, reason: String, counts: Bool)
    case unknown(String)
    /// It is another node's by now, which says what came of it.
    case lost
  }

  /// The outbox. Jobs of one conversation are given out one after the other.
  var source: JobWorker.Source {
    JobWorker.Source(
      name: "outbox", runningMax: Self.runningMax,
      recover: {
        relay.publish(try await store.recoverJobs(waitSeconds: Self.doubtSeconds))
        try await store.pollDoubted()
      },
      take: { limit in
        let asked = LoopInstant.current()
        return try await store.takeJobs(node: node, limit: limit).map { job in
          { await run(job, taken: asked) }
        }
      })
  }

  /// - Parameter taken: when the job was asked for: it is this node's from then on.
  private func run(_ job: OutboxJob, taken: LoopInstant) async {
    let outcome: Outcome
    do {
      outcome = try await attempt(job, taken)
    } catch {
      outcome = .later(seconds: 5, reason: "the hub cannot reach its database", counts: false)
    }
    await record(outcome, job)
  }

  /// What is done once or not at all, and nothing is written down of: that somebody types.
  func show(_ job: SendJob, _ platform: any SendingPlatform, _ account: Account) async {
    var job = job
    job.token = try? await tokens.token(for: account, platform, renew: false)
    var answers: [APIAnswer] = []
    while answers.count < Self.showCallsMax, case .call(let request) = platform.next(job, after: answers) {
      guard let answer = try? await caller.call(request) else { return }
      answers.append(answer)
    }
  }

  // MARK: One attempt

  private func attempt(_ job: OutboxJob, _ taken: LoopInstant) async throws -> Outcome {
    guard let platform = PlatformCatalogue.named(job.platform) as? any SendingPlatform else {
      return .failed(reason: "this hub cannot write to \(job.platform)", canRetry: false)
    }
    let account = try await store.owner(
      of: job.account, tenant: job.tenant, platform: platform.name, keys: keys)
    guard !account.isDisabled, !account.isApp else {
      return .failed(reason: "the account is disabled", canRetry: true)
    }
    if let end = gate.pause(of: account, now: clock.now()) {
      let wait = Double(end.microseconds - clock.now().microseconds) / 1_000_000
      return .later(seconds: wait, reason: "the platform wants the account to wait", counts: false)
    }
    let target: SendTarget
    do {
      target = try await store.sendTarget(
        UserKey(tenant: job.tenant, user: job.user), conversation: job.conversation, message: job.message)
    } catch HubStoreError.notFound {
      return .failed(reason: "the conversation is no longer there for its sender", canRetry: false)
    }
    var renewed = false
    var held = taken
    while true {
      let token: String?
      do throws(APIFailure) {
        token = try await tokens.token(for: account, platform, renew: renewed)
      } catch {
        return await outcome(ofToken: error, job, account)
      }
      let send = SendJob(
        action: links.published(job.action, now: clock.now()), conversation: target.conversation,
        recipient: target.lastSender,
        lastInboundAt: target.lastInboundAt, lastInboundID: target.lastInboundID,
        lastInboundDetails: target.lastInboundDetails, lastInboundThreadID: target.lastInboundThreadID,
        subjectThreadID: target.subject?.threadID, subjectDetails: Self.details(for: job.action, target),
        account: account.externalID, secrets: account.secrets, token: token, key: "\(job.id)",
        now: clock.now())
      switch try await dialogue(platform, send, job, &held) {
      case nil: return .lost
      case .success(let receipt)?: return .sent(receipt)
      case .failure(let failure)?:
        if failure.remedy == .renewToken && !renewed {
          renewed = true
          continue
        }
        return await self.outcome(of: failure, job, account)
      }
    }
  }

  /// Whether the next call may be made: a node that stood still may have lost the job meanwhile.
  /// - Parameter held: when it was this node's for certain.
  private func isHeld(_ job: OutboxJob, _ held: inout LoopInstant) async throws -> Bool {
    if pulse.isUnbroken(since: held) { return true }
    let asked = LoopInstant.current()
    guard try await store.holds(job, node: node) else { return false }
    held = asked
    return true
  }

  /// Call after call until the platform says how it ended. nil: the job is another node's by now.
  private func dialogue(
    _ platform: any SendingPlatform, _ send: SendJob, _ job: OutboxJob, _ held: inout LoopInstant
  ) async throws -> Result<SendReceipt, APIFailure>? {
    var answers: [APIAnswer] = []
    for _ in 0..<Self.callsMax {
      let step = platform.next(send, after: answers)
      if case .call(let request) = step, request.delaySeconds > 0 {
        try? await loop.sleep(for: .milliseconds(Int64(request.delaySeconds * 1_000)))
      }
      if step.isRequest, try await !isHeld(job, &held) { return nil }
      switch step {
      case .done(let receipt): return .success(receipt)
      case .failed(let failure): return .failure(failure)
      case .call(let request):
        do throws(CallFault) {
          answers.append(try await caller.call(request, attached: Self.files(job.action)))
        } catch {
          return .failure(Self.failure(error, isRepeatable: request.isRepeatable || job.isRepeatable))
        }
      case .mail(let draft):
        guard let access = (platform as? any MailboxPlatform)?.mailbox(send.secrets, token: send.token) else {
          return .failure(
            APIFailure("the account's credentials are not complete", .credentials(action: "complete them")))
        }
        do throws(APIFailure) {
          answers.append(try await mail.send(draft, Self.files(job.action), access))
        } catch {
          return .failure(error)
        }
      }
    }
    return .failure(APIFailure("the platform asked for too many calls"))
  }

  /// A message is its own job's subject, and what is said of the other one is of use.
  private static func details(for action: OutboundAction, _ target: SendTarget) -> JSONValue? {
    if case .message = action { target.subject?.answeredDetails } else { target.subject?.details }
  }

  private static func files(_ action: OutboundAction) -> [OutboundFile] {
    if case .message(let message) = action { message.files } else { [] }
  }

  private static func failure(_ fault: CallFault, isRepeatable: Bool) -> APIFailure {
    switch fault {
    case .notSent(let reason): APIFailure(reason, .later(seconds: nil))
    case .unanswered(let reason): APIFailure(reason, isRepeatable ? .later(seconds: nil) : .unknown)
    case .file(let reason): APIFailure(reason, .later(seconds: nil))
    case .tooLarge(let reason): APIFailure(reason)
    }
  }

  // MARK: What it comes to

  private func outcome(of failure: APIFailure, _ job: OutboxJob, _ account: Account) async -> Outcome {
    switch failure.remedy {
    case .none, .restart: return .failed(reason: failure.reason, canRetry: false)
    case .later(let seconds): return retry(job, failure.reason, seconds)
    case .pauseAccount(let seconds):
      gate.pauseAccount(account, seconds: seconds, now: clock.now())
      return .later(seconds: seconds, reason: failure.reason, counts: false)
    case .pauseApp(let seconds):
      gate.pauseApp(account, seconds: seconds, now: clock.now())
      return .later(seconds: seconds, reason: failure.reason, counts: false)
    case .renewToken:
      await states.set(account, .badCredentials, reason: failure.reason, action: "connect the account again")
      return .failed(reason: failure.reason, canRetry: true)
    case .credentials(let action):
      await states.set(account, .badCredentials, reason: failure.reason, action: action)
      return .failed(reason: failure.reason, canRetry: true)
    case .unknown: return .unknown(failure.reason)
    }
  }

  /// A token that another node is getting is no attempt: the platform was not asked.
  private func outcome(ofToken failure: APIFailure, _ job: OutboxJob, _ account: Account) async -> Outcome {
    if failure == TokenKeeper.isBeingRenewed {
      return .later(seconds: 1, reason: failure.reason, counts: false)
    }
    return await outcome(of: failure, job, account)
  }

  /// What the platform says is the least to wait: who says nothing of use is left alone longer each time.
  private func retry(_ job: OutboxJob, _ reason: String, _ seconds: Double?) -> Outcome {
    guard job.attempts < Self.attemptsMax else { return .failed(reason: reason, canRetry: true) }
    let backoff = Backoff.seconds(attempt: job.attempts, base: 1, limit: 300, random: HubNode.random())
    return .later(seconds: max(seconds ?? 0, backoff), reason: reason, counts: true)
  }

  // MARK: Writing it down

  /// What the platform did must not be forgotten: a database that is away is waited for. If the node dies
  /// meanwhile, another finds the job as it was left.
  private func record(_ outcome: Outcome, _ job: OutboxJob) async {
    for turn in 0..<Self.recordTries {
      do {
        relay.publish(try await write(outcome, job))
        note(outcome, job)
        return
      } catch {
        log.warning(
          "the outcome of a job cannot be written",
          ["job": .string("\(job.id)"), "error": .string("\(error)")])
        try? await loop.sleep(for: .milliseconds(min(5_000, 100 << min(turn, 6))))
      }
    }
  }

  private func write(_ outcome: Outcome, _ job: OutboxJob) async throws -> [UserEvent] {
    let now = clock.now()
    switch outcome {
    case .sent(let receipt):
      if case .message = job.action { return try await store.jobSent(job, node: node, receipt) }
      let can = PlatformCatalogue.named(job.platform)?.capabilities
      return try await store.jobApplied(job, node: node, Self.change(job, can, now: now))
    case .failed(let reason, let canRetry):
      return try await store.jobFailed(job, node: node, reason: reason, canRetry: canRetry)
    case .later(let seconds, let reason, let counts):
      try await store.jobLater(job, node: node, waitSeconds: seconds, reason: reason, counts: counts)
      return []
    case .unknown(let reason):
      return try await store.jobUnknown(job, node: node, waitSeconds: Self.doubtSeconds, reason: reason)
    case .lost: return []
    }
  }

  /// What a change on the platform comes to in the hub. Where the platform tells of it too, the store
  /// recognises that.
  private static func change(
    _ job: OutboxJob, _ can: ConversationCapabilities?, now: Timestamp
  ) -> InboundItem? {
    // The conversation is the job's own; the item's is not looked at.
    let conversation = ConversationRef(externalID: "", kind: .direct)
    switch job.action {
    case .edit(let edit):
      return .edit(
        MessageEdit(
          conversation: conversation, externalID: edit.messageID, kind: .text, text: edit.text, editedAt: now)
      )
    case .delete(let id):
      return .delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: now))
    case .react(let id, let emoji, let isSet):
      let replaces = can?.reactionsMax == 1
      let change: ReactionChange.Change =
        replaces ? .replace(isSet ? [emoji] : []) : isSet ? .add(emoji) : .remove(emoji)
      return .reaction(
        ReactionChange(
          conversation: conversation, externalID: id, actor: Person(id: job.user), isOwn: true,
          change: change,
          at: now))
    case .message, .read, .typing: return nil
    }
  }

  private func note(_ outcome: Outcome, _ job: OutboxJob) {
    switch outcome {
    case .sent: metrics.sent(job.platform, .sent)
    case .later: metrics.sent(job.platform, .later)
    case .unknown: metrics.sent(job.platform, .unknown)
    case .lost:
      log.warning("a job was lost to another node", ["job": .string("\(job.id)")])
    case .failed(let reason, _):
      metrics.sent(job.platform, .failed)
      log.info(
        "a job of the outbox failed",
        [
          "job": .string("\(job.id)"), "platform": .string(job.platform), "action": .string(job.action.name),
          "reason": .string(reason),
        ])
    }
  }
}
