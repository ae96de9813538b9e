import Bytes
import EventLoop
package import HTTPServer
package import HTTPWire
import JSON
import SocketIOWire
import WebSocketWire

/// The requests under the path: handshake, poll, POST, upgrade, preflight.
extension SocketIOServer {
  /// Answers a request under `configuration.path`. A poll is answered when there is something to
  /// say. CORS headers are part of the answer.
  package func handle(_ request: HTTPRequest) async -> HTTPAnswer {
    loop.assertInLoop()
    let origin = request.headers["origin"]
    guard isAllowed(origin, request) else { return .response(refuse(.forbidden, nil)) }
    let query: URLQuery
    do throws(HTTPParseError) {
      query = try request.head.query()
    } catch {
      return .response(refuse(.badRequest, origin))
    }
    if request.method == .options { return .response(preflight(origin)) }
    guard let transport = query["transport"].flatMap(EngineIOSession.Transport.init) else {
      return .response(refuse(.unknownTransport, origin))
    }
    guard let id = query["sid"], !id.isEmpty else {
      return handshake(request, query, transport, origin)
    }
    if let shard = SocketIOConfiguration.shard(ofSession: id), shard != configuration.homeShard,
      let forward = configuration.forward
    {
      return await forward(shard, request)
    }
    guard let client = client(id) else { return .response(refuse(.unknownSession, origin)) }
    switch transport {
    case .websocket: return upgrade(client, request, origin)
    case .polling: return .response(await poll(client, request, origin))
    }
  }

  // MARK: Handshake

  private func handshake(
    _ request: HTTPRequest, _ query: URLQuery, _ transport: EngineIOSession.Transport, _ origin: String?
  ) -> HTTPAnswer {
    guard request.method == .get else { return .response(refuse(.badHandshakeMethod, origin)) }
    guard query["EIO"] == "4" else { return .response(refuse(.unsupportedVersion, origin)) }
    let handshake = SocketIOHandshake(
      headers: request.headers, query: query, peer: request.peer, isSecure: request.isSecure)
    switch transport {
    case .polling:
      guard let client = open(.polling, .v4, handshake) else { return .response(busy(origin)) }
      return .response(payload([client.openPacket], client, origin))
    case .websocket:
      guard request.headers.list("upgrade", contains: "websocket") else {
        return .response(refuse(.badRequest, origin))
      }
      guard !isDraining, connectionCount < configuration.sessionsMax else { return .response(busy(origin)) }
      return switchProtocols(request) { server, connection in
        // Opened only now: a handshake that never completes leaves nothing behind.
        guard let client = server.open(.websocket, .v4, handshake) else { return connection.abort() }
        await client.serve(connection)
      }
    }
  }

  private func upgrade(_ client: SocketIOClient, _ request: HTTPRequest, _ origin: String?) -> HTTPAnswer {
    guard request.method == .get, request.headers.list("upgrade", contains: "websocket") else {
      return .response(refuse(.badRequest, origin))
    }
    if let refusal = client.webSocketArrived() { return .response(refuse(refusal, origin)) }
    loop.schedule(after: configuration.upgradeTimeout) { [weak client] in client?.upgradeTimedOut() }
    let answer = switchProtocols(request) { _, connection in await client.serveProbe(connection) }
    if case .response = answer { client.upgradeTimedOut() }
    return answer
  }

  private func switchProtocols(
    _ request: HTTPRequest,
    _ serve: @escaping @Sendable (SocketIOServer, WebSocketConnection) async -> Void
  ) -> HTTPAnswer {
    var response: HTTPResponse
    switch WebSocketHandshake.answer(for: request) {
    case .accept(let answer): response = answer
    case .refuse(let answer): return .response(answer)
    }
    var deflate: PerMessageDeflate?
    if configuration.allowsCompression {
      deflate = PerMessageDeflate.negotiate(offers: request.headers.all("sec-websocket-extensions"))
    }
    if let deflate { response.headers.set("Sec-WebSocket-Extensions", deflate.response) }
    return .upgrade(response) { [weak self, deflate] socket, leftover in
      guard let self else { return }
      let connection = WebSocketConnection(
        socket: socket, leftover: leftover, configuration: self.webSocketConfiguration, deflate: deflate)
      await serve(self, connection)
    }
  }

  /// Engine.IO has its own heartbeat, and the client bounds the queue over all transports.
  private var webSocketConfiguration: WebSocketConnection.Configuration {
    WebSocketConnection.Configuration(
      limits: WebSocketLimits(messageBytesMax: configuration.payloadBytesMax), pingInterval: nil,
      queueBytesMax: configuration.queueBytesMax + 65_536)
  }

  // MARK: Polling

  private func poll(_ client: SocketIOClient, _ request: HTTPRequest, _ origin: String?) async -> HTTPResponse {
    switch request.method {
    case .get:
      switch await client.poll() {
      case .success(let packets): return payload(packets, client, origin)
      case .failure(let refusal): return refuse(refusal, origin)
      }
    case .post:
      guard request.body.count <= configuration.payloadBytesMax else {
        return answer(HTTPResponse.empty(.contentTooLarge), origin)
      }
      if let refusal = await client.post(request.body) { return refuse(refusal, origin) }
      return answer(HTTPResponse.text(.ok, "ok"), origin)
    default: return refuse(.badRequest, origin)
    }
  }

  private func payload(_ packets: [EngineIOPacket], _ client: SocketIOClient, _ origin: String?) -> HTTPResponse {
    let bytes = EngineIOPayload.encode(packets, revision: client.session.revision)
    return answer(HTTPResponse.bytes(.ok, bytes, type: "text/plain; charset=UTF-8"), origin)
  }

  // MARK: Refusals and origins

  private func refuse(_ refusal: EngineIORefusal, _ origin: String?) -> HTTPResponse {
    let json: JSONValue = ["code": .integer(Int64(refusal.rawValue)), "message": .string(refusal.message)]
    return answer(HTTPResponse.json(refusal == .forbidden ? .forbidden : .badRequest, json.encoded()), origin)
  }

  private func busy(_ origin: String?) -> HTTPResponse {
    var response = HTTPResponse.text(.serviceUnavailable, "too many connections")
    response.headers.set("Retry-After", "5")
    return answer(response, origin)
  }

  private func isAllowed(_ origin: String?, _ request: HTTPRequest) -> Bool {
    guard let origin else { return true }
    if let authority = origin.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).last,
      origin.hasPrefix("http"), !authority.isEmpty, equalsIgnoringCase(String(authority), request.head.authority)
    {
      return true
    }
    return configuration.isOriginAllowed(origin)
  }

  private func preflight(_ origin: String?) -> HTTPResponse {
    var response = HTTPResponse.empty(.noContent)
    response.headers.set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
    response.headers.set("Access-Control-Allow-Headers", "Authorization, Content-Type")
    response.headers.set("Access-Control-Max-Age", "600")
    return answer(response, origin)
  }

  /// Adds what every answer has.
  private func answer(_ response: HTTPResponse, _ origin: String?) -> HTTPResponse {
    var response = response
    response.headers.set("Cache-Control", "no-store")
    if let origin {
      response.headers.set("Access-Control-Allow-Origin", origin)
      response.headers.set("Access-Control-Allow-Credentials", "true")
      response.headers.set("Vary", "Origin")
    }
    return response
  }
}
