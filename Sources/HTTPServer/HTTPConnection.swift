import Bytes
import EventLoop
import HTTPWire

/// The task of one connection: requests in, answers out, until one side has enough.
///
/// All of it runs on the socket's loop. What the connection holds while it waits for its next request
/// is this object, a parser and an empty buffer.
final class HTTPConnection {
  /// What the connection becomes after a 101.
  struct Upgrade {
    let body: @Sendable (Socket, ByteBuffer) async -> Void
    let leftover: ByteBuffer
  }

  /// Why the conversation ends before its natural end.
  private enum Fault: Error {
    /// The peer is gone or does not read: nobody to tell.
    case gone
    /// Tell the peer, then close.
    case refused(HTTPStatus, code: String)
  }

  /// Bytes that came in, and the parser that is in the middle of them.
  private struct Inbound {
    var parser: RequestParser
    var buffer = ByteBuffer()
  }

  /// One request from its head to its answer.
  private struct Exchange {
    let head: HTTPRequestHead
    let start: LoopInstant
    var requestBodyBytes = 0
    var responseBodyBytes = 0
  }

  let socket: Socket
  private unowned let server: HTTPServer
  private let output: PacedOutput
  private let peer: String
  /// Waits for the first byte of a request, so nothing is lost by closing.
  private var isIdle = false
  private var staysOpen = true
  private var answersInTurn = 0

  init(server: HTTPServer, socket: Socket) {
    self.server = server
    self.socket = socket
    output = PacedOutput(socket: socket, stallMax: server.configuration.writeStallMax)
    peer = socket.peer.host
  }

  private var configuration: HTTPServer.Configuration { server.configuration }
  private var now: LoopInstant { socket.loop.now }

  func closeIfIdle() {
    if isIdle { socket.close() }
  }

  /// Says 503 to a connection that is one too many.
  func refuse() async {
    // Under TLS even the refusal would cost a handshake.
    guard configuration.tls == nil else { return socket.close() }
    await refuse(.serviceUnavailable, code: "overloaded", nil)
    await linger()
  }

  /// Serves until the connection closes.
  ///
  /// - Returns: what it was upgraded to, nil when it is closed.
  func run() async -> Upgrade? {
    var inbound = Inbound(parser: RequestParser(limits: configuration.limits))
    var current: Exchange?
    do throws(Fault) {
      try await startTLS()
      var isFirst = true
      while staysOpen, let (head, kind) = try await nextHead(&inbound, isFirst: isFirst) {
        isFirst = false
        current = Exchange(head: head, start: LoopInstant.current())
        if let upgrade = try await exchange(&current, kind, &inbound) { return upgrade }
        current = nil
        try await yieldIfLong()
      }
    } catch {
      switch error {
      case .gone: socket.close()
      case .refused(let status, let code): await refuse(status, code: code, current)
      }
    }
    inbound.buffer = ByteBuffer()
    await linger()
    return nil
  }

  private func startTLS() async throws(Fault) {
    guard let tls = configuration.tls else { return }
    do {
      try await socket.startTLS(tls, deadline: now + configuration.headDeadline)
    } catch {
      throw .gone
    }
  }

  // MARK: Reading

  /// nil when the connection ends between two requests.
  private func nextHead(
    _ inbound: inout Inbound, isFirst: Bool
  ) async throws(Fault) -> (HTTPRequestHead, HTTPBodyKind)? {
    // A new connection that says nothing is held no longer than a slow one.
    var deadline = now + (isFirst ? configuration.headDeadline : configuration.idleMax)
    var hasBegun = false
    while true {
      if case .head(let head, let kind) = try parse(&inbound) { return (head, kind) }
      if !hasBegun && !inbound.buffer.isEmpty {
        hasBegun = true
        if !isFirst { deadline = now + configuration.headDeadline }
      }
      if server.isDraining && !hasBegun { return nil }
      isIdle = !hasBegun
      defer { isIdle = false }
      let isOpen = try await receive(&inbound, deadline, lateCode: hasBegun ? "head_too_slow" : nil)
      // Closed in the middle of a head: there is nothing to answer.
      guard isOpen else { return nil }
    }
  }

