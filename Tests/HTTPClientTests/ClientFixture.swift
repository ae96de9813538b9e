import Bytes
import EventLoop
import Foundation
import HTTPClient
import HTTPServer
import HTTPWire
import Synchronization
import Testing

/// A client and servers on one loop.
///
/// Results leave the loop as values: a closure inside `#expect` would not run on it.
struct ClientFixture: Sendable {
  typealias Script = @Sendable (Peer, isolated Shard) async throws -> Void

  let loop: EventLoop
  let client: HTTPClient

  /// - Parameter names: addresses of names; without an entry a name has none.
  static func run<R: Sendable>(
    names: [String: [String]] = [:], observer: (any HTTPClientObserver)? = nil,
    trusting authorities: String? = nil,
    configure: (inout HTTPClient.Configuration) -> Void = { _ in },
    _ body: @escaping @Sendable (ClientFixture) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "client-test")
    defer { loop.shutDown() }
    var configuration = HTTPClient.Configuration(tls: try TLSContext(clientTrusting: authorities))
    configuration.nameCacheLifetime = .zero
    configure(&configuration)
    let client = HTTPClient(
      loop: loop, blocking: BlockingPool(), configuration: configuration, observer: observer
    ) { name in
      (names[name] ?? []).compactMap { SocketAddress(host: $0, port: 0) }
    }
    let fixture = ClientFixture(loop: loop, client: client)
    return try await loop.shard.run { shard in
      // The shard must be named: a closure with `_` for it does not stay on the loop.
      precondition(shard.loop.inLoop)
      return try await body(fixture)
    }
  }

  /// A server of the hub's own. - Returns: its URL without a path.
  func serve(
    _ configuration: HTTPServer.Configuration = HTTPServer.Configuration(), host: String = "127.0.0.1",
    _ handler: @escaping HTTPHandler
  ) throws -> String {
    let server = HTTPServer(loop: loop, configuration: configuration, observer: nil, handler: handler)
    let listener = try Listener.bind(try #require(SocketAddress(host: host, port: 0)), on: loop)
    server.listen(listener)
    return "\(configuration.tls == nil ? "http" : "https")://\(listener.address)"
  }

  /// A server that says what the script says; each connection runs it anew. - Returns: its URL.
  func serveRaw(_ script: @escaping Script) throws -> String {
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    let opened = Mutex(0)
    listener.accept { socket, shard in
      let number = opened.withLock { count -> Int in
        count += 1
        return count
      }
      try? await script(Peer(socket: socket, number: number), shard)
      // What was said leaves before the connection is closed.
      try? await socket.drain(below: 0, deadline: shard.loop.now + .seconds(2))
    }
    return "http://\(listener.address)"
  }

  func outcome(_ request: HTTPClientRequest) async -> Result<HTTPClientResponse, HTTPClientError> {
    do throws(HTTPClientError) {
      return .success(try await client.send(request))
    } catch {
      return .failure(error)
    }
  }

  func error(_ request: HTTPClientRequest) async -> HTTPClientError? {
    if case .failure(let error) = await outcome(request) { return error }
    return nil
  }

  /// Lets the loop take turns until the condition holds, ten seconds at most.
  func until(_ condition: @Sendable () async -> Bool) async throws {
    let end = LoopInstant.current() + .seconds(10)
    while !(await condition()) {
      guard LoopInstant.current() < end else { throw NeverHappened() }
      try await loop.sleep(for: .milliseconds(5))
    }
  }

  struct NeverHappened: Error {}
}

/// The server's end of a connection that a test scripts.
final class Peer: Sendable {
  let socket: Socket
  /// Counted from 1.
  let number: Int

  init(socket: Socket, number: Int) {
    self.socket = socket
    self.number = number
  }

  func say(_ text: String) {
    socket.write(Array(text.utf8))
  }

  func sayAndClose(_ text: String) async throws {
    say(text)
    try await socket.drain(below: 0)
    socket.closeAfterFlush(deadline: socket.loop.now + .seconds(2))
  }

  /// Reads a request's head, and as much body as its length says. - Returns: nil at the end.
  @discardableResult
  func hear() async throws -> String? {
    var buffer = ByteBuffer()
    while true {
      guard try await socket.read(into: &buffer, deadline: socket.loop.now + .seconds(10)) > 0 else {
        return buffer.isEmpty ? nil : String(decoding: buffer.readable, as: UTF8.self)
      }
      let text = String(decoding: buffer.readable, as: UTF8.self)
      guard let end = text.range(of: "\r\n\r\n") else { continue }
      let length = text.firstMatch(of: /(?i)content-length: (\d+)/).flatMap { Int($0.output.1) } ?? 0
      if text[end.upperBound...].utf8.count >= length { return text }
    }
  }

  /// Waits until the client closes.
  func waitForEnd() async {
    var buffer = ByteBuffer()
    while let count = try? await socket.read(into: &buffer, deadline: socket.loop.now + .seconds(10)),
      count > 0
    {}
  }

  static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
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

  func change(_ body: (inout Value) -> Void) {
    state.withLock { body(&$0) }
  }
}

extension HTTPClientRequest {
  static func get(_ url: String, _ change: (inout HTTPClientRequest) -> Void = { _ in }) throws
    -> HTTPClientRequest
  {
    var request = try HTTPClientRequest(.get, url)
    request.timeout = .seconds(10)
    change(&request)
    return request
  }

  static func post(
    _ url: String, _ body: String = "x", _ change: (inout HTTPClientRequest) -> Void = { _ in }
  ) throws -> HTTPClientRequest {
    var request = try HTTPClientRequest(.post, url, body: Array(body.utf8))
    request.timeout = .seconds(10)
    change(&request)
    return request
  }
}
