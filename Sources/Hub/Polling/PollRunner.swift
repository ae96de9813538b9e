import Bytes
package import EventLoop
import JSON
import Messaging
import Platforms
package import Security
package import Telemetry

/// Reads one account for as long as this node holds it: page after page, and with platforms that wait for
/// news for minutes. What was found is stored with the place where the next page begins, then the account
/// is given back.
package struct PollRunner: Sendable {
  /// Then the account is looked up anew: it may have other credentials, or none.
  private static let holdMax: Duration = .seconds(600)
  private static let pagesMax = 10_000
  /// Seconds that a sweep looks back beyond what is known to be whole.
  private static let overlapSeconds: Int64 = 300
  private static let hopelessWait = 3_600.0

  package let store: HubStore
  package let writers: [IngestWriter]
  package let caller: PlatformCaller
  package let mailboxes: MailboxConnector
  package let pulse: NodePulse
  package let gate: RateGate
  package let tokens: TokenKeeper
  package let states: AccountStates
  package let keys: KeyRing
  package let ids: IDSource
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger
  package let loop: EventLoop
  /// How many times sooner than usual accounts are polled.
  package let pace: Double

  private struct Reader {
    let account: Account
    let platform: any PolledPlatform
    let poll: TakenPoll
    let pages: any PageSource
    /// When the account is given back at the latest.
    let end: LoopInstant
    var cursor: JSONValue?
    var historyCursor: JSONValue?
    var isHistoryDue: Bool
    var hasHistoryFailed = false
    var sweepCursor: JSONValue?
    var found = false
    /// Since it failed no page was read.
    var isFailing: Bool
    /// Since when it is known that the account is this node's.
    var heldSince: LoopInstant
  }

  /// Reads until there is nothing more for now. Cancelling it ends it.
  /// - Parameter taken: when the account was asked for: it is this node's from then on.
  func read(_ poll: TakenPoll, taken: LoopInstant) async -> PollEnd {
    let end = await attempt(poll, taken)
    return Task.isCancelled ? .lost : end
  }

  private func attempt(_ poll: TakenPoll, _ taken: LoopInstant) async -> PollEnd {
    guard let platform = PlatformCatalogue.named(poll.platform) as? any PolledPlatform,
      let pages = pages(of: platform)
    else { return .failed(APIFailure("this hub cannot poll \(poll.platform)")) }
    let account: Account
    do {
      account = try await store.owner(
        of: poll.account, tenant: poll.tenant, platform: platform.name, keys: keys)
      if poll.isSweep && poll.sweepCursor == nil { try await store.beginSweep(poll) }
    } catch {
      return .unavailable
    }
    guard !account.isDisabled, !account.isApp, platform.canPoll(account.secrets) else {
      return .failed(APIFailure("the account cannot be polled", .later(seconds: Self.hopelessWait)))
    }
    var reader = Reader(
      account: account, platform: platform, poll: poll, pages: pages, end: loop.now + Self.holdMax,
      cursor: poll.cursor, historyCursor: poll.historyCursor,
      isHistoryDue: poll.isHistoryDue && platform.polling.hasHistory, sweepCursor: poll.sweepCursor,
      isFailing: poll.failures > 0, heldSince: taken)
    let end = await read(&reader)
    await pages.close()
    return end
  }

  private func pages(of platform: any PolledPlatform) -> (any PageSource)? {
    switch platform {
    case let platform as any PollingPlatform: CallPages(platform: platform, caller: caller)
    case let platform as any MailboxPlatform: MailboxPages(platform, mailboxes)
    default: nil
    }
  }

  private func read(_ reader: inout Reader) async -> PollEnd {
    for _ in 0..<Self.pagesMax {
      if Task.isCancelled { return .lost }
      if let pause = gate.pause(of: reader.account, now: clock.now()) {
        let wait = Double(pause.microseconds - clock.now().microseconds) / 1_000_000
        return .failed(APIFailure("the platform wants the account to wait", .later(seconds: wait)))
      }
      guard await isHeld(&reader) else { return Task.isCancelled ? .lost : .unavailable }
      switch await turn(&reader) {
      case .success(let goesOn):
        guard goesOn, loop.now < reader.end else { return .idle(found: reader.found) }
      case .failure(let end): return end
      }
    }
    return .idle(found: true)
  }

  /// Whether the platform may be asked. A node that stood still may have lost the account meanwhile, and two
  /// that ask at once disturb each other.
  private func isHeld(_ reader: inout Reader) async -> Bool {
    if pulse.isUnbroken(since: reader.heldSince) { return true }
    let asked = LoopInstant.current()
    guard let isHeld = try? await store.holds(reader.poll), isHeld else { return false }
    reader.heldSince = asked
    return true
  }

  /// One page, and one of history behind it. - Returns: whether the next follows at once.
  private func turn(_ reader: inout Reader) async -> TurnResult {
    if reader.poll.isSweep {
      let since = reader.poll.sweptAt ?? clock.now()
      let overlap = Timestamp(seconds: since.seconds - Self.overlapSeconds)
      let begin = reader.poll.beganAt.map { Timestamp(seconds: $0.seconds) } ?? .earliest
      let mode = PollJob.Mode.sweep(since: max(overlap, begin))
      return await page(&reader, mode)
    }
    let live = await page(&reader, .live)
    guard case .success(let hasMore) = live, !hasMore else { return live }
    if reader.isHistoryDue {
      let limit = reader.poll.historyAfter ?? clock.now()
      switch await page(&reader, .history(notBefore: limit)) {
      case .success(let hasMore):
        reader.isHistoryDue = hasMore
        reader.hasHistoryFailed = false
        return .success(true)
      case .failure(let end):
        guard Self.concernsHistoryOnly(end) else { return .failure(end) }
        // History can wait: it is tried again the next time.
        reader.hasHistoryFailed = true
      }
    }
    return .success(reader.platform.polling.isLongPoll)
  }

  /// Whether the live pages may go on. What the platform says of the account, or of a time, holds for all.
  private static func concernsHistoryOnly(_ end: PollEnd) -> Bool {
    guard case .failed(let failure) = end else { return false }
    switch failure.remedy {
    case .none, .unknown, .later(seconds: nil): return true
    case .later, .pauseAccount, .pauseApp, .renewToken, .credentials, .restart: return false
    }
  }

  private enum TurnResult {
    case success(Bool)
    case failure(PollEnd)
  }

  // MARK: One page

  private func page(_ reader: inout Reader, _ mode: PollJob.Mode) async -> TurnResult {
    let cursor: JSONValue? =
      switch mode {
      case .live: reader.cursor
      case .history: reader.historyCursor
      case .sweep: reader.sweepCursor
      }
    var job = PollJob(
      mode: mode, cursor: cursor, account: reader.account.externalID, secrets: reader.account.secrets,
      now: clock.now(), mayWait: !reader.isHistoryDue || reader.hasHistoryFailed,
      pace: pace, begin: reader.poll.beganAt)
    switch await found(&job, reader) {
    case .failure(let failure): return .failure(.failed(failure))
    case .success(let found):
      metrics.polled(reader.poll.platform, found.page.content.items.isEmpty ? .empty : .found)
      guard await keep(found, job, &reader) else {
        return .failure(Task.isCancelled ? .lost : .unavailable)
      }
      if reader.isFailing {
        // A platform that waits for news may be read for minutes: its users are told now.
        reader.isFailing = false
        await states.set(reader.account, .connected, reason: nil, action: nil)
      }
      rest(after: found.source, reader.account)
      return .success(found.page.hasMore)
    }
  }

  /// Where nothing is left of the platform's window, nothing is asked until the next one.
  private func rest(after source: FoundPage.Source, _ account: Account) {
    guard case .answers(let answers) = source, let answer = answers.last, RetryAfter.remaining(answer) == 0,
      let seconds = RetryAfter.seconds(answer, now: clock.now())
    else { return }
    gate.pauseAccount(account, seconds: seconds, now: clock.now())
  }

  /// A page, with another access token where the first is refused.
  private func found(_ job: inout PollJob, _ reader: Reader) async -> Result<FoundPage, APIFailure> {
    var renews = false
    while true {
      do throws(APIFailure) {
        job.token = try await tokens.token(for: reader.account, reader.platform, renew: renews)
        return .success(try await reader.pages.page(job, until: reader.end))
      } catch {
        guard error.remedy == .renewToken, !renews else { return .failure(error) }
        renews = true
      }
    }
  }

  // MARK: Keeping

  /// Stores the page and moves the cursor with it. - Returns: false: the account is no longer this node's.
  private func keep(_ found: FoundPage, _ job: PollJob, _ reader: inout Reader) async -> Bool {
    let page = found.page
    let poll = reader.poll
    let mark = PollMark(
      token: poll.token, mode: Self.name(job.mode),
      cursor: String(decoding: page.cursor.encoded(), as: UTF8.self), isDone: !page.hasMore)
    let isEmpty = page.content.items.isEmpty && page.content.faults.isEmpty
    do {
      if isEmpty {
        // What has not moved need not be written.
        let before = job.mode == .live ? reader.cursor : nil
        if before != page.cursor { guard try await store.pollPage(poll, mark) else { return false } }
      } else {
        guard try await store.holds(poll) else {
          guard reader.platform.polling.givesOnce else { return false }
          // It will not come again, for whoever reads the account now.
          try await commit(delivery(found, page.content, job, reader, nil))
          return false
        }
        if case .history = job.mode {
          try await keepHistory(found, job, reader, mark)
        } else {
          try await commit(delivery(found, page.content, job, reader, mark))
          reader.found = true
        }
      }
    } catch {
      log.warning(
        "a poll was not stored", ["account": .string("\(poll.account)"), "error": .string("\(error)")])
      return false
    }
    switch job.mode {
    case .live: reader.cursor = page.cursor
    case .history: reader.historyCursor = page.cursor
    case .sweep: reader.sweepCursor = page.cursor
    }
    return true
  }

  private static func name(_ mode: PollJob.Mode) -> String {
    switch mode {
    case .live: "live"
    case .history: "history"
    case .sweep: "sweep"
    }
  }

  /// What was said since the account is there is news, however it was found. It is stored first: a page that
  /// is read again finds it there.
  private func keepHistory(
    _ found: FoundPage, _ job: PollJob, _ reader: Reader, _ mark: PollMark
  ) async throws {
    let before = reader.poll.historyBefore ?? .latest
    var (news, history) = (Normalised(), Normalised(faults: found.page.content.faults))
    for item in found.page.content.items {
      if case .message(let message) = item, Self.isNews(message.sentAt, before) {
        news.add([item])
      } else {
        history.add([item])
      }
    }
    if !news.items.isEmpty { try await commit(delivery(found, news, job, reader, nil)) }
    _ = try await IngestStatement.run(
      [delivery(found, history, job, reader, mark)], on: store.writer, ids: ids, notify: false, quiet: true)
  }

  /// A platform that knows whole seconds only may mean any moment of one: then it counts as news.
  private static func isNews(_ time: Timestamp, _ before: Timestamp) -> Bool {
    let isWhole = time.microseconds % 1_000_000 == 0
    return time >= (isWhole ? Timestamp(seconds: before.seconds) : before)
  }

  private func commit(_ delivery: ParsedDelivery) async throws {
    try await IngestWriter.writer(for: delivery.account, among: writers).commit(delivery)
  }

  private func delivery(
    _ found: FoundPage, _ content: Normalised, _ job: PollJob, _ reader: Reader, _ mark: PollMark?
  ) -> ParsedDelivery {
    let (body, headers) = PollRecord.line(job, found.source)
    let faults = content.faults
    let more = faults.count > 1 ? " (and \(faults.count - 1) more)" : ""
    return ParsedDelivery(
      id: ids.next(), tenant: reader.account.tenant, account: reader.account.id,
      platform: reader.platform.name.rawValue, receivedAt: job.now,
      headers: String(decoding: headers.encoded(), as: UTF8.self), body: body, hash: Digest.sha256(body),
      parserVersion: reader.platform.parserVersion,
      outcome: faults.first.map { .dead(reason: "\($0)\(more)") } ?? .done, items: content.items,
      poll: mark)
  }
}