  private func readBody(
    _ exchange: inout Exchange, _ kind: HTTPBodyKind, _ inbound: inout Inbound
  ) async throws(Fault) -> [UInt8] {
    let limit = configuration.bodyBytesMax(exchange.head)
    inbound.parser.bodyBytesMax = limit
    var body: [UInt8] = []
    let start = now
    if case .length(let bytes) = kind, bytes > limit {
      throw .refused(.contentTooLarge, code: "body_too_large")
    }
    if exchange.head.expectsContinue && kind != .none && inbound.buffer.isEmpty {
      // The route takes a body of this size, so the client may send it (RFC 9110 section 10.1.1).
      socket.write(ResponseWriter.continueHead)
    }
    while true {
      switch try parse(&inbound) {
      case .bodyPart(let part):
        try hold(part.count)
        exchange.requestBodyBytes += part.count
        if body.isEmpty { body = part } else { body.append(contentsOf: part) }
      case .end: return body
      case .needMoreData, .head:
        let earned = Duration.seconds(body.count / max(configuration.bodyBytesPerSecondMin, 1))
        let deadline = start + configuration.bodyDeadline + earned
        guard try await receive(&inbound, deadline, lateCode: "body_too_slow") else { throw .gone }
      }
    }
  }

  /// Counts body bytes against the bound of the whole loop.
  private func hold(_ bytes: Int) throws(Fault) {
    guard server.bufferedBodyBytes + bytes <= configuration.bufferedBodyBytesMax else {
      throw .refused(.serviceUnavailable, code: "overloaded")
    }
    server.bufferedBodyBytes += bytes
  }

  private func parse(_ inbound: inout Inbound) throws(Fault) -> RequestParser.Event {
    do {
      return try inbound.parser.read(&inbound.buffer)
    } catch {
      throw .refused(error.status, code: HTTPProblem.code(of: error))
    }
  }

  /// - Parameter lateCode: the code of the 408 at the deadline; nil to close without a word.
  /// - Returns: false when the peer has closed its side.
  private func receive(
    _ inbound: inout Inbound, _ deadline: LoopInstant, lateCode: String?
  ) async throws(Fault) -> Bool {
    answersInTurn = 0
    do {
      return try await socket.read(into: &inbound.buffer, deadline: deadline) > 0
    } catch {
      if case .timedOut = error, let lateCode { throw .refused(.requestTimeout, code: lateCode) }
      throw .gone
    }
  }

  // MARK: Answering

  /// Reads the body, calls the handler, sends its answer.
  private func exchange(
    _ current: inout Exchange?, _ kind: HTTPBodyKind, _ inbound: inout Inbound
  ) async throws(Fault) -> Upgrade? {
    guard var exchange = current else { return nil }
    defer {
      server.bufferedBodyBytes -= exchange.requestBodyBytes
      current = exchange
    }
    let body = try await readBody(&exchange, kind, &inbound)
    let request = HTTPRequest(head: exchange.head, body: body, peer: peer, isSecure: socket.isSecure)
    switch await server.handler(request) {
    case .response(let response):
      try await send(response, &exchange)
    case .stream(let response, let producer):
      try await stream(response, &exchange, producer)
    case .upgrade(let response, let body):
      return try await upgrade(response, &exchange, body, &inbound)
    }
    return nil
  }

  private func writerExchange(_ response: HTTPResponse, _ head: HTTPRequestHead) -> ResponseWriter.Exchange {
    staysOpen =
      head.keepAlive && !server.isDraining && !response.headers.list("connection", contains: "close")
    return ResponseWriter.Exchange(
      method: head.method, version: head.version, keepAlive: staysOpen, date: server.date())
  }

  private func send(_ response: HTTPResponse, _ exchange: inout Exchange) async throws(Fault) {
    let context = writerExchange(response, exchange.head)
    // An interim status is no answer to a request.
    guard !response.status.isInformational else { return try await sendInternalError(&exchange) }
    let encoded: EncodedResponse
    do {
      encoded = try ResponseWriter.encode(response, for: context)
    } catch {
      // The handler made a field that would break the message.
      return try await sendInternalError(&exchange)
    }
    if exchange.head.method != .head { exchange.responseBodyBytes = response.body.bytes.count }
    finish(exchange, response.status)
    try await write(encoded.head)
    if !encoded.body.isEmpty { try await write(encoded.body) }
  }

