package import EventLoop
import HTTPWire

/// The hub's one way out over HTTP: platforms' APIs, long polls, downloads, storage, key sets.
///
/// A node has one, pinned to a loop; other loops may call it too. It says whether a request left
/// (`HTTPClientError`), because who sends a message must know; it connects to the address that its policy
/// checked; it keeps connections and bounds them, those who wait, and what an answer may weigh.
///
/// A request is one call: the caller's task runs it. Cancelling that task closes the request's connection.
package actor HTTPClient {
  package nonisolated let loop: EventLoop
  let configuration: Configuration
  let pool: ConnectionPool
  let resolver: NameResolver
  let blocking: BlockingPool
  let lookUp: @Sendable (String) -> [SocketAddress]
  private let observer: (any HTTPClientObserver)?
  private var calls: [UInt64: HTTPCall] = [:]
  private var lastCall: UInt64 = 0
  private var isClosed = false

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// - Parameters:
  ///   - blocking: where names are looked up. A slow name server holds its threads, so do not share it with
  ///     what must not wait.
  ///   - lookUp: the addresses of a name; blocks.
  package init(
    loop: EventLoop, blocking: BlockingPool, configuration: Configuration,
    observer: (any HTTPClientObserver)? = nil,
    lookUp: @escaping @Sendable (String) -> [SocketAddress] = NameLookup.addresses
  ) {
    self.loop = loop
    self.blocking = blocking
    self.configuration = configuration
    self.observer = observer
    self.lookUp = lookUp
    pool = ConnectionPool(loop: loop, configuration: configuration)
    resolver = NameResolver(loop: loop, cacheLifetime: configuration.nameCacheLifetime)
  }

  /// Sends a request and reads its answer whole.
  package func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    try await run(HTTPCall(request, handler: nil)).get()
  }

  /// Sends a request and hands its answer over as it comes.
  ///
  /// The next part is read when `onEvent` has returned, so a slow consumer slows the server. Redirects that
  /// are followed are not handed over. A throw of `onEvent` closes the connection and comes out here.
  /// - Returns: the response without its body.
  /// - Throws: `HTTPClientError`, or what `onEvent` threw.
  package func stream(
    _ request: HTTPClientRequest, onEvent: @escaping @Sendable (HTTPClientStreamEvent) async throws -> Void
  ) async throws -> HTTPClientResponse {
    let call = HTTPCall(request, handler: onEvent)
    let outcome = await run(call)
    if let error = call.consumerError { throw error }
    return try outcome.get()
  }

  /// Ends every request and connection.
  package func close() {
    isClosed = true
    for id in calls.keys { interrupt(id, .closed) }
    pool.close()
  }

  package var statistics: Statistics {
    Statistics(
      connections: pool.places, idle: pool.idleCount, waiting: pool.waiting, running: calls.count)
  }

  // MARK: Calls

  private func run(_ call: HTTPCall) async -> Result<HTTPClientResponse, HTTPClientError> {
    guard !isClosed else { return .failure(.notSent(.clientClosed)) }
    guard !Task.isCancelled else { return .failure(.notSent(.cancelled)) }
    lastCall += 1
    let id = lastCall
    let start = LoopInstant.current()
    call.deadline = start + call.request.timeout
    calls[id] = call
    defer { calls[id] = nil }
    let (host, method) = (call.request.url.host, call.request.method)
    observer?.requestStarted(host: host, method: method)
    let outcome = await withTaskCancellationHandler {
      await withTaskExecutorPreference(loop) { await self.outcome(id) }
    } onCancel: {
      loop.execute { self.assumeIsolated { $0.interrupt(id, .cancelled) } }
    }
    var record = HTTPClientRecord(host: host, method: method, duration: LoopInstant.current() - start)
    switch outcome {
    case .success(let response): record.status = response.status
    case .failure(let error): record.error = error
    }
    observer?.requestFinished(record)
    return outcome
  }

  private func outcome(_ id: UInt64) async -> Result<HTTPClientResponse, HTTPClientError> {
    guard let call = calls[id] else { return .failure(.notSent(.cancelled)) }
    do throws(HTTPClientError) {
      return .success(try await follow(call))
    } catch {
      return .failure(error)
    }
  }

  private func interrupt(_ id: UInt64, _ reason: HTTPCall.Interruption) {
    calls[id]?.interrupt(reason)
  }

  /// Sends the request, and the next one as long as the answer is a redirect to follow.
  private func follow(_ call: HTTPCall) async throws(HTTPClientError) -> HTTPClientResponse {
    var request = call.request
    var left = request.redirectsMax
    while true {
      let response: HTTPClientResponse
      do throws(HTTPClientError) {
        response = try await exchange(Exchange(request, mayRedirect: left > 0), call)
      } catch {
        // The server has seen the first request; what it did before it sent us on is its secret.
        if case .notSent(let reason) = error, left < request.redirectsMax, !call.request.method.isIdempotent {
          throw .unanswered(.redirectFailed(reason))
        }
        throw error
      }
      guard left > 0, let next = Redirect.next(request, response.head) else { return response }
      request = next
      left -= 1
    }
  }
}
