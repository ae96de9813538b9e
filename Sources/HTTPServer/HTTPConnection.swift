import Bytes
import EventLoop
import HTTPWire

/// The task of one connection: requests in, answers out, until one side has enough.
///
/// All of it runs on the socket's loop. A task keeps the memory of its deepest moment for life, so the
/// asynchronous functions here hold next to nothing: what a request needs lies in `HTTPExchange` and
/// is freed with it, and work that does not wait is done in plain functions that are not inlined.
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

  /// What is left to do of an answer, with its head in bytes.
  private enum Step {
    case send(EncodedResponse)
    case stream([UInt8], ResponseWriter.StreamFraming, @Sendable (HTTPBodyStream) async throws -> Void)
    case upgrade([UInt8], @Sendable (Socket, ByteBuffer) async -> Void)
  }

  let socket: Socket
  private unowned let server: HTTPServer
  private let output: PacedOutput
  private let peer: String
  private var parser: RequestParser
  /// Bytes that came in and that the parser has not taken.
  private var inbound = ByteBuffer()
  /// The request that is being read or answered.
  private var current: HTTPExchange?
  private var deadline: LoopInstant
  private var isFirst = true
  /// Waits for the first byte of a request, so nothing is lost by closing.
  private var isIdle = false
  private var staysOpen = true
  private var answersInTurn = 0

  init(server: HTTPServer, socket: Socket) {
    self.server = server
    self.socket = socket
    output = PacedOutput(socket: socket, stallMax: server.configuration.writeStallMax)
    peer = socket.peer.host
    parser = RequestParser(limits: server.configuration.limits)
    deadline = socket.loop.now + server.configuration.headDeadline
  }

  private var now: LoopInstant { socket.loop.now }

  func closeIfIdle() {
    if isIdle { socket.close() }
  }

  /// Says 503 to a connection that is one too many.
  func refuse() async {
    // Under TLS even the refusal would cost a handshake.
    guard server.configuration.tls == nil else { return socket.close() }
    end(with: .refused(.serviceUnavailable, code: "overloaded"))
    await linger()
  }

  /// Serves until the connection closes.
  ///
  /// - Returns: what it was upgraded to, nil when it is closed.
  func run() async -> Upgrade? {
    do throws(Fault) {
      try await startTLS()
      while staysOpen, try await readHead() {
        try await readBody()
        if let upgrade = try await answer() { return upgrade }
        releaseExchange()
        try await yieldIfLong()
      }
    } catch {
      end(with: error)
    }
    releaseExchange()
    await linger()
    return nil
  }

  private func startTLS() async throws(Fault) {
    guard let tls = server.configuration.tls else { return }
    do {
      try await socket.startTLS(tls, deadline: deadline)
    } catch {
      throw .gone
    }
  }

  // MARK: Reading

  /// Reads up to the end of a head and makes it the current exchange.
  ///
  /// - Returns: false when the connection ends between two requests.
  private func readHead() async throws(Fault) -> Bool {
    // A new connection that says nothing is held no longer than a slow one.
    if !isFirst { deadline = now + server.configuration.idleMax }
    var hasBegun = false
    while try !parseHead() {
      if !hasBegun && !inbound.isEmpty {
        hasBegun = true
        if !isFirst { deadline = now + server.configuration.headDeadline }
      }
      if server.isDraining && !hasBegun { return false }
      isIdle = !hasBegun
      let isOpen = try await receive(lateCode: hasBegun ? "head_too_slow" : nil)
      isIdle = false
      // Closed in the middle of a head: there is nothing to answer.
      guard isOpen else { return false }
    }
    isFirst = false
    return true
  }

  @inline(never)
  private func parseHead() throws(Fault) -> Bool {
    guard case .head(let head, let kind) = try parse() else { return false }
    let exchange = HTTPExchange(head)
    current = exchange
    let limit = server.configuration.bodyBytesMax(head)
    parser.bodyBytesMax = limit
    if case .length(let bytes) = kind, bytes > limit {
      throw .refused(.contentTooLarge, code: "body_too_large")
    }
    if head.expectsContinue && kind != .none && inbound.isEmpty {
      // The route takes a body of this size, so the client may send it (RFC 9110 section 10.1.1).
      socket.write(ResponseWriter.continueHead)
    }
    return true
  }

  private func readBody() async throws(Fault) {
    let start = now
    while try !parseBody(start) {
      guard try await receive(lateCode: "body_too_slow") else { throw .gone }
    }
  }

  /// Takes what is there of the body. - Returns: true at its end.
  @inline(never)
  private func parseBody(_ start: LoopInstant) throws(Fault) -> Bool {
    guard let exchange = current else { return true }
    while true {
      switch try parse() {
      case .bodyPart(let part):
        // Counted against the bound of the whole loop.
        guard server.bufferedBodyBytes + part.count <= server.configuration.bufferedBodyBytesMax else {
          throw .refused(.serviceUnavailable, code: "overloaded")
        }
        server.bufferedBodyBytes += part.count
        exchange.add(part)
      case .end: return true
      case .needMoreData, .head:
        let rate = max(server.configuration.bodyBytesPerSecondMin, 1)
        let earned = Duration.milliseconds(exchange.requestBodyBytes * 1000 / rate)
        deadline = start + server.configuration.bodyDeadline + earned
        return false
      }
    }
  }

  private func parse() throws(Fault) -> RequestParser.Event {
    do {
      return try parser.read(&inbound)
    } catch {
      throw .refused(error.status, code: HTTPProblem.code(of: error))
    }
  }

  /// - Parameter lateCode: the code of the 408 at the deadline; nil to close without a word.
  /// - Returns: false when the peer has closed its side.
  private func receive(lateCode: String?) async throws(Fault) -> Bool {
    answersInTurn = 0
    // Out of the object while the read suspends: an access must not last across it.
    var buffer = inbound
    inbound = ByteBuffer()
    do {
      let count = try await socket.read(into: &buffer, deadline: deadline)
      inbound = buffer
      return count > 0
    } catch {
      if case .timedOut = error, let lateCode { throw .refused(.requestTimeout, code: lateCode) }
      throw .gone
    }
  }

  // MARK: Answering

  /// Calls the handler for the current exchange and sends its answer.
  private func answer() async throws(Fault) -> Upgrade? {
    guard let exchange = current else { return nil }
    let step = try begin(await callHandler(exchange), exchange)
    switch step {
    case .send(let encoded):
      try await write(encoded.head)
      if !encoded.body.isEmpty { try await write(encoded.body) }
    case .stream(let head, let framing, let producer):
      try await write(head)
      try await stream(exchange, framing, producer)
    case .upgrade(let head, let body):
      try await write(head)
      // Some WebSocket clients lose a first message that comes in one piece with the answer.
      socket.flushNow()
      releaseExchange()
      return Upgrade(body: body, leftover: inbound)
    }
    return nil
  }

  private func callHandler(_ exchange: HTTPExchange) async -> HTTPAnswer {
    await server.handler(exchange.takeRequest(peer: peer, isSecure: socket.isSecure))
  }

  /// Puts the head of an answer into bytes and decides whether the connection stays open.
  @inline(never)
  private func begin(_ answer: HTTPAnswer, _ exchange: HTTPExchange) throws(Fault) -> Step {
    do throws(HTTPWriteError) {
      switch answer {
      // An interim status is no answer to a request.
      case .response(let response) where !response.status.isInformational:
        let encoded = try ResponseWriter.encode(response, for: context(response, exchange))
        if exchange.head.method != .head { exchange.responseBodyBytes = response.body.bytes.count }
        finish(exchange, response.status)
        return .send(encoded)
      case .stream(let response, let producer) where !response.status.isInformational:
        let (head, framing) = try ResponseWriter.encodeStreamHead(response, for: context(response, exchange))
        if framing == .untilClose { staysOpen = false }
        exchange.status = response.status
        return .stream(head, framing, producer)
      case .upgrade(let response, let body):
        let encoded = try ResponseWriter.encode(response, for: context(response, exchange))
        finish(exchange, response.status)
        return .upgrade(encoded.head, body)
      case .response, .stream:
        return try internalError(exchange)
      }
    } catch {
      // The handler made a field that would break the message.
      do throws(HTTPWriteError) {
        return try internalError(exchange)
      } catch {
        throw .gone
      }
    }
  }

  private func internalError(_ exchange: HTTPExchange) throws(HTTPWriteError) -> Step {
    let problem = HTTPProblem.response(.internalServerError, code: "internal")
    let encoded = try ResponseWriter.encode(problem, for: context(problem, exchange))
    finish(exchange, problem.status)
    return .send(encoded)
  }

  private func context(_ response: HTTPResponse, _ exchange: HTTPExchange) -> ResponseWriter.Exchange {
    let asksToClose = response.headers.list("connection", contains: "close")
    staysOpen = exchange.head.keepAlive && !server.isDraining && !asksToClose
    return ResponseWriter.Exchange(
      method: exchange.head.method, version: exchange.head.version, keepAlive: staysOpen, date: server.date())
  }

  private func stream(
    _ exchange: HTTPExchange, _ framing: ResponseWriter.StreamFraming,
    _ producer: @Sendable (HTTPBodyStream) async throws -> Void
  ) async throws(Fault) {
    if framing != .none {
      let body = HTTPBodyStream(output, framing: framing)
      do {
        try await producer(body)
      } catch {
        exchange.responseBodyBytes = body.bytes
        finish(exchange, exchange.status)
        throw .gone
      }
      exchange.responseBodyBytes = body.bytes
      guard body.isComplete else {
        finish(exchange, exchange.status)
        throw .gone
      }
    }
    finish(exchange, exchange.status)
    if framing == .chunked { try await write(ResponseWriter.lastChunk) }
  }

  private func write(_ bytes: [UInt8]) async throws(Fault) {
    do {
      try await output.write(bytes)
    } catch {
      throw .gone
    }
  }

  /// A client with many pipelined requests lets the other connections have their turn.
  private func yieldIfLong() async throws(Fault) {
    answersInTurn += 1
    guard answersInTurn >= server.configuration.requestsPerTurnMax else { return }
    answersInTurn = 0
    do {
      try await socket.loop.sleep(for: .zero)
    } catch {
      throw .gone
    }
  }

  // MARK: Ending

  /// Answers a fault with a problem where there is somebody to answer.
  @inline(never)
  private func end(with fault: Fault) {
    staysOpen = false
    inbound = ByteBuffer()
    guard case .refused(let status, let code) = fault else { return socket.close() }
    var problem = HTTPProblem.response(status, code: code)
    if let head = current?.head { problem.headers.add(contentsOf: server.configuration.refusalHeaders(head)) }
    if status == .serviceUnavailable {
      problem.headers.set("Retry-After", String(server.configuration.retryAfterSeconds))
    }
    let context = ResponseWriter.Exchange(
      method: current?.head.method ?? .get, keepAlive: false, date: server.date())
    do {
      socket.write(try ResponseWriter.encode(problem, for: context).head)
      finish(current, status)
    } catch {
      // Only a field of ours could be malformed, and then there is nothing to say.
      socket.close()
    }
  }

  /// Forgets the current request and gives its share of the memory for bodies back.
  private func releaseExchange() {
    server.bufferedBodyBytes -= current?.requestBodyBytes ?? 0
    current = nil
  }

  @inline(never)
  private func finish(_ exchange: HTTPExchange?, _ status: HTTPStatus) {
    guard let observer = server.observer else { return }
    observer.requestFinished(
      HTTPExchangeRecord(
        method: exchange?.head.method,
        route: exchange.flatMap { server.configuration.routeLabel($0.head) },
        status: status,
        duration: exchange.map { LoopInstant.current() - $0.start } ?? .zero,
        requestBodyBytes: exchange?.requestBodyBytes ?? 0,
        responseBodyBytes: exchange?.responseBodyBytes ?? 0))
  }

  /// Sends what is queued, says that nothing follows, and reads until the client has closed too, so
  /// that the last answer is not destroyed by a reset (RFC 9112 section 9.6).
  private func linger() async {
    guard !socket.isClosed else { return }
    socket.shutdownAfterFlush()
    do throws(SocketError) {
      try await socket.drain(below: 0, deadline: now + server.configuration.writeStallMax)
      let lingerMax = server.configuration.lingerMax
      let deadline = now + (server.isDraining ? min(lingerMax, .seconds(1)) : lingerMax)
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

/// One request from its head to its answer.
final class HTTPExchange {
  let head: HTTPRequestHead
  let start = LoopInstant.current()
  private var body: [UInt8] = []
  private(set) var requestBodyBytes = 0
  var responseBodyBytes = 0
  /// Of a streamed answer, which is reported at its end.
  var status = HTTPStatus.ok

  init(_ head: HTTPRequestHead) {
    self.head = head
  }

  func add(_ part: [UInt8]) {
    requestBodyBytes += part.count
    // The first part is often the whole body: no copy then.
    if body.isEmpty { body = part } else { body.append(contentsOf: part) }
  }

  /// Hands the body over: the handler is its only owner.
  @inline(never)
  func takeRequest(peer: String, isSecure: Bool) -> HTTPRequest {
    defer { body = [] }
    return HTTPRequest(head: head, body: body, peer: peer, isSecure: isSecure)
  }
}
