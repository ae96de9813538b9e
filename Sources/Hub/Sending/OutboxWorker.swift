import Bytes
package import EventLoop
import Platforms
package import Telemetry

/// Takes jobs from the outbox and has them done, many at once, those of one conversation one after the other.
///
/// A job that was made on this node wakes it; jobs that became due, and those of nodes that are gone, are
/// found by looking. Any node may do any job.
package actor OutboxWorker {
  private static let lookEvery: Duration = .seconds(1)
  private static let recoverEvery: Duration = .seconds(5)
  private static let runningMax = 64
  /// Seconds that news of an unanswered message is waited for.
  private static let doubtSeconds = 60

  package nonisolated let loop: EventLoop
  private let runner: SendRunner
  private let store: HubStore
  private let relay: EventRelay
  private let log: Logger
  /// Signs of typing on their way. More are dropped.
  private static let showingMax = 64
  private var running = 0
  private var showing = 0
  private var isStopped = false
  private var isDue = false
  private var waiter: CheckedContinuation<Void, Never>?
  private var recovered: LoopInstant?

  package init(loop: EventLoop, runner: SendRunner, store: HubStore, relay: EventRelay, log: Logger) {
    self.loop = loop
    self.runner = runner
    self.store = store
    self.relay = relay
    self.log = log
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// There may be something to do. From any thread.
  package nonisolated func wake() {
    loop.execute { self.assumeIsolated { $0.look() } }
  }

  /// Shows the other side what is no message. Platforms are called from the worker's loop only, where their
  /// tokens and connections are. From any thread.
  nonisolated func show(_ job: SendJob, _ sender: any SendingPlatform, _ account: Account) {
    loop.execute { self.assumeIsolated { $0.startShowing(job, sender, account) } }
  }

  private func startShowing(_ job: SendJob, _ sender: any SendingPlatform, _ account: Account) {
    guard !isStopped, showing < Self.showingMax else { return }
    showing += 1
    Task {
      await withTaskExecutorPreference(loop) { await runner.show(job, sender, account) }
      showing -= 1
    }
  }

  package func run() async {
    while !isStopped {
      isDue = false
      do {
        try await recover()
        try await takeJobs()
      } catch {
        log.debug("the outbox cannot be read", ["error": .string("\(error)")])
      }
      await rest()
    }
  }

  /// Takes no more jobs and waits for those under way, at most until the deadline.
  package func stop(until deadline: LoopInstant) async {
    isStopped = true
    look()
    while running > 0 && loop.now < deadline { try? await loop.sleep(for: .milliseconds(20)) }
  }

  private func recover() async throws {
    if let recovered, loop.now - recovered < Self.recoverEvery { return }
    recovered = loop.now
    relay.publish(try await store.recoverJobs(waitSeconds: Self.doubtSeconds))
    try await store.pollDoubted()
  }

  private func takeJobs() async throws {
    while !isStopped && running < Self.runningMax {
      let asked = LoopInstant.current()
      let jobs = try await store.takeJobs(node: runner.node, limit: Self.runningMax - running)
      guard !jobs.isEmpty else { return }
      for job in jobs { start(job, taken: asked) }
    }
  }

  private func start(_ job: OutboxJob, taken: LoopInstant) {
    running += 1
    Task { await withTaskExecutorPreference(loop) { await finish(job, taken: taken) } }
  }

  private func finish(_ job: OutboxJob, taken: LoopInstant) async {
    await runner.run(job, taken: taken)
    running -= 1
    // The next of its conversation can go.
    look()
  }

  private func look() {
    isDue = true
    waiter?.resume()
    waiter = nil
  }

  private func rest() async {
    guard !isDue && !isStopped else { return }
    let timer = loop.schedule(after: Self.lookEvery) { self.assumeIsolated { $0.look() } }
    await withCheckedContinuation { waiter = $0 }
    loop.cancel(timer)
  }
}
