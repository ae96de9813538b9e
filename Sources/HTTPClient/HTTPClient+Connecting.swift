import EventLoop
import HTTPWire

// A new connection: the address, the policy, the proxy's tunnel, TLS. Nothing of the request leaves here.

extension HTTPClient {
  func open(
    _ request: HTTPClientRequest, _ proxy: HTTPProxy?, _ call: HTTPCall
  ) async throws(HTTPClientError) -> HTTPClientConnection {
    try call.check()
    let addresses = try await destinations(request, proxy, call)
    let deadline = min(call.deadline, loop.now + configuration.connectMax)
    let socket = try await connect(addresses, deadline, call)
    call.onInterrupt = { socket.close() }
    defer { call.onInterrupt = nil }
    do throws(HTTPClientError) {
      if request.url.scheme == .https {
        if let proxy { try await openTunnel(to: request.url, proxy, socket, deadline, call) }
        try await secure(socket, request.url.host, deadline, call)
      }
      try call.check()
      return HTTPClientConnection(socket, host: request.url.authority)
    } catch {
      socket.close()
      throw error
    }
  }

  // MARK: Addresses

  /// Where to connect: the host's checked addresses, or the proxy's.
  ///
  /// A proxy resolves names itself, so behind one the policy is weaker: an address in the URL is refused, and
  /// a name whose addresses here are not public, but what the proxy finds is not known.
  private func destinations(
    _ request: HTTPClientRequest, _ proxy: HTTPProxy?, _ call: HTTPCall
  ) async throws(HTTPClientError) -> [SocketAddress] {
    let url = request.url
    if proxy == nil || request.addressPolicy != .any {
      let addresses = try await resolve(url.host, mayBeOld: request.addressPolicy == .any, call)
      guard addresses.allSatisfy(request.addressPolicy.allows) else { throw .notSent(.addressRefused) }
      if proxy == nil {
        guard !addresses.isEmpty else { throw .notSent(.nameNotResolved) }
        return addresses.map { $0.at(port: url.port) }
      }
    }
    guard let proxy else { return [] }
    let addresses = try await resolve(proxy.host, mayBeOld: true, call)
    guard !addresses.isEmpty else { throw .notSent(.nameNotResolved) }
    return addresses.map { $0.at(port: proxy.port) }
  }

  /// Empty when the name has no address.
  private func resolve(
    _ host: String, mayBeOld: Bool, _ call: HTTPCall
  ) async throws(HTTPClientError) -> [SocketAddress] {
    if let address = SocketAddress(host: host, port: 0) { return [address] }
    if mayBeOld, let addresses = resolver.cached(host) { return addresses }
    let wait = NameResolver.Wait()
    if resolver.join(host, wait) {
      // With the preference, or its continuation would come back over the global pool.
      Task(executorPreference: loop) { await self.lookUpOnce(host) }
    }
    let timer = loop.schedule(at: call.deadline) { wait.finish(.gone) }
    call.onInterrupt = { wait.finish(.gone) }
    let outcome = await wait.outcome()
    call.onInterrupt = nil
    loop.cancel(timer)
    resolver.leave(host, wait)
    try call.check()
    switch outcome {
    case .found(let addresses): return addresses
    case .gone: throw .notSent(.timedOut(.resolving))
    }
  }

  private func lookUpOnce(_ host: String) async {
    let lookUp = lookUp
    // Refused when too many lookups wait: as good as not found.
    let addresses = try? await blocking.run { lookUp(host) }
    resolver.finish(host, addresses ?? [])
  }

  // MARK: Connecting

  private func connect(
    _ addresses: [SocketAddress], _ deadline: LoopInstant, _ call: HTTPCall
  ) async throws(HTTPClientError) -> Socket {
    var failure = HTTPClientError.notSent(.nameNotResolved)
    for (index, address) in addresses.enumerated() {
      let isLast = index == addresses.count - 1
      let limit = isLast ? deadline : min(deadline, loop.now + configuration.connectAttemptMax)
      do throws(SocketError) {
        let socket = try await Socket.connect(to: address, on: loop, deadline: limit) { socket in
          call.onInterrupt = { socket.close() }
        }
        call.onInterrupt = nil
        return socket
      } catch {
        call.onInterrupt = nil
        try call.check()
        failure = error == .timedOut ? .notSent(.timedOut(.connecting)) : .notSent(.connectFailed(error))
      }
    }
    throw failure
  }

  private func secure(
    _ socket: Socket, _ host: String, _ deadline: LoopInstant, _ call: HTTPCall
  ) async throws(HTTPClientError) {
    do throws(SocketError) {
      try await socket.startTLS(configuration.tls, serverName: host, deadline: deadline)
    } catch {
      try call.check()
      switch error {
      case .timedOut: throw .notSent(.timedOut(.securing))
      case .tls(let text): throw .notSent(.tlsFailed(text))
      default: throw .notSent(.connectFailed(error))
      }
    }
  }

  /// CONNECT (RFC 9110 section 9.3.6).
  private func openTunnel(
    to url: HTTPURL, _ proxy: HTTPProxy, _ socket: Socket, _ deadline: LoopInstant, _ call: HTTPCall
  ) async throws(HTTPClientError) {
    var headers: HTTPHeaders = ["User-Agent": configuration.userAgent]
    if let authorization = proxy.authorization { headers.set("Proxy-Authorization", authorization) }
    let connection = HTTPClientConnection(socket, host: url.hostAndPort)
    let answer: HTTPClientResponse
    do throws(HTTPConnectionError) {
      answer = try await connection.request(
        .connect, url.hostAndPort, headers: headers, deadline: deadline)
    } catch {
      try call.check()
      throw error == .socket(.timedOut) ? .notSent(.timedOut(.connecting)) : .notSent(.proxyFailed)
    }
    guard (200..<300).contains(answer.status.code) else {
      throw .notSent(.proxyRefused(status: answer.status.code))
    }
    // The server has not been spoken to: nothing can have come from it.
    guard connection.takeLeftover().isEmpty else { throw .notSent(.proxyFailed) }
  }
}
