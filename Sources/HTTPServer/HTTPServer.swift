package import EventLoop
import HTTPWire

/// Serves HTTP/1.1 on one loop: one task per connection, which reads, calls the handler and writes
/// until the connection closes.
///
/// Pipelined requests are answered in order, one at a time. An idle connection holds no buffer. The
/// server keeps count of its connections, refuses those beyond its bound, and can drain: it stops
/// accepting, lets requests in flight finish, and closes.
///
/// A process has one server per loop; the kernel deals the connections out. Every call but `listen`
/// is on the loop.
package final class HTTPServer: @unchecked Sendable {
  // Safe because: mutable state is used on the loop only; each entry asserts it.

  private enum Entry {
    case http(HTTPConnection)
    /// Belongs to another protocol now.
    case upgraded(Socket)
  }

  package let loop: EventLoop
  package let configuration: Configuration
  let handler: HTTPHandler
  let observer: (any HTTPServerObserver)?

  /// Set by `drain` and never taken back.
  package private(set) var isDraining = false
  /// Bytes of bodies that connections hold at the moment.
  package internal(set) var bufferedBodyBytes = 0

  private var listeners: [Listener] = []
  private var entries: [ObjectIdentifier: Entry] = [:]
  private var drainWaiter: UnsafeContinuation<Void, Never>?
  private var dateText = ""
  private var dateSecond = -1

  package init(
    loop: EventLoop, configuration: Configuration = Configuration(),
    observer: (any HTTPServerObserver)? = nil, handler: @escaping HTTPHandler
  ) {
    self.loop = loop
    self.configuration = configuration
    self.observer = observer
    self.handler = handler
  }

  /// Connections that are open, upgraded ones among them.
  package var connectionCount: Int { entries.count }

  /// Accepts connections from a listener of the same loop. From any thread.
  package func listen(_ listener: Listener) {
    loop.execute {
      guard !self.isDraining else { return listener.close() }
      self.listeners.append(listener)
      listener.accept { socket, shard in
        precondition(shard.loop === self.loop, "the listener belongs to another loop")
        await self.serve(socket)
      }
    }
  }

  /// Serves one connection until it closes or another protocol takes it over in a task of its own.
  package func serve(_ socket: Socket) async {
    loop.assertInLoop()
    let isFull = entries.count >= configuration.connectionsMax
    guard !isFull || entries.count < configuration.connectionsMax + configuration.refusalsMax else {
      return socket.close()
    }
    observer?.connectionOpened()
    let key = ObjectIdentifier(socket)
    if let upgrade = await serveRequests(socket, key, isRefused: isFull) {
      entries[key] = .upgraded(socket)
      // In a task of its own: a task keeps the memory of its deepest frames for life, and what comes
      // now may wait for hours.
      socket.outlivesItsTask = true
      loop.spawn { shard in
        _ = shard.loop
        await upgrade.body(socket, upgrade.leftover)
        self.ended(socket, key)
      }
      return
    }
    ended(socket, key)
  }

  private func ended(_ socket: Socket, _ key: ObjectIdentifier) {
    socket.close()
    entries[key] = nil
    observer?.connectionClosed()
    if isDraining && entries.isEmpty { finishDrain() }
  }

  /// Apart from `serve`, so that an upgraded connection keeps nothing of it.
  private func serveRequests(
    _ socket: Socket, _ key: ObjectIdentifier, isRefused: Bool
  ) async -> HTTPConnection.Upgrade? {
    let connection = HTTPConnection(server: self, socket: socket)
    entries[key] = .http(connection)
    guard !isRefused && !isDraining else {
      await connection.refuse()
      return nil
    }
    return await connection.run()
  }

  /// Stops accepting, closes idle connections, and waits until the others are done. Answers sent from
  /// now on say `Connection: close`. Upgraded connections are their owner's to end; what is left at
  /// the deadline is cut off.
  package func drain(deadline: LoopInstant) async {
    loop.assertInLoop()
    isDraining = true
    for listener in listeners { listener.close() }
    listeners = []
    for case .http(let connection) in Array(entries.values) { connection.closeIfIdle() }
    guard !entries.isEmpty, drainWaiter == nil else { return }
    let timer = loop.schedule(at: deadline) { [weak self] in self?.cutOff() }
    await withUnsafeContinuation { drainWaiter = $0 }
    loop.cancel(timer)
  }

  private func cutOff() {
    for entry in Array(entries.values) {
      switch entry {
      case .http(let connection): connection.socket.close()
      case .upgraded(let socket): socket.close()
      }
    }
    finishDrain()
  }

  private func finishDrain() {
    guard let waiting = drainWaiter else { return }
    drainWaiter = nil
    waiting.resume()
  }

  /// The Date field, made once a second.
  func date() -> String {
    let second = configuration.unixSeconds()
    if second != dateSecond {
      dateSecond = second
      dateText = HTTPDate.format(unixSeconds: second)
    }
    return dateText
  }
}
