import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Synchronization
import Testing

/// A server on a loop of its own, and what a test does to it from the same loop.
///
/// Results leave the loop as values: a closure inside `#expect` would not run on it.
struct ServerFixture: Sendable {
  let loop: EventLoop
  let server: HTTPServer
  let address: SocketAddress

  static func run<R: Sendable>(
    _ configuration: HTTPServer.Configuration = HTTPServer.Configuration(),
    observer: (any HTTPServerObserver)? = nil, handler: @escaping HTTPHandler = echo,
    _ body: @escaping @Sendable (ServerFixture) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "http-test")
    defer { loop.shutDown() }
    let server = HTTPServer(loop: loop, configuration: configuration, observer: observer, handler: handler)
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    server.listen(listener)
    let fixture = ServerFixture(loop: loop, server: server, address: listener.address)
    return try await loop.shard.run { shard in
      // The shard must be named: a closure with `_` for it does not stay on the loop.
      precondition(shard.loop.inLoop)
      return try await body(fixture)
    }
  }

  /// Time enough for anything that should happen at all.
  var soon: LoopInstant { loop.now + .seconds(10) }

  func connect() async throws -> HTTPClientConnection {
    try await HTTPClientConnection.connect(to: address, on: loop, deadline: soon)
  }

  /// Everything the server says until it closes; nil when it does not close in time.
  func readToEnd(_ socket: Socket) async -> String? {
    var buffer = ByteBuffer()
    do {
      while try await socket.read(into: &buffer, deadline: soon) > 0 {}
    } catch {
      if error == .timedOut { return nil }
    }
    return String(decoding: buffer.readable, as: UTF8.self)
  }

  /// Sends bytes on a new connection and reads until the server closes.
  func exchange(_ text: String) async throws -> String? {
    let socket = try await Socket.connect(to: address, on: loop, deadline: soon)
    defer { socket.close() }
    socket.write(Array(text.utf8))
    return await readToEnd(socket)
  }

  /// Answers with method, path and body.
  static let echo: HTTPHandler = { request in
    .response(
      .text(.ok, "\(request.method) \(request.path) \(String(decoding: request.body, as: UTF8.self))"))
  }
}

/// Keeps what a server reports.
final class RecordingObserver: HTTPServerObserver {
  struct Seen {
    var opened = 0
    var closed = 0
    var records: [HTTPExchangeRecord] = []
  }

  private let state = Mutex(Seen())

  var seen: Seen { state.withLock { $0 } }

  func connectionOpened() { state.withLock { $0.opened += 1 } }
  func connectionClosed() { state.withLock { $0.closed += 1 } }
  func requestFinished(_ record: HTTPExchangeRecord) { state.withLock { $0.records.append(record) } }
}

/// A value that a test sets on one side and reads on the other.
final class Box<Value: Sendable>: Sendable {
  private let state: Mutex<Value>

  init(_ value: Value) {
    state = Mutex(value)
  }

  var value: Value {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }
}
