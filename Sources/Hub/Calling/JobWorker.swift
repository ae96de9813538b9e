package import EventLoop
package import Telemetry

/// Takes jobs that are due out of a table and has them done, some at once. Any node may do any job.
///
/// A job that was made on this node wakes it; jobs that became due, and those of nodes that are gone, are
/// found by looking.
package actor JobWorker {
  /// A table of jobs. Called on the worker's loop.
  package struct Source: Sendable {
    /// For the log.
    let name: String
    /// Jobs at once.
    let runningMax: Int
    /// Frees what nodes hold that are gone. Called every few seconds.
    let recover: @Sendable () async throws -> Void
    /// Takes at most so many: what does each of them and writes down what came of it.
    let take: @Sendable (_ limit: Int) async throws -> [@Sendable () async -> Void]
  }

  private static let lookEvery: Duration = .seconds(1)
  private static let recoverEvery: Duration = .seconds(5)

  package nonisolated let loop: EventLoop
  private let source: Source
  private let log: Logger
  private var running = 0
  private var isStopped = false
  private var isDue = false
  private var waiter: CheckedContinuation<Void, Never>?
  private var recovered: LoopInstant?

  package init(loop: EventLoop, source: Source, log: Logger) {
    self.loop = loop
    self.source = source
    self.log = log
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// There may be something to do. From any thread.
  package nonisolated func wake() {
    loop.execute { self.assumeIsolated { $0.look() } }
  }

  package func run() async {
    while !isStopped {
      isDue = false
      do {
        try await recover()
        try await takeJobs()
      } catch {
        log.debug(
          "jobs cannot be looked for", ["jobs": .string(source.name), "error": .string("\(error)")])
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
    try await source.recover()
  }

  private func takeJobs() async throws {
    while !isStopped && running < source.runningMax {
      let jobs = try await source.take(source.runningMax - running)
      guard !jobs.isEmpty else { return }
      for job in jobs { start(job) }
    }
  }

  private func start(_ job: @escaping @Sendable () async -> Void) {
    running += 1
    Task { await withTaskExecutorPreference(loop) { await finish(job) } }
  }

  private func finish(_ job: @Sendable () async -> Void) async {
    await job()
    running -= 1
    // It may have stood before another, as in a conversation.
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
