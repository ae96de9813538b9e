import EventLoop
import HTTPWire

// One exchange: a connection from the pool or a new one, the request, the answer.

/// Why an exchange failed, and whether the same request may go again over a new connection.
private struct ExchangeFailure: Error {
  let error: HTTPClientError
  let isRepeatable: Bool
}

extension HTTPClient {
  private static let interimAnswersMax = 32

  func exchange(_ exchange: Exchange, _ call: HTTPCall) async throws(HTTPClientError) -> HTTPClientResponse {
    let proxy = configuration.proxies.proxy(for: exchange.request.url)
    let pieces = try exchange.encode(proxy, userAgent: configuration.userAgent)
    let key = exchange.key(proxy)
    if case .kept(let connection) = try await place(key, call) {
      do throws(ExchangeFailure) {
        return try await roundTrip(exchange, pieces, over: connection, key, call)
      } catch {
        // The server had closed it meanwhile; the place is still held.
        guard error.isRepeatable, call.interruption == nil else {
          pool.giveUp(key)
          throw error.error
        }
      }
    }
    let connection: HTTPClientConnection
    do throws(HTTPClientError) {
      connection = try await open(exchange.request, proxy, call)
    } catch {
      pool.giveUp(key)
      throw error
    }
    do throws(ExchangeFailure) {
      return try await roundTrip(exchange, pieces, over: connection, key, call)
    } catch {
      pool.giveUp(key)
      throw error.error
    }
  }

  // MARK: A place

  private func place(_ key: PoolKey, _ call: HTTPCall) async throws(HTTPClientError) -> ConnectionPool.Grant {
    if let grant = try pool.take(key) { return grant }
    let waiter = ConnectionPool.Waiter()
    let timer = loop.schedule(at: min(call.deadline, loop.now + configuration.waitMax)) {
      self.pool.leave(key, waiter)
    }
    call.onInterrupt = { self.pool.leave(key, waiter) }
    let granted = await pool.wait(key, waiter)
    call.onInterrupt = nil
    loop.cancel(timer)
    guard let grant = granted else {
      try call.check()
      throw .notSent(.timedOut(.waiting))
    }
    if call.interruption != nil {
      switch grant {
      case .kept(let connection): pool.giveBack(connection, key)
      case .place: pool.giveUp(key)
      }
    }
    try call.check()
    return grant
  }

  // MARK: Request and answer

  /// Gives the connection back or, when it throws, closes it and leaves the place to the caller.
  private func roundTrip(
    _ exchange: Exchange, _ pieces: [[UInt8]], over connection: HTTPClientConnection, _ key: PoolKey,
    _ call: HTTPCall
  ) async throws(ExchangeFailure) -> HTTPClientResponse {
    let socket = connection.socket
    let sentBefore = socket.sentBytes
    connection.begin(exchange.request.method, bodyBytesMax: exchange.request.responseBytesMax)
    call.onInterrupt = { socket.close() }
    if call.interruption != nil { socket.close() }
    socket.queueBytesMax = max(socket.queueBytesMax, pieces.reduce(0) { $0 + $1.count })
    for piece in pieces { socket.write(piece) }
    do throws(AnswerFailure) {
      let response = try await answer(exchange, connection, call)
      call.onInterrupt = nil
      if response.head.keepAlive && !exchange.asksToClose && socket.queuedBytes == 0
        && !connection.hasLeftover && connection.endedByFraming
      {
        pool.giveBack(connection, key)
      } else {
        connection.close()
        pool.giveUp(key)
      }
      return response
    } catch {
      call.onInterrupt = nil
      let hasSent = socket.sentBytes > sentBefore
      let hasAnswer = connection.answerBytes > 0
      connection.close()
      let isLost = error == .connection(.closedByServer) || error.isSocketFailure
      throw ExchangeFailure(
        error: describe(error, hasSent: hasSent, call),
        isRepeatable: isLost && (!hasSent || (exchange.request.method.isIdempotent && !hasAnswer)))
    }
  }

  private enum AnswerFailure: Error, Equatable {
    case connection(HTTPConnectionError)
    case timedOut
    case unexpected(status: Int)
    case consumer

    var isSocketFailure: Bool {
      if case .connection(.socket) = self { return true }
      return false
    }
  }

  private func answer(
    _ exchange: Exchange, _ connection: HTTPClientConnection, _ call: HTTPCall
  ) async throws(AnswerFailure) -> HTTPClientResponse {
    var response: HTTPClientResponse?
    var informational: [Int] = []
    var isHandedOver = false
    while true {
      switch try await nextEvent(exchange, connection, call) {
      case .needMoreData: continue
      case .informational(let head):
        informational.append(head.status.code)
        guard informational.count <= Self.interimAnswersMax else {
          throw .unexpected(status: head.status.code)
        }
      case .head(let head, _):
        guard head.status != .switchingProtocols else { throw .unexpected(status: 101) }
        response = HTTPClientResponse(head: head, body: [], trailers: [:], informational: informational)
        isHandedOver =
          call.handler != nil && !(exchange.mayRedirect && Redirect.next(exchange.request, head) != nil)
        if isHandedOver { try await handOver(.head(head), call) }
      case .bodyPart(let part):
        if isHandedOver {
          try await handOver(.part(part), call)
        } else if response?.body.isEmpty == true {
          response?.body = part
        } else {
          response?.body.append(contentsOf: part)
        }
      case .end(let trailers):
        guard var response else { throw .connection(.closedByServer) }
        response.trailers = trailers
        return response
      }
    }
  }

  private func nextEvent(
    _ exchange: Exchange, _ connection: HTTPClientConnection, _ call: HTTPCall
  ) async throws(AnswerFailure) -> ResponseParser.Event {
    var deadline = call.deadline
    if let silence = exchange.request.silenceMax { deadline = min(deadline, loop.now + silence) }
    do throws(HTTPConnectionError) {
      return try await connection.nextEvent(deadline)
    } catch {
      throw error == .socket(.timedOut) ? .timedOut : .connection(error)
    }
  }

  private func handOver(_ event: HTTPClientStreamEvent, _ call: HTTPCall) async throws(AnswerFailure) {
    do {
      try await call.handler?(event)
    } catch {
      call.consumerError = error
      throw .consumer
    }
  }

  /// What the caller is told: first of all, whether anything left.
  private func describe(_ failure: AnswerFailure, hasSent: Bool, _ call: HTTPCall) -> HTTPClientError {
    guard hasSent else {
      switch call.interruption {
      case .cancelled: return .notSent(.cancelled)
      case .closed: return .notSent(.clientClosed)
      case nil: return .notSent(failure == .timedOut ? .timedOut(.sending) : .connectionClosed)
      }
    }
    if failure == .consumer { return .unanswered(.consumerFailed) }
    switch call.interruption {
    case .cancelled: return .unanswered(.cancelled)
    case .closed: return .unanswered(.clientClosed)
    case nil: break
    }
    switch failure {
    case .timedOut: return .unanswered(.timedOut)
    case .unexpected(let status): return .unanswered(.unexpectedAnswer(status: status))
    case .consumer: return .unanswered(.consumerFailed)
    case .connection(.malformedResponse(.bodyTooLarge(let limit))):
      return .unanswered(.answerTooLarge(limitBytes: limit))
    case .connection(.malformedResponse(let error)): return .unanswered(.malformedAnswer(error))
    case .connection: return .unanswered(.connectionClosed)
    }
  }
}
