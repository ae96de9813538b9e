package import EventLoop
import Platforms
package import Telemetry

/// Takes accounts that are due and has them read. Of all nodes one holds an account at a time: what a node
/// holds is valid as long as its heartbeat is, so a node that cannot say that it lives lets go of
/// everything.
package actor PollScheduler {
  private static let turnEvery: Duration = .seconds(1)
  private static let freeEvery: Duration = .seconds(2)
  /// Others take over after ten seconds without a heartbeat.
  private static let silenceMax: Duration = .seconds(8)
  private static let takenAtOnce = 100

  package nonisolated let loop: EventLoop
  private let runner: PollRunner
  private let giver: PollReturn
  private let store: HubStore
  private let log: Logger
  private let node: String
  private let runningMax: Int
  private struct Running {
    let key: String
    let reading: Task<PollEnd, Never>
    /// What is on its way to it will not come again.
    let givesOnce: Bool
  }

  private var running: [UInt64: Running] = [:]
  private var lastTask: UInt64 = 0
  private var isStopped = false
  private var freed: LoopInstant?
  private var lastTurn: LoopInstant?

  package init(
    loop: EventLoop, runner: PollRunner, giver: PollReturn, store: HubStore, log: Logger, node: String,
    runningMax: Int = 20_000
  ) {
    self.loop = loop
    self.runner = runner
    self.giver = giver
    self.store = store
    self.log = log
    self.node = node
    self.runningMax = runningMax
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// Accounts that are being read.
  package var count: Int { running.count }

  package func run() async {
    while !isStopped {
      listen()
      let begin = loop.now
      do {
        try await turn()
        // A turn may last: the database was asked when it began, and it may have stood still since.
        lastTurn = begin
        listen()
      } catch {
        log.debug("accounts cannot be taken", ["error": .string("\(error)")])
      }
      try? await loop.sleep(for: Self.turnEvery)
    }
  }

  /// Lets go when the node was silent for so long that others may have taken over.
  private func listen() {
    guard let last = lastTurn, loop.now - last > Self.silenceMax else { return }
    log.warning("the node was silent for too long: it lets go of the accounts that it reads")
    // Who reads what is given out once keeps what has come, and asks then whose the account is.
    for task in running.values where !task.givesOnce { task.reading.cancel() }
    lastTurn = nil
  }

  /// Ends what is under way. What was read and not stored is read again by the next.
  package func stop(until deadline: LoopInstant) async {
    isStopped = true
    letGo()
    while !running.isEmpty && loop.now < deadline { try? await loop.sleep(for: .milliseconds(20)) }
  }

  private func turn() async throws {
    if freed.map({ loop.now - $0 >= Self.freeEvery }) ?? true {
      freed = loop.now
      try await store.freePolls()
    }
    while !isStopped && running.count < runningMax {
      let asked = LoopInstant.current()
      let taken = try await store.takePolls(
        node: node, limit: min(Self.takenAtOnce, runningMax - running.count))
      for poll in taken { start(poll, taken: asked) }
      guard taken.count == Self.takenAtOnce else { return }
    }
  }

  private func start(_ poll: TakenPoll, taken: LoopInstant) {
    lastTask += 1
    let id = lastTask
    let reading = Task { await withTaskExecutorPreference(loop) { await runner.read(poll, taken: taken) } }
    let platform = PlatformCatalogue.named(poll.platform) as? any PolledPlatform
    running[id] = Running(
      key: poll.key, reading: reading, givesOnce: platform?.polling.givesOnce ?? false)
    // Of its own: giving back must happen when reading is cancelled too.
    Task { await withTaskExecutorPreference(loop) { await finish(poll, reading, id) } }
  }

  private func finish(_ poll: TakenPoll, _ reading: Task<PollEnd, Never>, _ id: UInt64) async {
    await giver.giveBack(poll, await reading.value)
    running[id] = nil
  }

  private func letGo() {
    for task in running.values { task.reading.cancel() }
  }

  /// An account changed, on whatever node: reading it begins anew with what it is now. From any thread.
  /// - Parameter key: the account's webhook key.
  package nonisolated func reconsider(_ key: String) {
    loop.execute { self.assumeIsolated { $0.letGo(of: key) } }
  }

  private func letGo(of key: String) {
    for task in running.values where task.key == key { task.reading.cancel() }
  }
}
