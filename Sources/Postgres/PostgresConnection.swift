import CPostgres
package import EventLoop

/// One session with PostgreSQL, on one event loop, in libpq's pipeline mode.
///
/// Many callers may have work under way at once: what each asks is a stretch (see
/// `PipelineStateMachine`), sent at once behind the others. So without an explicit transaction each
/// `query` is a transaction, and so is each `batch`. A stretch that fails leaves its neighbours alone.
///
/// Statements are prepared at their first use, in the same round trip, and kept by their text. A named
/// statement is not shared until its prepare has succeeded: another stretch that needs it in between
/// prepares its own, unnamed one, so it does not depend on a neighbour's luck.
///
/// Confined to its loop: every call is made there, which is asserted. Cancelling the calling task does
/// not stop a statement; its deadline does.
package final class PostgresConnection: @unchecked Sendable {
  // Safe because: used on its loop only, which each entry asserts.

  /// The protocol counts them in 16 bits.
  private static let bindsMax = 65_535

  package let loop: EventLoop
  package let configuration: PostgresConfiguration
  /// The server process, as pg_stat_activity numbers it.
  package let serverProcess: Int32
  /// Called once, on the loop, when the session is over for whatever reason.
  package var onClose: ((PostgresError) -> Void)?
  /// Called on the loop for each notification of a channel listened on. Must not block.
  package var onNotification: ((PostgresNotification) -> Void)?
  /// Called on the loop when a stretch ends: there may be room again, or the session may be idle.
  var onProgress: (() -> Void)?

  private let blocking: BlockingPool
  private var pq: OpaquePointer?
  private var watch: FileWatch?
  private var machine = PipelineStateMachine()
  private var stretches: [PipelineStateMachine.StretchID: PostgresStretch] = [:]
  private var lastStretch: PipelineStateMachine.StretchID = 0
  private var backlog: [Work] = []
  private var script: ScriptRun?
  private var statements: PreparedStatements
  private var watchdog: TimerToken?
  private var isCancelling = false
  private var wantsCancelAgain = false

  private enum Work {
    case stretch(PostgresStretch)
    case script(ScriptRun)
  }

  private final class ScriptRun {
    let sql: String
    var error: PostgresError?
    var continuation: UnsafeContinuation<PostgresError?, Never>?

    init(_ sql: String) { self.sql = sql }
  }

  /// Takes over a connected session in pipeline mode.
  init(
    _ pq: OpaquePointer, _ configuration: PostgresConfiguration, on loop: EventLoop,
    blocking: BlockingPool
  ) throws(PostgresError) {
    self.loop = loop
    self.configuration = configuration
    self.blocking = blocking
    self.pq = pq
    serverProcess = PQbackendPID(pq)
    statements = PreparedStatements(limit: configuration.preparedStatementsMax)
    do {
      watch = try loop.watch(fd: PQsocket(pq)) { [weak self] readiness in self?.ready(readiness) }
    } catch {
      throw PostgresError(.connectFailed, "cannot watch the socket: \(error)")
    }
    watch?.setInterest(.readable)
  }

  deinit {
    // Without its owner the session is closed by `close`; here only the memory is left to free.
    PQfinish(pq)
  }

  package var isClosed: Bool { pq == nil }
  /// Stretches and scripts that are not finished.
  package var inFlight: Int { machine.inFlight + backlog.count + (script == nil ? 0 : 1) }
  /// The session is inside an explicit transaction. Meaningful while nothing is in flight.
  package var isInTransaction: Bool { PQtransactionStatus(pq) != PQTRANS_IDLE }
  /// New work would be sent at once: the session is open and no cancel request is on its way, which
  /// might hit a newcomer.
  package var acceptsWork: Bool {
    pq != nil && !isCancelling && inFlight < configuration.stretchesMax
  }

  // MARK: Asking

  /// Runs one statement.
  /// - Parameters:
  ///   - deadline: the configuration's time-out when nil. A statement past it is cancelled.
  ///   - isCached: false for statements with changing text, which are not kept.
  package func query(
    _ sql: String, _ binds: [PostgresBind] = [], deadline: LoopInstant? = nil, isCached: Bool = true
  ) async throws(PostgresError) -> PostgresRows {
    let rows = try await batch([PostgresStatement(sql, binds)], deadline: deadline, isCached: isCached)
    guard let first = rows.first else { throw PostgresError(.misuse, "a statement without a result") }
    return first
  }

  /// Runs several statements in one round trip and one implicit transaction: all or none.
  /// - Returns: the rows of each, in order.
  package func batch(
    _ batch: [PostgresStatement], deadline: LoopInstant? = nil, isCached: Bool = true
  ) async throws(PostgresError) -> [PostgresRows] {
    loop.assertInLoop()
    guard !batch.isEmpty else { return [] }
    guard pq != nil else { throw PostgresError(.closed, "the connection is closed") }
    guard inFlight < configuration.stretchesMax else {
      throw PostgresError(.limit, "\(configuration.stretchesMax) stretches are under way")
    }
    let bytes = batch.reduce(0) { $0 + $1.binds.reduce(0) { $0 + ($1.bytes?.count ?? 0) } }
    guard bytes <= configuration.stretchBytesMax else {
      throw PostgresError(.limit, "binds of more than \(configuration.stretchBytesMax) bytes")
    }
    guard batch.allSatisfy({ $0.binds.count <= Self.bindsMax }) else {
      throw PostgresError(.limit, "more than \(Self.bindsMax) binds in one statement")
    }
    lastStretch += 1
    let due = deadline ?? configuration.deadlineAfter.map { loop.now + $0 }
    let stretch = PostgresStretch(lastStretch, batch, deadline: due, isCached: isCached)
    let outcome = await withUnsafeContinuation {
      (continuation: UnsafeContinuation<PostgresStretch.Outcome, Never>) in
      stretch.continuation = continuation
      enqueue(.stretch(stretch))
    }
    return try outcome.get()
  }

  /// Runs a script of several statements by the simple protocol, for migrations: one transaction
  /// unless the script has its own. Waits until nothing else is under way; later work waits for it.
  /// Only PostgreSQL's statement time-out bounds it. Results are dropped; COPY is not supported.
  package func execute(script sql: String) async throws(PostgresError) {
    loop.assertInLoop()
    guard pq != nil else { throw PostgresError(.closed, "the connection is closed") }
    let run = ScriptRun(sql)
    let error = await withUnsafeContinuation {
      (continuation: UnsafeContinuation<PostgresError?, Never>) in
      run.continuation = continuation
      enqueue(.script(run))
    }
    if let error { throw error }
  }

  /// Starts hearing a channel; `onNotification` gets what is sent on it.
  package func listen(_ channel: String) async throws(PostgresError) {
    guard !channel.isEmpty && channel.utf8.count <= 63 else {
      throw PostgresError(.listener, "a channel's name has 1 to 63 bytes")
    }
    _ = try await query("LISTEN \(PostgresQuoting.identifier(channel))", isCached: false)
  }

  /// Ends the session; what is under way fails with `closed`.
  package func close() {
    loop.assertInLoop()
    end(PostgresError(.closed, "the connection was closed"))
  }

  // MARK: Sending

  private func enqueue(_ work: Work) {
    if backlog.isEmpty, script == nil, case .stretch(let stretch) = work {
      send(stretch)
    } else {
      backlog.append(work)
      pump()
    }
  }

  /// Sends what waited for a script, or the script that waited for the stretches before it.
  private func pump() {
    while pq != nil, script == nil, let work = backlog.first {
      switch work {
      case .stretch(let stretch):
        backlog.removeFirst()
        send(stretch)
      case .script(let run):
        guard machine.isIdle else { return }
        backlog.removeFirst()
        send(run)
      }
    }
  }

  private func send(_ run: ScriptRun) {
    script = run
    guard PQexitPipelineMode(pq) == 1, PQsendQuery(pq, run.sql) == 1 else {
      return end(PostgresError(.connectionLost, Self.message(of: pq)))
    }
    flush()
  }

  private func send(_ stretch: PostgresStretch) {
    for statement in stretch.batch where !send(statement, stretch) {
      return refuse(stretch)
    }
    stretches[stretch.id] = stretch
    machine.sent(stretch.id, steps: stretch.steps.count)
    guard PQpipelineSync(pq) == 1 else {
      return end(PostgresError(.connectionLost, Self.message(of: pq)))
    }
    startWatchdog(stretch.deadline)
    flush()
  }

  /// libpq would not take a step: too many parameters, say, or the socket is gone.
  private func refuse(_ stretch: PostgresStretch) {
    let error = PostgresError(.connectionLost, Self.message(of: pq))
    // Steps of this stretch may already stand in libpq's queue without a sync: start afresh.
    stretch.finish(.failure(error))
    end(error)
  }

  private func send(_ statement: PostgresStatement, _ stretch: PostgresStretch) -> Bool {
    let key = PreparedStatements.Key(statement)
    let use = stretch.isCached ? statements.use(key) : .prepareUnnamed
    let name: String
    switch use {
    case .ready(let known):
      name = known
      stretch.steps.append(.execute(known: key))
    case .prepare(let new):
      name = new
      stretch.steps += [.prepare(key), .execute(known: nil)]
    case .prepareUnnamed:
      name = ""
      stretch.steps += [.prepare(nil), .execute(known: nil)]
    }
    if stretch.steps.count >= 2, case .prepare = stretch.steps[stretch.steps.count - 2] {
      let types = statement.binds.map { Oid($0.oid) }
      guard PQsendPrepare(pq, name, statement.sql, Int32(types.count), types) == 1 else { return false }
    }
    return withPointers(to: statement.binds) { values, lengths, formats in
      PQsendQueryPrepared(pq, name, Int32(statement.binds.count), values, lengths, formats, 1) == 1
    }
  }

  /// Lends libpq the binds' own buffers; it copies them.
  private func withPointers<R>(
    to binds: [PostgresBind], _ body: ([UnsafePointer<CChar>?], [Int32], [Int32]) -> R
  ) -> R {
    let lengths = binds.map { Int32(clamping: $0.bytes?.count ?? 0) }
    let formats = [Int32](repeating: 1, count: binds.count)
    var pointers: [UnsafePointer<CChar>?] = []
    pointers.reserveCapacity(binds.count)
    func lend(_ index: Int) -> R {
      guard index < binds.count else { return body(pointers, lengths, formats) }
      guard let bytes = binds[index].bytes else {
        pointers.append(nil)
        return lend(index + 1)
      }
      if bytes.isEmpty {
        // A null pointer would mean NULL.
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1) { empty in
          pointers.append(UnsafePointer(empty.baseAddress))
          return lend(index + 1)
        }
      }
      return bytes.withUnsafeBufferPointer { buffer in
        buffer.withMemoryRebound(to: CChar.self) { characters in
          pointers.append(characters.baseAddress)
          return lend(index + 1)
        }
      }
    }
    return lend(0)
  }

  private func flush() {
    guard let pq else { return }
    switch PQflush(pq) {
    case 0: watch?.setInterest(.readable)
    case 1: watch?.setInterest([.readable, .writable])
    default: lost()
    }
  }

  // MARK: Receiving

  private func ready(_ readiness: Readiness) {
    guard let pq else { return }
    // Any readiness: the manual asks for reading before flushing again, or both sides may stand still.
    let isAlive = PQconsumeInput(pq) == 1
    readResults()
    readNotifications()
    guard isAlive else { return lost() }
    if readiness.contains(.writable) { flush() }
  }

  private func readResults() {
    while let pq, !machine.isIdle || script != nil, PQisBusy(pq) == 0 {
      let result = PQgetResult(pq)
      if let script {
        received(result, for: script)
      } else {
        received(result)
      }
    }
  }

  private func received(_ result: OpaquePointer?) {
    let reply: PipelineStateMachine.Reply =
      switch result.map({ PQresultStatus($0) }) {
      case nil: .end
      case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: .result
      case PGRES_PIPELINE_SYNC: .sync
      case PGRES_PIPELINE_ABORTED: .skipped
      default: .failed
      }
    let rows = PostgresRows(result)
    switch machine.received(reply) {
    case .nothing: break
    case .deliver(let id, let step): delivered(rows, id, step)
    case .fail(let id, let step): failed(Self.error(from: result), id, step)
    case .skip(let id, let step):
      if case .prepare(let key?) = stretches[id]?.step(step) { statements.forget(key) }
    case .finish(let id, let committed): finished(id, committed)
    case .finishAndCancel(let id, let committed, _):
      finished(id, committed)
      cancelOnServer()
    case .breakOff(let reason): end(PostgresError(.connectionLost, "out of step: \(reason)"))
    }
  }

  private func delivered(_ rows: PostgresRows, _ id: PipelineStateMachine.StretchID, _ step: Int) {
    guard let stretch = stretches[id] else { return }
    switch stretch.step(step) {
    case .prepare(let key?): statements.succeeded(key)
    case .execute: stretch.rows.append(rows)
    default: break
    }
  }

  private func failed(_ error: PostgresError, _ id: PipelineStateMachine.StretchID, _ step: Int) {
    guard let stretch = stretches[id] else { return }
    stretch.error = stretch.error ?? error
    switch stretch.step(step) {
    case .prepare(let key?): statements.forget(key)
    case .execute(let key?) where error.sqlState == "26000" || error.sqlState == "0A000":
      // The statement is gone (DISCARD), or a table behind it changed its shape.
      statements.forget(key)
    default: break
    }
  }

  private func finished(_ id: PipelineStateMachine.StretchID, _ committed: Bool) {
    guard let stretch = stretches.removeValue(forKey: id) else { return }
    if committed {
      stretch.finish(.success(stretch.rows))
    } else {
      stretch.finish(.failure(stretch.error ?? PostgresError(.misuse, "rolled back without an error")))
    }
    pump()
    onProgress?()
  }

  private func received(_ result: OpaquePointer?, for run: ScriptRun) {
    guard let result else {
      script = nil
      guard PQenterPipelineMode(pq) == 1 else {
        run.continuation?.resume(returning: run.error)
        return end(PostgresError(.connectionLost, Self.message(of: pq)))
      }
      run.continuation?.resume(returning: run.error)
      pump()
      onProgress?()
      return
    }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
    case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
      end(PostgresError(.misuse, "COPY in a script"))
    default: run.error = run.error ?? Self.error(from: result)
    }
  }

  private func readNotifications() {
    while let pq, let notification = PQnotifies(pq) {
      let channel = notification.pointee.relname.map { String(cString: $0) } ?? ""
      let payload = notification.pointee.extra.map { String(cString: $0) } ?? ""
      let sender = notification.pointee.be_pid
      PQfreemem(notification)
      onNotification?(PostgresNotification(channel: channel, payload: payload, serverProcess: sender))
    }
  }

  private static func error(from result: OpaquePointer?) -> PostgresError {
    func field(_ code: UnicodeScalar) -> String? {
      PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
    }
    guard let sqlState = field("C") else {
      let text = PQresultErrorMessage(result).map { String(cString: $0) } ?? "unknown"
      return PostgresError(.connectionLost, text.split(separator: "\n").joined(separator: "; "))
    }
    let server = PostgresError.Server(
      sqlState: sqlState, message: field("M") ?? "", detail: field("D"), hint: field("H"),
      schema: field("s"), table: field("t"), column: field("c"), constraint: field("n"))
    // Administrator's shutdown, crash of a neighbour, dropped database: the session ends with it.
    let isEnd = ["57P01", "57P02", "57P03", "57P04", "57P05"].contains(sqlState)
    return PostgresError(isEnd ? .connectionLost : .server, server.message, server: server)
  }

  // MARK: Deadlines

  /// One timer for the connection, at the earliest deadline or before it: most stretches end in time,
  /// and arming and disarming a timer for each would cost more than looking.
  private func startWatchdog(_ deadline: LoopInstant?) {
    guard watchdog == nil, let deadline else { return }
    watchdog = loop.schedule(at: deadline) { [weak self] in self?.checkDeadlines() }
  }

  private func checkDeadlines() {
    watchdog = nil
    let now = loop.now
    var next: LoopInstant?
    for stretch in stretches.values.sorted(by: { $0.id < $1.id }) {
      guard let deadline = stretch.deadline else { continue }
      if deadline > now {
        next = next.map { min($0, deadline) } ?? deadline
        continue
      }
      if stretch.isAbandoned {
        return end(PostgresError(.connectionLost, "no answer to a cancel request"))
      }
      abandon(stretch)
      next = next.map { min($0, stretch.deadline ?? $0) } ?? stretch.deadline
    }
    if pq != nil { startWatchdog(next) }
  }

  private func abandon(_ stretch: PostgresStretch) {
    stretch.finish(.failure(PostgresError(.timedOut, "the statement passed its deadline")))
    stretch.deadline = loop.now + configuration.deadlineGrace
    switch machine.cancelAsked(stretch.id) {
    case .cancelNow: cancelOnServer()
    case .cancelLater, .unknown: break
    }
  }

  /// Asks PostgreSQL to stop what it does now. The request goes by a connection of its own, and libpq
  /// sends it blocking, so not from the loop.
  private func cancelOnServer() {
    guard !isCancelling else {
      wantsCancelAgain = true
      return
    }
    guard let cancel = PQgetCancel(pq) else { return }
    isCancelling = true
    let request = CancelRequest(pointer: cancel)
    let blocking = blocking
    // No capture list: with one the closure would leave the loop.
    loop.spawn { shard in
      _ = shard.loop
      _ = try? await blocking.run { request.send() }
      self.cancelled()
    }
  }

  private func cancelled() {
    isCancelling = false
    if wantsCancelAgain {
      wantsCancelAgain = false
      if let head = stretches.keys.min(), stretches[head]?.isAbandoned == true { cancelOnServer() }
    }
    onProgress?()
  }

  private struct CancelRequest: @unchecked Sendable {
    // Safe because: libpq allows its use from another thread, and `send` is called once.
    let pointer: OpaquePointer

    func send() {
      var text = [CChar](repeating: 0, count: 256)
      _ = PQcancel(pointer, &text, Int32(text.count))
      PQfreeCancel(pointer)
    }
  }

  // MARK: The end

  private func lost() {
    end(PostgresError(.connectionLost, Self.message(of: pq)))
  }

  private func end(_ error: PostgresError) {
    guard let closing = pq else { return }
    pq = nil
    watch?.cancel()
    watch = nil
    if let watchdog { loop.cancel(watchdog) }
    PQfinish(closing)
    for id in machine.closed() {
      guard let stretch = stretches.removeValue(forKey: id) else { continue }
      // What PostgreSQL said last explains more than the closed socket; but until the sync nobody knows
      // whether the stretch took effect.
      stretch.finish(.failure(PostgresError(error.code, error.message, server: stretch.error?.server)))
    }
    if let script { script.continuation?.resume(returning: error) }
    script = nil
    for work in backlog {
      switch work {
      case .stretch(let stretch): stretch.finish(.failure(error))
      case .script(let run): run.continuation?.resume(returning: error)
      }
    }
    backlog = []
    let closed = onClose
    onClose = nil
    onProgress = nil
    onNotification = nil
    closed?(error)
  }
}

/// What another session sent by NOTIFY.
package struct PostgresNotification: Sendable, Equatable {
  package let channel: String
  /// At most 7,999 bytes.
  package let payload: String
  /// The sender.
  package let serverProcess: Int32

  package init(channel: String, payload: String, serverProcess: Int32) {
    self.channel = channel
    self.payload = payload
    self.serverProcess = serverProcess
  }
}
