import CLinux
import Glibc
import Synchronization

/// One thread, one epoll set, one serial executor.
///
/// Actors whose `unownedExecutor` is a loop run on its thread, so what they own needs no lock, and a
/// call from one to another on the same loop costs no hop. A turn is bounded: timers that are due, at
/// most `jobsPerTurnMax` jobs, then what the sockets have to write, then one poll. What remains waits
/// for the next turn, so no connection can starve the others.
///
/// It is a task executor too, and tasks on it are started with it as their preference (`spawn` does): a
/// continuation resumes a task on its task executor, which without a preference is the global pool, and
/// each suspension would cost two thread hops.
///
/// The loop knows its own thread by a C thread-local: a `pthread_self()` compared after an `await` is
/// wrong in optimised builds, because the optimiser reuses the value from before.
package final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
  // Safe because: `inbox` is the only state that other threads touch, under its lock; all else is
  // used on the loop's own thread, which `assertInLoop` checks.

  /// What waits to run: a piece of a task, or a plain call.
  private enum Work {
    case job(UnownedJob)
    case call(@Sendable () -> Void)
  }

  private struct Inbox {
    var work: [Work] = []
    var isWakePending = false
    var isStopping = false
    /// The thread has ended: nobody can be woken any more.
    var isClosed = false
  }

  package struct Statistics: Sendable {
    package var turns: UInt64 = 0
    package var jobs: UInt64 = 0
    /// Turns that ended with jobs left over.
    package var jobBoundHits: UInt64 = 0
  }

  private static let jobsPerTurnMax = 512
  private static let timersPerTurnMax = 256
  static let scratchBytes = 65_536

  package let name: String
  private let inbox = Mutex(Inbox())
  private let wakeDescriptor: Int32

  private var poller: Poller
  private var timers = TimerQueue()
  private var queue: [Work] = []
  private var dirty: [Socket] = []
  private var hasStopped = false
  private var shardReference: Shard?

  /// One turn's clock: read once after each poll.
  package private(set) var now = LoopInstant.current()
  package private(set) var statistics = Statistics()
  /// Memory that sockets read into and write from; its contents live no longer than one call.
  let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: scratchBytes, alignment: 16)

  /// Starts the loop's thread.
  package init(name: String) throws {
    self.name = name
    wakeDescriptor = hub_eventfd()
    guard wakeDescriptor >= 0 else { throw SocketError.system(errno: errno, operation: "eventfd") }
    poller = try Poller()
    try poller.add(wakeDescriptor, Wake(descriptor: wakeDescriptor), .readable, .level)
    shardReference = Shard(loop: self)
    try startThread()
  }

  deinit {
    scratch.deallocate()
  }

  /// The actor that stands for this loop: plain asynchronous code started through it stays here.
  package var shard: Shard {
    guard let shardReference else { preconditionFailure("the event loop \(name) has no shard") }
    return shardReference
  }

  /// Whether the caller is on this loop's thread.
  package var inLoop: Bool {
    hub_current_loop() == Unmanaged.passUnretained(self).toOpaque()
  }

  package func assertInLoop() {
    precondition(inLoop, "called off the event loop \(name)")
  }

  // MARK: Executor

  package func enqueue(_ job: consuming ExecutorJob) {
    submit(.job(UnownedJob(job)))
  }

  package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    UnownedSerialExecutor(ordinary: self)
  }

  package func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    UnownedTaskExecutor(ordinary: self)
  }

  package func checkIsolated() {
    assertInLoop()
  }

  package func isIsolatingCurrentContext() -> Bool? {
    inLoop
  }

  // MARK: Work

  /// Runs `call` on the loop, in the order of submission. From any thread; after a shutdown it is
  /// dropped.
  package func execute(_ call: @escaping @Sendable () -> Void) {
    submit(.call(call))
  }

  /// Starts a task on the loop. From any thread.
  package func spawn(_ body: @escaping @Sendable (isolated Shard) async -> Void) {
    let shard = shard
    if inLoop {
      shard.assumeIsolated { $0.start(body) }
    } else {
      execute { shard.assumeIsolated { $0.start(body) } }
    }
  }

  private func submit(_ work: Work) {
    if inLoop {
      queue.append(work)
      return
    }
    inbox.withLock { inbox in
      inbox.work.append(work)
      wake(&inbox)
    }
  }

  /// Under the lock, because a loop that ends closes the descriptor: behind that its number may be
  /// another file's, and the eight bytes would go there.
  private func wake(_ inbox: inout Inbox) {
    guard !inbox.isWakePending, !inbox.isClosed else { return }
    inbox.isWakePending = true
    var one: UInt64 = 1
    _ = write(wakeDescriptor, &one, 8)
  }

  // MARK: Timers

  /// Calls `body` on the loop at `due` or soon after. On the loop only.
  @discardableResult
  package func schedule(at due: LoopInstant, _ body: @escaping () -> Void) -> TimerToken {
    assertInLoop()
    return timers.schedule(at: due, body)
  }

  @discardableResult
  package func schedule(after delay: Duration, _ body: @escaping () -> Void) -> TimerToken {
    schedule(at: now + delay, body)
  }

  /// Takes a timer back; nothing happens when it has fired. On the loop only.
  package func cancel(_ timer: TimerToken) {
    assertInLoop()
    timers.cancel(timer)
  }

  /// Suspends the calling task. On the loop only.
  /// - Throws: `CancellationError` as soon as the task is cancelled.
  package func sleep(
    for duration: Duration, isolation: isolated (any Actor)? = #isolation
  ) async throws {
    // The isolation is a parameter because the standard library's closures inherit only one that
    // they capture.
    assertInLoop()
    let sleeper = Sleeper()
    await withTaskCancellationHandler {
      _ = isolation
      await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        sleeper.continuation = continuation
        if sleeper.isCancelled {
          sleeper.finish()
        } else {
          sleeper.timer = schedule(after: duration) { sleeper.finish() }
        }
      }
    } onCancel: {
      execute {
        sleeper.isCancelled = true
        if let timer = sleeper.timer { self.cancel(timer) }
        sleeper.finish()
      }
    }
    try Task.checkCancellation()
  }

  // MARK: Descriptors

  /// Watches a descriptor that the caller owns; starts with no interest. On the loop only.
  package func watch(fd: Int32, _ handler: @escaping (Readiness) -> Void) throws -> FileWatch {
    assertInLoop()
    let watch = FileWatch(loop: self, descriptor: fd, handler)
    try poller.add(fd, watch, [], .level)
    return watch
  }

  func add(_ fd: Int32, _ target: any Selectable, _ interest: Readiness, _ trigger: Poller.Trigger)
    throws(SocketError)
  {
    try poller.add(fd, target, interest, trigger)
  }

  func modify(_ fd: Int32, _ interest: Readiness, _ trigger: Poller.Trigger) {
    poller.modify(fd, interest, trigger)
  }

  func remove(_ fd: Int32) {
    poller.remove(fd)
  }

  /// Has the socket write what it queued when this turn's jobs are done.
  func markDirty(_ socket: Socket) {
    dirty.append(socket)
  }

  // MARK: The thread

  /// Ends the loop after the current turn; tasks suspended on it never resume. From any thread,
  /// at the end of a program or a test.
  package func shutDown() {
    inbox.withLock { inbox in
      inbox.isStopping = true
      wake(&inbox)
    }
  }

  private func startThread() throws(SocketError) {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self).toOpaque()
    let error = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let loop = Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue()
        hub_name_thread(String(loop.name.prefix(15)))
        hub_set_current_loop(Unmanaged.passUnretained(loop).toOpaque())
        loop.run()
        hub_set_current_loop(nil)
        return nil
      }, context)
    guard error == 0 else {
      Unmanaged<EventLoop>.fromOpaque(context).release()
      throw .system(errno: error, operation: "pthread_create")
    }
    pthread_detach(thread)
  }

  private func run() {
    while !hasStopped {
      now = LoopInstant.current()
      statistics.turns += 1
      fireTimers()
      runJobs()
      flushSockets()
      poll()
      drainInbox()
    }
    poller.destroy()
    inbox.withLock { inbox in
      inbox.isClosed = true
      close(wakeDescriptor)
    }
  }

  private func fireTimers() {
    var fired = 0
    while fired < Self.timersPerTurnMax, let call = timers.popDue(now) {
      call()
      fired += 1
    }
  }

  private func runJobs() {
    var done = 0
    let executor = asUnownedSerialExecutor()
    let taskExecutor = asUnownedTaskExecutor()
    while done < queue.count && done < Self.jobsPerTurnMax {
      switch queue[done] {
      case .job(let job): job.runSynchronously(isolatedTo: executor, taskExecutor: taskExecutor)
      case .call(let call): call()
      }
      done += 1
    }
    statistics.jobs += UInt64(done)
    if done == queue.count {
      queue.removeAll(keepingCapacity: queue.capacity <= 4_096)
    } else {
      statistics.jobBoundHits += 1
      queue.removeFirst(done)
    }
  }

  private func flushSockets() {
    guard !dirty.isEmpty else { return }
    let sockets = dirty
    dirty.removeAll(keepingCapacity: dirty.capacity <= 4_096)
    for socket in sockets { socket.flush() }
  }

  private func poll() {
    let count = poller.wait(milliseconds: pollMilliseconds())
    for index in 0..<count {
      if let event = poller.event(index) { event.target.ready(event.readiness) }
    }
  }

  private func pollMilliseconds() -> Int32 {
    if !queue.isEmpty || !dirty.isEmpty { return 0 }
    guard let due = timers.nextDue else { return -1 }
    let current = LoopInstant.current()
    guard due > current else { return 0 }
    return Int32(clamping: (due.nanoseconds - current.nanoseconds + 999_999) / 1_000_000)
  }

  private func drainInbox() {
    let (work, stops) = inbox.withLock { inbox in
      defer {
        inbox.work = []
        inbox.isWakePending = false
      }
      return (inbox.work, inbox.isStopping)
    }
    queue.append(contentsOf: work)
    if stops { hasStopped = true }
  }

  /// Empties the eventfd that other threads wake the loop by.
  private final class Wake: Selectable {
    private let descriptor: Int32

    init(descriptor: Int32) {
      self.descriptor = descriptor
    }

    func ready(_ readiness: Readiness) {
      var count: UInt64 = 0
      _ = read(descriptor, &count, 8)
    }
  }

  /// One sleeping task.
  private final class Sleeper: @unchecked Sendable {
    // Safe because: used on the loop only.
    var continuation: UnsafeContinuation<Void, Never>?
    var timer: TimerToken?
    var isCancelled = false

    func finish() {
      guard let waiting = continuation else { return }
      continuation = nil
      waiting.resume()
    }
  }
}

