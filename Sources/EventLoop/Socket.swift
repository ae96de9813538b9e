package import Bytes
import CLinux
import Glibc

/// A stream socket on a loop, plain or under TLS.
///
/// Reading suspends without holding a buffer. Writing only queues; what a turn queued leaves in one
/// system call at the end of the turn. The queue is bounded in bytes: a peer that does not read is
/// cut off and never costs memory.
///
/// Edge-triggered: the socket keeps what epoll told it (`canRead`, `canWrite`) and asks the kernel
/// again only after a change. One reader and one drainer at a time. Every call is on the loop.
package final class Socket: Selectable, @unchecked Sendable {
  // Safe because: confined to its loop; `read`, `write` and the others assert it.

  /// Reads in a row without a suspension after which other connections get their turn.
  private static let readsPerTurnMax = 16
  private static let writeBytesPerTurnMax = 262_144
  /// What one record of TLS holds (RFC 8446 section 5.1).
  private static let recordBytesMax = 16_384

  package let loop: EventLoop
  package let peer: SocketAddress

  /// The most bytes that may wait for the kernel; a write beyond closes the socket.
  package var queueBytesMax = 4 << 20
  /// Called once, on the loop, when the socket closes for whatever reason.
  package var onClose: (() -> Void)?
  /// Called on the loop when the peer sent something or left while nobody reads. For idle connections.
  package var onUnreadInput: (() -> Void)?
  /// Another task goes on with the socket when the one that accepted it ends.
  package var outlivesItsTask = false

  let descriptor: Int32
  private var failure: SocketError?
  private var canRead = false
  private var canWrite = false
  private var sawHangUp = false
  private var isDirty = false
  private var isFinishing = false
  private var wantsShutdown = false
  private var hasSentCloseAlert = false

  private var outbound = SendQueue()
  /// Bytes of writes that were handed to the kernel, or to TLS on the way there. What is not among them has
  /// certainly not left.
  package private(set) var sentBytes: UInt64 = 0

  private var reader: UnsafeContinuation<Void, Never>?
  private var readDeadline: LoopInstant?
  private var drainer: UnsafeContinuation<Void, Never>?
  private var drainMark = 0
  private var drainDeadline: LoopInstant?
  // The timers hold the socket, which takes them back when it closes: one weak reference to an object makes
  // each of its retains slow for good.
  private var timer: TimerToken?
  private var finishTimer: TimerToken?
  private var timerDue: LoopInstant?
  private var readTurn: UInt64 = 0
  private var readsInTurn = 0

  private var tls: TLSSession?
  /// Records that the kernel has not taken yet.
  private var records = ByteBuffer()

  init(loop: EventLoop, descriptor: Int32, peer: SocketAddress) throws(SocketError) {
    self.loop = loop
    self.descriptor = descriptor
    self.peer = peer
    var on: Int32 = 1
    if peer.family != AF_UNIX {
      setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
      setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    try loop.add(descriptor, self, [.readable, .writable], .edge)
  }

  /// Bytes queued that the kernel has not taken, under TLS as plain text.
  package var queuedBytes: Int { outbound.byteCount }
  package var isClosed: Bool { failure != nil }
  package var isSecure: Bool { tls != nil }
  /// The peer said that nothing follows. Under TLS the end of the connection alone does not: anybody on the
  /// way can cause it.
  package var hasCleanEnd: Bool { tls?.peerClosed ?? true }

  // MARK: Connecting

  /// Suspends until the connection stands or has failed.
  func waitUntilWritable(_ deadline: LoopInstant?) async throws(SocketError) {
    while !canWrite {
      if let deadline, loop.now >= deadline { throw .timedOut }
      drainMark = -1
      await suspendDrainer(deadline)
      if let failure { throw failure }
    }
  }

  // MARK: Reading

  /// Appends what the peer sent to `buffer`.
  ///
  /// Suspends until there is something; while suspended the connection holds no memory for it.
  /// - Returns: the number of bytes, 0 when the peer has closed its side.
  /// - Throws: `.timedOut` at the deadline (the socket stays open), otherwise why it closed.
  package func read(
    into buffer: inout ByteBuffer, deadline: LoopInstant? = nil
  ) async throws(SocketError) -> Int {
    loop.assertInLoop()
    while true {
      if let failure { throw failure }
      if let count = try readNow(into: &buffer) {
        if takesTooManyTurns() { await yieldTurn() }
        return count
      }
      if let deadline, loop.now >= deadline { throw .timedOut }
      await suspendReader(deadline)
    }
  }

  /// Whether the connection is open and the peer has sent nothing. Asks the kernel; bytes of TLS's own are
  /// taken in. Call while nobody reads; what there was is lost, so close the socket when false.
  package func isQuiet() -> Bool {
    loop.assertInLoop()
    guard failure == nil, reader == nil else { return false }
    // What came since the last poll is not known yet.
    canRead = true
    var buffer = ByteBuffer()
    do throws(SocketError) {
      return try readNow(into: &buffer) == nil
    } catch {
      return false
    }
  }

  /// Appends what is there, without a suspension: for `onUnreadInput`.
  /// - Returns: nil when nothing is, 0 when the peer has closed its side.
  package func readAvailable(into buffer: inout ByteBuffer) throws(SocketError) -> Int? {
    loop.assertInLoop()
    if let failure { throw failure }
    precondition(reader == nil, "two reads at once on one socket")
    return try readNow(into: &buffer)
  }

  /// nil: nothing there yet.
  private func readNow(into buffer: inout ByteBuffer) throws(SocketError) -> Int? {
    guard let tls else { return try receive(into: &buffer) }
    let plain = try step { () throws(SocketError) in try tls.read(into: &buffer, loop.scratch) }
    if plain > 0 { return plain }
    var raw = ByteBuffer()
    guard let count = try receive(into: &raw) else { return nil }
    if count == 0 { return 0 }
    tls.feed(raw)
    let decrypted = try step { () throws(SocketError) in try tls.read(into: &buffer, loop.scratch) }
    if tls.hasOutput { scheduleFlush() }
    if decrypted > 0 { return decrypted }
    return tls.peerClosed ? 0 : try readNow(into: &buffer)
  }

  private func step<R>(_ body: () throws(SocketError) -> R) throws(SocketError) -> R {
    do throws(SocketError) {
      return try body()
    } catch {
      fail(error)
      throw error
    }
  }

  /// One recv. nil: the kernel has nothing.
  private func receive(into buffer: inout ByteBuffer) throws(SocketError) -> Int? {
    guard canRead else { return nil }
    while true {
      let count = recv(descriptor, loop.scratch.baseAddress, EventLoop.scratchBytes, 0)
      if count > 0 {
        // A short read drained the socket; a hang-up that is already known keeps it readable.
        if count < EventLoop.scratchBytes && !sawHangUp { canRead = false }
        buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: loop.scratch[..<count]))
        return count
      }
      if count == 0 { return 0 }
      if errno == EINTR { continue }
      if errno == EAGAIN {
        canRead = false
        return nil
      }
      let error = SocketError.system(errno: errno, operation: "recv")
      fail(error)
      throw error
    }
  }

  private func takesTooManyTurns() -> Bool {
    if readTurn != loop.statistics.turns {
      readTurn = loop.statistics.turns
      readsInTurn = 0
    }
    readsInTurn += 1
    return readsInTurn > Self.readsPerTurnMax
  }

  private func yieldTurn() async {
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      loop.schedule(at: loop.now) { continuation.resume() }
    }
  }

  private func suspendReader(_ deadline: LoopInstant?) async {
    readDeadline = deadline
    armTimer(deadline)
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      precondition(reader == nil, "two reads at once on one socket")
      reader = continuation
    }
    readDeadline = nil
  }

  // MARK: Writing

  /// Queues bytes for the peer. They leave at the end of the loop's turn. Never blocks; after the
  /// socket closed or finished it does nothing. Beyond `queueBytesMax` the socket closes with
  /// `.overflow`.
  package func write(_ bytes: [UInt8]) {
    loop.assertInLoop()
    guard failure == nil, !isFinishing, !bytes.isEmpty else { return }
    guard queuedBytes + bytes.count <= queueBytesMax else {
      return fail(.overflow(limitBytes: queueBytesMax))
    }
    outbound.append(bytes)
    scheduleFlush()
  }

  /// Suspends until at most `bytes` are queued: back-pressure for whoever produces them.
  package func drain(below bytes: Int, deadline: LoopInstant? = nil) async throws(SocketError) {
    loop.assertInLoop()
    while true {
      if let failure { throw failure }
      if queuedBytes <= bytes { return }
      if let deadline, loop.now >= deadline { throw .timedOut }
      drainMark = bytes
      await suspendDrainer(deadline)
    }
  }

  private func suspendDrainer(_ deadline: LoopInstant?) async {
    drainDeadline = deadline
    armTimer(deadline)
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      precondition(drainer == nil, "two drains at once on one socket")
      drainer = continuation
    }
    drainDeadline = nil
  }

  private func scheduleFlush() {
    guard !isDirty else { return }
    isDirty = true
    loop.markDirty(self)
  }

  /// Sends what is queued now and not at the end of the turn, where it would share a segment with what is
  /// written until then.
  package func flushNow() {
    loop.assertInLoop()
    flush()
  }

  /// Writes what is queued, as far as the kernel takes it. The loop calls it once a turn.
  func flush() {
    isDirty = false
    guard failure == nil else { return }
    var budget = Self.writeBytesPerTurnMax
    while canWrite && budget > 0 {
      let sent = tls == nil ? sendPlain() : sendRecords()
      guard sent > 0 else { break }
      budget -= sent
    }
    guard failure == nil else { return }
    if canWrite && budget <= 0 && hasOutput { scheduleFlush() }
    if queuedBytes <= drainMark || (drainMark < 0 && canWrite) { resumeDrainer() }
    finishIfFlushed()
  }

  private var hasOutput: Bool {
    queuedBytes > 0 || !records.isEmpty || (tls?.hasOutput ?? false)
  }

  /// One send of as much as fits the scratch memory. - Returns: bytes taken, 0 when there is no more.
  private func sendPlain() -> Int {
    guard !outbound.isEmpty else { return 0 }
    let descriptor = descriptor
    let count = took(outbound.withFront(loop.scratch) { Self.transmit($0, to: descriptor) })
    advance(count)
    return count
  }

  private func sendRecords() -> Int {
    guard let tls else { return 0 }
    if records.isEmpty {
      if queuedBytes > 0 && tls.isEstablished {
        let record = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<Self.recordBytesMax])
        let written = outbound.withFront(record) { bytes in
          Result { () throws(SocketError) in
            try tls.write(bytes)
            return bytes.count
          }
        }
        switch written {
        case .success(let count): advance(count)
        case .failure(let error):
          fail(error)
          return 0
        }
      }
      tls.takeOutput(into: &records, loop.scratch)
    }
    guard !records.isEmpty else { return 0 }
    let descriptor = descriptor
    let count = took(records.withUnsafeReadable { Self.transmit($0, to: descriptor) })
    records.consume(count)
    return count
  }

  private func advance(_ count: Int) {
    outbound.consume(count)
    sentBytes += UInt64(count)
  }

  /// What one send came to.
  private struct Transmission {
    var count: Int
    var isWhole: Bool
    /// 0: the kernel takes nothing more now.
    var error: Int32 = 0
  }

  /// Without the socket, so that no state of it is being read while an error ends it.
  private static func transmit(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Transmission {
    while true {
      let count = send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      if count >= 0 { return Transmission(count: count, isWhole: count == bytes.count) }
      if errno == EINTR { continue }
      return Transmission(count: 0, isWhole: false, error: errno == EAGAIN ? 0 : errno)
    }
  }

  private func took(_ transmission: Transmission) -> Int {
    if !transmission.isWhole { canWrite = false }
    if transmission.error != 0 { fail(.system(errno: transmission.error, operation: "send")) }
    return transmission.count
  }

  // MARK: TLS

  /// Runs the TLS handshake. Call before the first read or write.
  /// - Parameter serverName: for a client, the name that is sent and checked in the certificate.
  package func startTLS(
    _ context: TLSContext, serverName: String? = nil, deadline: LoopInstant? = nil
  ) async throws(SocketError) {
    loop.assertInLoop()
    let session = try TLSSession(context, serverName: serverName)
    tls = session
    while true {
      let isDone = try step { () throws(SocketError) in try session.handshake() }
      if session.hasOutput { scheduleFlush() }
      if isDone { return }
      var raw = ByteBuffer()
      while true {
        if let failure { throw failure }
        if let count = try receive(into: &raw) {
          if count == 0 { throw .tls("the peer left during the handshake") }
          session.feed(raw)
          break
        }
        if let deadline, loop.now >= deadline { throw .timedOut }
        await suspendReader(deadline)
      }
    }
  }

  // MARK: Closing

  /// Closes at once; what is queued is lost. A suspended read or drain throws `.closed`.
  package func close() {
    loop.assertInLoop()
    fail(.closed)
  }

  /// Takes no more writes, sends what is queued, then closes; at the deadline at once.
  package func closeAfterFlush(deadline: LoopInstant) {
    loop.assertInLoop()
    guard failure == nil, !isFinishing else { return }
    isFinishing = true
    scheduleFlush()
    finishTimer = loop.schedule(at: deadline) { self.close() }
  }

  /// Sends what is queued, then tells the peer that nothing follows. Reading goes on.
  package func shutdownAfterFlush() {
    loop.assertInLoop()
    guard failure == nil, !wantsShutdown else { return }
    wantsShutdown = true
    scheduleFlush()
  }

  private func finishIfFlushed() {
    guard isFinishing || wantsShutdown, failure == nil, !hasOutput else { return }
    // The close alert goes behind the last bytes: TLS takes nothing after it.
    if let tls, !hasSentCloseAlert {
      hasSentCloseAlert = true
      tls.shutDown()
      if tls.hasOutput { return scheduleFlush() }
    }
    if isFinishing {
      fail(.closed)
    } else {
      wantsShutdown = false
      shutdown(descriptor, Int32(SHUT_WR))
    }
  }

  private func fail(_ error: SocketError) {
    guard failure == nil else { return }
    loop.remove(descriptor)
    Glibc.close(descriptor)
    end(error)
  }

  /// Lets go of everything but the descriptor.
  private func end(_ error: SocketError) {
    failure = error
    outbound = SendQueue()
    records = ByteBuffer()
    tls = nil
    if let timer { loop.cancel(timer) }
    timer = nil
    if let finishTimer { loop.cancel(finishTimer) }
    finishTimer = nil
    resumeReader()
    resumeDrainer()
    let call = onClose
    onClose = nil
    onUnreadInput = nil
    call?()
  }

  // MARK: Moving

  /// A connection between two loops. Closes when nobody attaches it.
  package final class Detached: @unchecked Sendable {
    // Safe because: it is made by the owner that gave the parts up and emptied by the one that takes
    // them; it is never used by both.
    fileprivate var descriptor: Int32
    fileprivate let peer: SocketAddress
    fileprivate let outbound: SendQueue
    fileprivate let records: ByteBuffer
    fileprivate let tls: TLSSession?

    fileprivate init(_ socket: Socket) {
      descriptor = socket.descriptor
      peer = socket.peer
      outbound = socket.outbound
      records = socket.records
      tls = socket.tls
    }

    deinit {
      if descriptor >= 0 { Glibc.close(descriptor) }
    }
  }

  /// Takes the connection off this loop, with what is queued, for `attach` on another. This socket is
  /// closed from here on. Nobody may be reading or draining.
  package func detach() throws(SocketError) -> Detached {
    loop.assertInLoop()
    if let failure { throw failure }
    precondition(reader == nil && drainer == nil, "a socket was detached while somebody waits on it")
    let detached = Detached(self)
    loop.remove(descriptor)
    end(.closed)
    return detached
  }

  /// Goes on with a detached connection. On `loop`.
  package static func attach(_ detached: Detached, to loop: EventLoop) throws(SocketError) -> Socket {
    loop.assertInLoop()
    precondition(detached.descriptor >= 0, "a detached socket was attached twice")
    let socket = try Socket(loop: loop, descriptor: detached.descriptor, peer: detached.peer)
    detached.descriptor = -1
    socket.outbound = detached.outbound
    socket.records = detached.records
    socket.tls = detached.tls
    socket.scheduleFlush()
    return socket
  }

  // MARK: Readiness and deadlines

  func ready(_ readiness: Readiness) {
    if readiness.contains(.hangUp) { sawHangUp = true }
    if readiness.contains(.readable) {
      canRead = true
      if reader == nil { onUnreadInput?() } else { resumeReader() }
    }
    if readiness.contains(.writable) {
      canWrite = true
      if hasOutput || isFinishing || wantsShutdown {
        scheduleFlush()
      } else if drainMark < 0 {
        resumeDrainer()
      }
    }
  }

  private func resumeReader() {
    guard let waiting = reader else { return }
    reader = nil
    waiting.resume()
  }

  private func resumeDrainer() {
    guard let waiting = drainer else { return }
    drainer = nil
    drainMark = 0
    waiting.resume()
  }

  /// Keeps one timer for both deadlines. A deadline that only moves back costs nothing: the timer
  /// fires at the old time, sees that nothing is due, and sleeps on.
  private func armTimer(_ deadline: LoopInstant?) {
    guard let deadline else { return }
    if let timerDue, timer != nil, timerDue <= deadline { return }
    if let timer { loop.cancel(timer) }
    timerDue = deadline
    timer = loop.schedule(at: deadline) { self.deadlineReached() }
  }

  private func deadlineReached() {
    timer = nil
    timerDue = nil
    let now = loop.now
    if let due = readDeadline, reader != nil {
      if due <= now { resumeReader() } else { armTimer(due) }
    }
    if let due = drainDeadline, drainer != nil {
      if due <= now { resumeDrainer() } else { armTimer(due) }
    }
  }
}