  private func sendInternalError(_ exchange: inout Exchange) async throws(Fault) {
    let problem = HTTPProblem.response(.internalServerError, code: "internal")
    guard let encoded = try? ResponseWriter.encode(problem, for: writerExchange(problem, exchange.head))
    else {
      throw .gone
    }
    finish(exchange, problem.status)
    try await write(encoded.head)
  }

  private func stream(
    _ response: HTTPResponse, _ exchange: inout Exchange,
    _ producer: @Sendable (HTTPBodyStream) async throws -> Void
  ) async throws(Fault) {
    let context = writerExchange(response, exchange.head)
    guard let (head, framing) = try? ResponseWriter.encodeStreamHead(response, for: context) else {
      return try await sendInternalError(&exchange)
    }
    if framing == .untilClose { staysOpen = false }
    try await write(head)
    if framing != .none {
      do {
        try await producer(HTTPBodyStream(output, framing: framing))
      } catch {
        finish(exchange, response.status)
        throw .gone
      }
    }
    finish(exchange, response.status)
    if framing == .chunked { try await write(ResponseWriter.lastChunk) }
  }

  private func upgrade(
    _ response: HTTPResponse, _ exchange: inout Exchange,
    _ body: @escaping @Sendable (Socket, ByteBuffer) async -> Void, _ inbound: inout Inbound
  ) async throws(Fault) -> Upgrade? {
    guard
      let encoded = try? ResponseWriter.encode(response, for: writerExchange(response, exchange.head))
    else {
      try await sendInternalError(&exchange)
      return nil
    }
    finish(exchange, response.status)
    try await write(encoded.head)
    return Upgrade(body: body, leftover: inbound.buffer)
  }

  private func write(_ bytes: [UInt8]) async throws(Fault) {
    do {
      try await output.write(bytes)
    } catch {
      throw .gone
    }
  }

  /// Answers with a problem and closes.
  private func refuse(_ status: HTTPStatus, code: String, _ exchange: Exchange?) async {
    staysOpen = false
    var problem = HTTPProblem.response(status, code: code)
    if status == .serviceUnavailable {
      problem.headers.set("Retry-After", String(configuration.retryAfterSeconds))
    }
    let context = ResponseWriter.Exchange(
      method: exchange?.head.method ?? .get, keepAlive: false, date: server.date())
    guard let encoded = try? ResponseWriter.encode(problem, for: context) else { return }
    socket.write(encoded.head)
    finish(exchange, status)
  }

  private func finish(_ exchange: Exchange?, _ status: HTTPStatus) {
    guard let observer = server.observer else { return }
    observer.requestFinished(
      HTTPExchangeRecord(
        method: exchange?.head.method,
        route: exchange.flatMap { configuration.routeLabel($0.head) },
        status: status,
        duration: exchange.map { LoopInstant.current() - $0.start } ?? .zero,
        requestBodyBytes: exchange?.requestBodyBytes ?? 0,
        responseBodyBytes: exchange?.responseBodyBytes ?? 0))
  }

  /// A client with many pipelined requests lets the other connections have their turn.
  private func yieldIfLong() async throws(Fault) {
    answersInTurn += 1
    guard answersInTurn >= configuration.requestsPerTurnMax else { return }
    answersInTurn = 0
    do {
      try await socket.loop.sleep(for: .zero)
    } catch {
      throw .gone
    }
  }

  /// Sends what is queued, says that nothing follows, and reads until the client has closed too, so
  /// that the last answer is not destroyed by a reset (RFC 9112 section 9.6).
  private func linger() async {
    guard !socket.isClosed else { return }
    socket.shutdownAfterFlush()
    do throws(SocketError) {
      try await socket.drain(below: 0, deadline: now + configuration.writeStallMax)
      let deadline = now + configuration.lingerMax
      while now < deadline {
        var scrap = ByteBuffer()
        if try await socket.read(into: &scrap, deadline: deadline) == 0 { break }
      }
    } catch {
      // Gone, or too slow: the close below is all that is left to do.
    }
    socket.close()
  }
}