/// The actor whose executor is one event loop.
package actor Shard {
  package nonisolated let loop: EventLoop

  init(loop: EventLoop) {
    self.loop = loop
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// Runs `body` on the loop; asynchronous functions that it calls stay there.
  package func run<T: Sendable>(
    _ body: @Sendable (isolated Shard) async throws -> T
  ) async rethrows -> T {
    try await withTaskExecutorPreference(loop) { try await body(self) }
  }

  func start(_ body: @escaping @Sendable (isolated Shard) async -> Void) {
    Task { await withTaskExecutorPreference(loop) { await body(self) } }
  }
}

/// A descriptor of somebody else (libpq's, say) on a loop. Level-triggered.
package final class FileWatch: Selectable {
  private let loop: EventLoop
  private let descriptor: Int32
  private var handler: ((Readiness) -> Void)?
  private var interest: Readiness = []

  init(loop: EventLoop, descriptor: Int32, _ handler: @escaping (Readiness) -> Void) {
    self.loop = loop
    self.descriptor = descriptor
    self.handler = handler
  }

  package func setInterest(_ interest: Readiness) {
    guard handler != nil, interest != self.interest else { return }
    self.interest = interest
    loop.modify(descriptor, interest, .level)
  }

  /// Ends the watch. Call before the descriptor is closed.
  package func cancel() {
    guard handler != nil else { return }
    handler = nil
    loop.remove(descriptor)
  }

  func ready(_ readiness: Readiness) {
    handler?(readiness)
  }
}
