import Bytes
package import EventLoop
package import HTTPWire

/// Why one connection gave no answer.
package enum HTTPConnectionError: Error, Equatable, Sendable {
  case socket(SocketError)
  case malformedResponse(HTTPParseError)
  case malformedRequest(HTTPWriteError)
  /// The server closed before or inside the answer.
  case closedByServer
  /// `receive` without a request that waits for an answer.
  case nothingSent
}

/// One HTTP/1.1 connection from the client's side: what `HTTPClient` exchanges over, and by itself what tests
/// and measurements need. Requests may be sent ahead, answers come in their order. On its loop, by one task
/// at a time.
package final class HTTPClientConnection: @unchecked Sendable {
  // Safe because: confined to the socket's loop, which `Socket` asserts.

  package let socket: Socket
  private let host: String
  private var parser: ResponseParser
  private var inbound = ByteBuffer()
  /// Methods of requests that have no answer yet, the oldest first.
  private var unanswered: [HTTPMethod] = []
  /// Bytes received since the last `begin` or `receive`.
  private(set) var answerBytes = 0

  /// Takes a connected socket over.
  package init(_ socket: Socket, host: String? = nil, limits: HTTPLimits = HTTPLimits()) {
    self.socket = socket
    self.host = host ?? (socket.peer.port == nil ? "localhost" : socket.peer.description)
    parser = ResponseParser(limits: limits)
  }

  package static func connect(
    to address: SocketAddress, on loop: EventLoop, tls: TLSContext? = nil, serverName: String? = nil,
    deadline: LoopInstant? = nil
  ) async throws(HTTPConnectionError) -> HTTPClientConnection {
    do {
      let socket = try await Socket.connect(to: address, on: loop, deadline: deadline)
      if let tls { try await socket.startTLS(tls, serverName: serverName, deadline: deadline) }
      return HTTPClientConnection(socket)
    } catch {
      throw .socket(error)
    }
  }

  /// Queues a request.
  package func send(
    _ method: HTTPMethod, _ target: String, headers: HTTPHeaders = [:], body: [UInt8] = []
  ) throws(HTTPConnectionError) {
    do {
      socket.write(try RequestWriter.encode(method, target, host: host, headers: headers, body: body))
    } catch {
      throw .malformedRequest(error)
    }
    unanswered.append(method)
  }

  /// Queues bytes as they are; they are one request of `method`.
  package func sendRaw(_ bytes: [UInt8], answers method: HTTPMethod = .get) {
    socket.write(bytes)
    unanswered.append(method)
  }

  /// Waits for the answer to the oldest request without one. The body limit is that of the limits.
  package func receive(deadline: LoopInstant? = nil) async throws(HTTPConnectionError) -> HTTPClientResponse {
    guard let method = unanswered.first else { throw .nothingSent }
    parser.begin(method)
    answerBytes = 0
    var informational: [Int] = []
    var head: HTTPResponseHead?
    var body: [UInt8] = []
    while true {
      switch try await nextEvent(deadline) {
      case .needMoreData: continue
      case .informational(let interim): informational.append(interim.status.code)
      case .head(let final, _): head = final
      case .bodyPart(let part):
        if body.isEmpty { body = part } else { body.append(contentsOf: part) }
      case .end(let trailers):
        guard let head else { throw .closedByServer }
        unanswered.removeFirst()
        return HTTPClientResponse(head: head, body: body, trailers: trailers, informational: informational)
      }
    }
  }

  /// Sends a request and waits for its answer.
  package func request(
    _ method: HTTPMethod, _ target: String, headers: HTTPHeaders = [:], body: [UInt8] = [],
    deadline: LoopInstant? = nil
  ) async throws(HTTPConnectionError) -> HTTPClientResponse {
    try send(method, target, headers: headers, body: body)
    return try await receive(deadline: deadline)
  }

  /// The last answer ended by its own framing and not with the connection.
  private(set) var endedByFraming = true

  /// Makes ready for the answer to a request of `method` that was written to the socket by other means.
  func begin(_ method: HTTPMethod, bodyBytesMax: Int) {
    parser.begin(method, bodyBytesMax: bodyBytesMax)
    answerBytes = 0
  }

  /// Bytes came behind the last answer, which nobody asked for.
  var hasLeftover: Bool { !inbound.isEmpty }

  /// Bytes behind the last answer, for whoever goes on with the socket after a 101.
  package func takeLeftover() -> [UInt8] { inbound.readAll() }

  package func close() { socket.close() }

  /// Reads on in the answer. `needMoreData` only says that something came.
  func nextEvent(_ deadline: LoopInstant?) async throws(HTTPConnectionError) -> ResponseParser.Event {
    do {
      let event = try parser.read(&inbound)
      guard event == .needMoreData else { return event }
    } catch {
      throw .malformedResponse(error)
    }
    // Out of the object while the read suspends: an access must not last across it.
    var buffer = inbound
    inbound = ByteBuffer()
    let count: Int
    do {
      count = try await socket.read(into: &buffer, deadline: deadline)
    } catch {
      inbound = buffer
      throw .socket(error)
    }
    inbound = buffer
    answerBytes += count
    guard count == 0 else { return .needMoreData }
    // Anybody on the way can end a connection; under TLS only the server can say that this is the end.
    guard socket.hasCleanEnd else { throw .closedByServer }
    do {
      if let event = try parser.endOfInput() {
        endedByFraming = false
        return event
      }
    } catch {
      throw .closedByServer
    }
    throw .closedByServer
  }
}
