import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import SocketIOWire
import Synchronization
import Testing
import WebSocketWire

@testable import SocketIOServer

/// Echoes what it gets and keeps a list of what happened to it, in order.
final class EchoApplication: SocketIOApplication {
  private let seen = Mutex<[String]>([])
  private let met = Mutex<SocketIOSocket?>(nil)

  /// The socket that connected last.
  var socket: SocketIOSocket? { met.withLock { $0 } }

  var log: [String] { seen.withLock { $0 } }

  private func note(_ line: String) { seen.withLock { $0.append(line) } }

  func connect(_ socket: SocketIOSocket, auth: [UInt8]) async -> SocketIOAdmission {
    guard ["/", "/custom"].contains(socket.namespace) else { return .refuse(message: "Invalid namespace") }
    if String(decoding: auth, as: UTF8.self).contains("bad") {
      return .refuse(message: "no \"entry\"", json: Array(#"{"code":7}"#.utf8))
    }
    note("connect \(socket.namespace)")
    met.withLock { $0 = socket }
    socket.join("all")
    socket.emit(event: "auth", json: auth.isEmpty ? Array("{}".utf8) : auth)
    return .accept
  }

  func event(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], acknowledge: (@Sendable ([UInt8]) -> Void)?
  ) async {
    note("event \(name)")
    let json = Array(arguments.joined(separator: [UInt8(ascii: ",")]))
    switch name {
    case "message": socket.emit(event: "message-back", json: json)
    case "message-with-ack":
      acknowledge?([UInt8(ascii: "[")] + json + [UInt8(ascii: "]")])
    case "leave": socket.disconnect()
    case "leave-all": socket.disconnect(close: true)
    case "join": socket.join("other")
    case "many":
      for number in 0..<40 { socket.emit(event: "n", json: Array(String(number).utf8)) }
    default: break
    }
  }

  func binaryEvent(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], attachments: [[UInt8]],
    acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
  ) async {
    note("event \(name)")
    socket.emit(
      SocketIOFrame(
        event: "\(name)-back", json: Array(arguments.joined(separator: [UInt8(ascii: ",")])),
        attachments: attachments, namespace: socket.namespace))
  }

  func disconnected(_ socket: SocketIOSocket, reason: SocketIODisconnectReason) async {
    note("disconnected \(socket.namespace) \(reason.rawValue)")
  }
}

/// A server on a loop of its own. Results leave the loop as values.
struct SocketIOFixture: Sendable {
  let loop: EventLoop
  let server: SocketIOServer
  let application: EchoApplication
  let address: SocketAddress

  static func run<R: Sendable>(
    _ adjust: @Sendable (inout SocketIOConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable (SocketIOFixture) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "sio-test")
    defer { loop.shutDown() }
    var configuration = SocketIOConfiguration()
    adjust(&configuration)
    let application = EchoApplication()
    let server = SocketIOServer(loop: loop, configuration: configuration, application: application)
    let http = HTTPServer(loop: loop) { await server.handle($0) }
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    http.listen(listener)
    let fixture = SocketIOFixture(
      loop: loop, server: server, application: application, address: listener.address)
    return try await loop.shard.run { shard in
      // The shard must be named: a closure with `_` for it does not stay on the loop.
      shard.assertIsolated()
      return try await body(fixture)
    }
  }

  var soon: LoopInstant { loop.now + .seconds(10) }

  func http() async throws -> HTTPClientConnection {
    try await HTTPClientConnection.connect(to: address, on: loop, deadline: soon)
  }

  /// Opens a polling session; the id.
  func openPolling(_ http: HTTPClientConnection) async throws -> String {
    let text = try await get(http, "").text
    return sessionID(in: text)
  }

  func get(
    _ http: HTTPClientConnection, _ session: String, headers: HTTPHeaders = [:]
  ) async throws -> HTTPClientResponse {
    try await http.request(.get, target("polling", session), headers: headers, deadline: soon)
  }

  func post(_ http: HTTPClientConnection, _ session: String, _ body: String) async throws
    -> HTTPClientResponse
  {
    try await http.request(.post, target("polling", session), body: Array(body.utf8), deadline: soon)
  }

  func target(_ transport: String, _ session: String, revision: Int = 4, more: String = "") -> String {
    "/socket.io/?EIO=\(revision)&transport=\(transport)" + (session.isEmpty ? "" : "&sid=\(session)") + more
  }

  func sessionID(in open: String) -> String {
    open.split(separator: "\"").dropFirst(3).first.map(String.init) ?? ""
  }

  /// Opens a WebSocket; nil when the server refuses.
  func webSocket(
    _ session: String = "", revision: Int = 4, more: String = "", headers: HTTPHeaders = [:]
  ) async throws -> WebSocketConnection? {
    let http = try await http()
    var fields: HTTPHeaders = [
      "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ]
    fields.add(contentsOf: headers)
    let target = target("websocket", session, revision: revision, more: more)
    let response = try await http.request(.get, target, headers: fields, deadline: soon)
    guard response.status == .switchingProtocols else {
      http.close()
      return nil
    }
    return WebSocketConnection(
      socket: http.socket, leftover: ByteBuffer(http.takeLeftover()),
      configuration: WebSocketConnection.Configuration(pingInterval: nil), maskKeys: { 0x1234_5678 })
  }

  /// Opens a WebSocket that the server must take. (`#require` around an `await` would leave the loop.)
  func opened(
    _ session: String = "", revision: Int = 4, more: String = ""
  ) async throws -> WebSocketConnection {
    let connection = try await webSocket(session, revision: revision, more: more)
    return try #require(connection)
  }

  /// Opens a WebSocket session and joins `/`.
  func joined() async throws -> WebSocketConnection {
    let connection = try await opened()
    _ = await connection.receive()
    connection.send(text: "40")
    _ = await connection.receive()
    _ = await connection.receive()
    return connection
  }

  /// The next text message; nil when the connection is over.
  func text(_ connection: WebSocketConnection) async -> String? {
    guard let message = await connection.receive() else { return nil }
    return String(decoding: message.bytes, as: UTF8.self)
  }

  /// Waits until something is so, and gives up after a while.
  func until(_ isSo: () -> Bool) async throws {
    for _ in 0..<500 where !isSo() { try await loop.sleep(for: .milliseconds(5)) }
  }
}
