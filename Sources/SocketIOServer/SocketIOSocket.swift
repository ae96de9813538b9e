package import EventLoop
package import HTTPWire
package import SocketIOWire

/// What the client's first request said.
package struct SocketIOHandshake: Sendable {
  package let headers: HTTPHeaders
  package let query: URLQuery
  package let peer: String
  package let isSecure: Bool

  /// What is kept of it when it has been looked at.
  var trimmed: SocketIOHandshake {
    SocketIOHandshake(headers: HTTPHeaders(), query: URLQuery(), peer: peer, isSecure: isSecure)
  }
}

/// One client in one namespace. Used on its server's loop only.
package final class SocketIOSocket: @unchecked Sendable, Hashable {
  // Safe because: confined to its server's loop; whatever it does goes through the client, which
  // asserts it.

  enum State {
    /// The application is being asked; what it emits meanwhile waits for the answer.
    case connecting([SocketIOFrame])
    case connected
    case disconnected
  }

  /// Public: other clients may know it. Not the session id, which is a secret. A client that is recovered
  /// gets that which it had, when it is.
  package internal(set) var id: String
  package let namespace: String
  /// Something of the application's own.
  package var context: (any Sendable)?

  /// nil once it has left: until then the two hold each other.
  private var client: SocketIOClient?
  private let server: SocketIOServer
  var state = State.connecting([])
  package internal(set) var rooms: [String] = []
  /// Answers that are awaited, by number.
  private var awaited: [UInt64: UnsafeContinuation<Result<SocketIOAnswer, SocketIOAnswerError>, Never>] = [:]
  private var answersAsked: UInt64 = 0

  init(id: String, namespace: String, client: SocketIOClient, server: SocketIOServer) {
    self.id = id
    self.namespace = namespace
    self.client = client
    self.server = server
  }

  /// Headers and query are there while `connect` runs and are given up after it; the peer stays.
  package var handshake: SocketIOHandshake {
    client?.handshake
      ?? SocketIOHandshake(headers: HTTPHeaders(), query: URLQuery(), peer: "", isSecure: false)
  }

  /// Whether the client knows of connection state recovery: those of Socket.IO 3 and later, by its wire
  /// form.
  package var canRecover: Bool { client?.canRecover ?? false }

  package var isConnected: Bool {
    if case .connected = state { true } else { false }
  }

  package var loop: EventLoop { server.loop }

  /// Sends a frame to everybody in a room of this namespace, on this loop.
  package func emit(toRoom room: String, _ frame: SocketIOFrame) { server.emit(to: room, frame) }

  package var transport: EngineIOSession.Transport { client?.transport ?? .polling }

  /// Bytes sent to this client, in any namespace, that it has not read.
  package var queuedBytes: Int { client?.queuedBytes ?? 0 }

  /// Sends an event. The frame's namespace must be the socket's. Nothing happens after it disconnected; a
  /// client with too much unread is disconnected instead.
  package func emit(_ frame: SocketIOFrame) {
    precondition(
      frame.namespace == namespace, "a frame for \(frame.namespace) sent to a socket in \(namespace)")
    switch state {
    case .connecting(var frames):
      state = .disconnected
      frames.append(frame)
      state = .connecting(frames)
    case .connected: client?.send(frame)
    case .disconnected: break
    }
  }

  /// `json` as in `SocketIOFrame`. For an event with one receiver.
  package func emit(event: String, json: [UInt8]) {
    emit(SocketIOFrame(event: event, json: json, namespace: namespace))
  }

  /// Sends an event only if it can leave at once; for what is worth nothing when it is late. Text only.
  package func emitVolatile(_ frame: SocketIOFrame) {
    guard isConnected, client?.isWritable == true else { return }
    emit(frame)
  }

  /// Answers that one client may owe at a time.
  private static let awaitedMax = 256

  /// Sends an event and waits for the client's answer. Not to be awaited within the application's call for
  /// this socket: while that lasts nothing is read from the client.
  package func request(
    event: String, json: [UInt8], attachments: [[UInt8]] = [], timeout: Duration
  ) async throws(SocketIOAnswerError) -> SocketIOAnswer {
    guard isConnected, let client else { throw .disconnected }
    guard awaited.count < Self.awaitedMax else { throw .tooMany }
    let id = answersAsked
    answersAsked += 1
    client.send(
      SocketIOFrame(
        event: event, json: json, attachments: attachments, namespace: namespace, answerID: id))
    // Sending may have ended a slow client.
    guard isConnected else { throw .disconnected }
    let answer = await withUnsafeContinuation { continuation in
      awaited[id] = continuation
      server.loop.schedule(after: timeout) { [weak self] in self?.settle(id, .failure(.timedOut)) }
    }
    return try answer.get()
  }

  func acknowledged(_ id: UInt64, _ answer: SocketIOAnswer) { settle(id, .success(answer)) }

  private func settle(_ id: UInt64, _ answer: Result<SocketIOAnswer, SocketIOAnswerError>) {
    awaited.removeValue(forKey: id)?.resume(returning: answer)
  }

  /// Out of its namespace: nobody answers any more.
  func leave() {
    state = .disconnected
    client = nil
    let left = awaited
    awaited = [:]
    for continuation in left.values { continuation.resume(returning: .failure(.disconnected)) }
  }

  /// false: it is in too many rooms, or has disconnected.
  @discardableResult
  package func join(_ room: String) -> Bool { server.join(self, room) }

  package func leave(_ room: String) { server.leave(self, room) }

  /// Takes the socket out of its namespace; the client is told, after what was emitted before. With
  /// `close` its whole connection ends too, with all its namespaces.
  package func disconnect(close: Bool = false) {
    client?.disconnect(self, close: close)
  }

  package static func == (left: SocketIOSocket, right: SocketIOSocket) -> Bool { left === right }

  package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
