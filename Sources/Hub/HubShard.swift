import Bytes
package import EventLoop
import HTTPServer
import HTTPWire
import Security
import SocketIOServer
import Synchronization
import WebSocketWire

/// One event loop's share of the hub: its listener, its HTTP server, its Socket.IO server, its
/// gateway, its database connections. Nothing in here is touched by another thread.
package final class HubShard: Sendable {
  struct Parts: Sendable {
    let index: Int
    let loop: EventLoop
    let node: HubNode.Parts
    let store: HubStore
    let writers: [IngestWriter]
    let relay: EventRelay
    let directory: AccountDirectory
    let keySets: KeySetStore
    let ids: IDSource
    let metrics: HubMetrics
    let status: NodeStatus
    let tls: TLSContext?
    let outbox: Outbox
    let files: FileServing
  }

  private static let tick: Duration = .milliseconds(250)

  package let gateway: RealtimeGateway
  private let parts: Parts
  private let origins: OriginRule
  private let api: HubAPI
  /// Made once, after the shards know each other.
  private let servers = Mutex<Servers?>(nil)
  private let siblings = Mutex<[HubShard]>([])

  private struct Servers: Sendable {
    let socketIO: SocketIOServer
    let http: HTTPServer
    var address: SocketAddress?
  }

  package var loop: EventLoop { parts.loop }
  package var address: SocketAddress? { servers.withLock { $0?.address } }

  init(_ parts: Parts) {
    self.parts = parts
    let configuration = parts.node.configuration
    origins = .list(Set(configuration.origins))
    gateway = RealtimeGateway(
      loop: parts.loop, index: parts.index,
      dependencies: RealtimeGateway.Dependencies(
        configuration: configuration, store: parts.store, tokens: parts.node.tokens,
        keys: parts.node.keys, relay: parts.relay, metrics: parts.metrics, log: parts.node.log,
        clock: parts.node.clock, outbox: parts.outbox))
    api = HubAPI(
      HubAPI.Parts(
        configuration: configuration, loop: parts.loop, store: parts.store, tokens: parts.node.tokens,
        keys: parts.node.keys,
        receiver: WebhookReceiver(
          store: parts.store, baseURL: configuration.baseURL, keySets: parts.keySets,
          directory: parts.directory, writers: parts.writers, relay: parts.relay,
          ids: parts.ids, clock: parts.node.clock, metrics: parts.metrics, log: parts.node.log),
        writers: parts.writers, outbox: parts.outbox, files: parts.files, relay: parts.relay,
        directory: parts.directory,
        ids: parts.ids, clock: parts.node.clock, metrics: parts.metrics, status: parts.status,
        log: parts.node.log,
        cors: CORSPolicy(origins: origins)))
  }

  func connect(siblings: [HubShard]) {
    self.siblings.withLock { $0 = siblings }
  }

  // MARK: Serving

  /// Opens the door. - Returns: the address with the real port.
  func listen(on address: SocketAddress) async throws -> SocketAddress {
    let listener = try Listener.bind(address, on: parts.loop)
    let servers = makeServers()
    self.servers.withLock {
      $0 = servers
      $0?.address = listener.address
    }
    servers.http.listen(listener)
    let gateway = gateway
    loop.execute { Self.scheduleTick(gateway) }
    return listener.address
  }

  private static func scheduleTick(_ gateway: RealtimeGateway) {
    gateway.loop.schedule(after: tick) {
      gateway.assumeIsolated { $0.tick() }
      scheduleTick(gateway)
    }
  }

  private func makeServers() -> Servers {
    let configuration = parts.node.configuration
    var socketIO = SocketIOConfiguration()
    socketIO.pingInterval = configuration.pingInterval
    socketIO.pingTimeout = configuration.pingTimeout
    socketIO.queueBytesMax = configuration.limits.clientQueueBytesMax
    socketIO.payloadBytesMax = configuration.limits.clientMessageBytesMax
    socketIO.homeShard = UInt8(parts.index)
    socketIO.randomBytes = { SecureRandom.bytes($0) }
    socketIO.observer = parts.metrics
    socketIO.allowedOrigins = origins
    socketIO.cookie = configuration.sessionCookie.map { name in
      var cookie = SocketIOCookie()
      cookie.name = name
      // A page of another site has its cookies sent only if they are marked so, which needs HTTPS.
      if configuration.baseURL.hasPrefix("https://") {
        cookie.sameSite = "None"
        cookie.isSecure = true
      }
      return cookie
    }
    // No capture lists in asynchronous closures: with one they would leave the loop. A shard lives as
    // long as its process, so the references may be strong.
    socketIO.forward = { shard, request in await self.forward(request, to: Int(shard)) }
    let server = SocketIOServer(loop: loop, configuration: socketIO, application: gateway)
    let api = api
    let path = socketIO.path
    let payloadMax = socketIO.payloadBytesMax
    var http = HTTPServer.Configuration(
      bodyBytesMax: { $0.rawPath.hasPrefix(path) ? payloadMax : api.bodyBytesMax($0) },
      routeLabel: { $0.rawPath.hasPrefix(path) ? path : api.label($0) })
    let cors = CORSPolicy(origins: origins)
    http.refusalHeaders = { cors.headers(for: $0) }
    http.tls = parts.tls
    http.connectionsMax = max(1, configuration.limits.connectionsMax / max(1, configuration.shardCount))
    let httpServer = HTTPServer(loop: loop, configuration: http, observer: parts.metrics) {
      await self.answer($0, server, path: path)
    }
    return Servers(socketIO: server, http: httpServer)
  }

  private func answer(_ request: HTTPRequest, _ server: SocketIOServer, path: String) async -> HTTPAnswer {
    // Not decoded: an encoded slash is none.
    if request.head.rawPath.hasPrefix(path) { return await server.handle(request) }
    if request.path == "/ws" { return answerPlain(request) }
    return await api.handle(request)
  }

  private func answerPlain(_ request: HTTPRequest) -> HTTPAnswer {
    switch WebSocketHandshake.answer(for: request, allowedOrigins: origins) {
    case .failure(let refusal): return .response(refusal)
    case .success(var head):
      let deflate = WebSocketHandshake.agreeOnCompression(request, .frugal, in: &head)
      let gateway = gateway
      let limits = parts.node.configuration
      return .upgrade(head) { socket, leftover in
        let connection = WebSocketConnection(
          socket: socket, leftover: leftover,
          configuration: WebSocketConnection.Configuration(
            limits: WebSocketLimits(messageBytesMax: limits.limits.clientMessageBytesMax),
            pingInterval: limits.pingInterval, pongTimeout: limits.pingTimeout,
            queueBytesMax: limits.limits.clientQueueBytesMax),
          deflate: deflate)
        await gateway.serve(connection, request)
      }
    }
  }

  /// A long-polling session lives on one shard; its requests may arrive at another. nil: there is no such
  /// shard.
  private func forward(_ request: HTTPRequest, to index: Int) async -> HTTPAnswer? {
    let target = siblings.withLock { index < $0.count ? $0[index] : nil }
    guard let target, target !== self else { return nil }
    return await target.loop.shard.run { shard in
      guard shard.loop.inLoop, let server = target.servers.withLock({ $0?.socketIO }) else {
        return .response(Problem.unavailable.response())
      }
      return await server.handle(request)
    }
  }

  // MARK: Stopping

  /// Stops accepting, lets requests in flight finish and commit, says goodbye to the clients.
  func stop(within limit: Duration) async {
    guard let servers = servers.withLock({ $0 }) else { return }
    let gateway = gateway
    await loop.shard.run { shard in
      let deadline = shard.loop.now + limit
      // No new connections from here on, while the clients are told one after the other.
      let draining = Task {
        _ = shard
        await servers.http.drain(deadline: deadline)
      }
      await gateway.drain()
      await servers.socketIO.close(reason: .serverShutdown, within: limit / 4)
      await draining.value
    }
  }
}
