import Bytes
package import EventLoop
package import Telemetry

/// Takes attachments that are due and has their files fetched, some at once. Any node may fetch any file.
package actor FetchWorker {
  private static let lookEvery: Duration = .seconds(1)
  private static let recoverEvery: Duration = .seconds(5)
  private static let runningMax = 8

  package nonisolated let loop: EventLoop
  private let runner: FetchRunner
  private let store: HubStore
  private let log: Logger
  private var running = 0
  private var isStopped = false
  private var isDue = false
  private var waiter: CheckedContinuation<Void, Never>?
  private var recovered: LoopInstant?

  package init(loop: EventLoop, runner: FetchRunner, store: HubStore, log: Logger) {
    self.loop = loop
    self.runner = runner
    self.store = store
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
        try await takeFiles()
      } catch {
        log.debug("attachments cannot be looked for", ["error": .string("\(error)")])
      }
      await rest()
    }
  }

  /// Takes no more files and waits for those under way, at most until the deadline.
  package func stop(until deadline: LoopInstant) async {
    isStopped = true
    look()
    while running > 0 && loop.now < deadline { try? await loop.sleep(for: .milliseconds(20)) }
  }

  private func recover() async throws {
    if let recovered, loop.now - recovered < Self.recoverEvery { return }
    recovered = loop.now
    try await store.recoverFiles()
  }

  private func takeFiles() async throws {
    while !isStopped && running < Self.runningMax {
      let jobs = try await store.takeFiles(node: runner.node, limit: Self.runningMax - running)
      guard !jobs.isEmpty else { return }
      for job in jobs { start(job) }
    }
  }

  private func start(_ job: FetchJob) {
    running += 1
    Task { await withTaskExecutorPreference(loop) { await finish(job) } }
  }

  private func finish(_ job: FetchJob) async {
    await runner.run(job)
    running -= 1
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
