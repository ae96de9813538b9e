import Bytes
import EventLoop
package import HTTPServer
package import HTTPWire
import JSON
import SocketIOWire
import Synchronization
import WebSocketWire

/// The requests under the path: handshake, poll, POST, upgrade, preflight.
extension EngineIOServer {
  /// Answers a request under `configuration.path`. A poll is answered when there is something to
  /// say. CORS headers are part of the answer.
  package func handle(_ request: HTTPRequest) async -> HTTPAnswer {
    loop.assertInLoop()
    if let preflight = cors.preflight(for: request.head) { return .response(preflight) }
    // The answer of another shard has these fields already.
    if let answer = await forwarded(request) { return answer }
    var answer = await answer(request)
    if case .response(var response) = answer {
      response.headers.set("Cache-Control", "no-store")
      response.headers.add(contentsOf: cors.headers(for: request.head))
      answer = .response(response)
    }
    return answer
  }

  /// The answer to a request about a session of another shard; nil for every other request.
  private func forwarded(_ request: HTTPRequest) async -> HTTPAnswer? {
    guard let forward = configuration.forward, let id = (try? request.head.query())?["sid"],
      let shard = SocketIOConfiguration.shard(ofSession: id), shard != configuration.homeShard
    else { return nil }
    return await forward(shard, request)
  }

  private func answer(_ request: HTTPRequest) async -> HTTPAnswer {
    guard configuration.allowedOrigins.allowsSender(of: request.head) else {
      return .response(refuse(.forbidden))
    }
    let query: URLQuery
    do throws(HTTPParseError) {
      query = try request.head.query()
    } catch {
      return .response(refuse(.badRequest))
    }
    if request.method == .options {
      return .response(.empty(.noContent, headers: ["Allow": "GET, POST, OPTIONS"]))
    }
    guard let transport = query["transport"].flatMap(EngineIOSession.Transport.init) else {
      return .response(refuse(.unknownTransport))
    }
    guard let id = query["sid"], !id.isEmpty else {
      return await handshake(request, query, transport)
    }
    guard let client = client(id) else { return .response(refuse(.unknownSession)) }
    switch transport {
    case .websocket: return upgrade(client, request, query)
    case .polling: return .response(await poll(client, request, query))
    }
  }

  // MARK: Handshake

  private func handshake(
    _ request: HTTPRequest, _ query: URLQuery, _ transport: EngineIOSession.Transport
  ) async -> HTTPAnswer {
    guard request.method == .get else { return .response(refuse(.badHandshakeMethod)) }
    guard let revision = revision(query) else { return .response(refuse(.unsupportedVersion)) }
    let handshake = SocketIOHandshake(
      headers: request.headers, query: query, peer: request.peer, isSecure: request.isSecure)
    switch transport {
    case .polling:
      guard let client = open(.polling, revision, handshake) else { return .response(busy()) }
      var response = payload(await client.open(), client, request, query)
      setCookie(&response.headers, client)
      return .response(response)
    case .websocket:
      guard request.headers.list("upgrade", contains: "websocket") else {
        return .response(refuse(.badRequest))
      }
      guard !isDraining, connectionCount < configuration.sessionsMax else { return .response(busy()) }
      // The closure lives as long as the connection; what it was told at the start should not.
      let arrival = Arrival(handshake)
      let takesBinary = query["b64"] == nil
      return switchProtocols(request) { server, connection in
        // Opened only now: a handshake that never completes leaves nothing behind.
        guard let handshake = arrival.take(), let client = server.open(.websocket, revision, handshake) else {
          return connection.abort()
        }
        await client.serve(connection, takesBinary: takesBinary)
      }
    }
  }

  /// nil: one that is not spoken here.
  private func revision(_ query: URLQuery) -> EngineIORevision? {
    switch query["EIO"] {
    case "4": .v4
    case "3", nil: configuration.allowsRevision3 ? .v3 : nil
    default: nil
    }
  }

  private func setCookie(_ headers: inout HTTPHeaders, _ client: EngineIOClient) {
    if let cookie = configuration.cookie { headers.add("Set-Cookie", cookie.field(sessionID: client.id)) }
  }

  private func upgrade(_ client: EngineIOClient, _ request: HTTPRequest, _ query: URLQuery) -> HTTPAnswer {
    guard request.method == .get, request.headers.list("upgrade", contains: "websocket") else {
      return .response(refuse(.badRequest))
    }
    // Stock clients take a refused handshake for a fault of the network: what comes at the wrong time is
    // let in and closed.
    guard client.webSocketArrived() == nil else {
      return switchProtocols(request) { _, connection in
        connection.close()
        _ = await connection.receive()
      }
    }
    let attempt = client.upgradeAttempts
    loop.schedule(after: configuration.upgradeTimeout) { [weak client] in client?.upgradeTimedOut(attempt) }
    let takesBinary = query["b64"] == nil
    let answer = switchProtocols(request) { _, connection in
      await client.serveProbe(connection, takesBinary: takesBinary)
    }
    if case .response = answer { client.upgradeTimedOut(attempt) }
    return answer
  }

  private func switchProtocols(
    _ request: HTTPRequest,
    _ serve: @escaping @Sendable (EngineIOServer, WebSocketConnection) async -> Void
  ) -> HTTPAnswer {
    var response: HTTPResponse
    // The origin was checked for all requests alike.
    switch WebSocketHandshake.answer(for: request, allowedOrigins: .any) {
    case .success(let answer): response = answer
    case .failure(let answer): return .response(answer)
    }
    let deflate =
      configuration.allowsCompression
      ? WebSocketHandshake.agreeOnCompression(request, .frugal, in: &response) : nil
    // No capture list: with one, Swift 6.3 runs an asynchronous closure off its caller's executor.
    return .upgrade(response) { socket, leftover in
      guard socket.loop !== self.loop else {
        return await serve(self, self.connection(socket, leftover, deflate))
      }
      self.moveHome(socket, leftover, deflate, serve)
    }
  }

  private func connection(
    _ socket: Socket, _ leftover: ByteBuffer, _ deflate: PerMessageDeflate?
  ) -> WebSocketConnection {
    WebSocketConnection(
      socket: socket, leftover: leftover, configuration: webSocketConfiguration, deflate: deflate)
  }

  /// Brings a WebSocket that came in on another loop (the kernel deals connections out) to the loop
  /// of its session. Runs on the other loop.
  private func moveHome(
    _ socket: Socket, _ leftover: ByteBuffer, _ deflate: PerMessageDeflate?,
    _ serve: @escaping @Sendable (EngineIOServer, WebSocketConnection) async -> Void
  ) {
    let detached: Socket.Detached
    do throws(SocketError) {
      detached = try socket.detach()
    } catch {
      return
    }
    loop.spawn { shard in
      shard.assertIsolated()
      do throws(SocketError) {
        let home = try Socket.attach(detached, to: self.loop)
        await serve(self, self.connection(home, leftover, deflate))
        home.close()
      } catch {
        // No room in the loop's epoll set: the connection closes, the client goes on polling.
      }
    }
  }

  /// Engine.IO has its own heartbeat, and `EngineIOClient.send` bounds the queue over all transports.
  private var webSocketConfiguration: WebSocketConnection.Configuration {
    WebSocketConnection.Configuration(
      limits: WebSocketLimits(messageBytesMax: configuration.payloadBytesMax), pingInterval: nil,
      queueBytesMax: .max)
  }

  // MARK: Polling

  private func poll(
    _ client: EngineIOClient, _ request: HTTPRequest, _ query: URLQuery
  ) async -> HTTPResponse {
    switch request.method {
    case .get:
      switch await client.poll() {
      case .success(let packets): return payload(packets, client, request, query)
      case .failure(let refusal): return refuse(refusal)
      }
    case .post:
      guard request.body.count <= configuration.payloadBytesMax else {
        return HTTPResponse.empty(.contentTooLarge)
      }
      let isBinary = request.headers["content-type"] == "application/octet-stream"
      var body = request.body
      if client.revision == .v3 && query["j"] != nil { body = EngineIOScript.payload(ofForm: body) }
      // Revision 4 has no such bodies; as text one breaks the protocol.
      let form: EngineIOPayload.Form = isBinary && client.revision == .v3 ? .binary : .text
      if isBinary && client.revision == .v4 { body = [] }
      if let refusal = await client.post(body, form) { return refuse(refusal) }
      // Not text/plain: some old browsers would offer to save it.
      return HTTPResponse.bytes(.ok, Array("ok".utf8), type: "text/html")
    default: return refuse(.badRequest)
    }
  }

  private func payload(
    _ packets: [EngineIOPacket], _ client: EngineIOClient, _ request: HTTPRequest, _ query: URLQuery
  ) -> HTTPResponse {
    let wantsBytes = client.takesBinaryPayloads && packets.contains { $0.isBetterInBytes }
    let form: EngineIOPayload.Form = wantsBytes ? .binary : .text
    let bytes = EngineIOPayload.encode(packets, form, revision: client.revision)
    var response: HTTPResponse
    if client.revision == .v3, let index = query["j"] {
      response = .bytes(
        .ok, EngineIOScript.script(payload: bytes, index: index), type: "text/javascript; charset=UTF-8")
      response.headers.set("X-Content-Type-Options", "nosniff")
    } else {
      response = .bytes(
        .ok, bytes, type: form == .binary ? "application/octet-stream" : "text/plain; charset=UTF-8")
    }
    if let least = configuration.gzipBytesMin { response.compress(for: request.head, bytesMin: least) }
    return response
  }

  // MARK: Refusals and origins

  private func refuse(_ refusal: EngineIORefusal) -> HTTPResponse {
    let json: JSONValue = ["code": .integer(Int64(refusal.rawValue)), "message": .string(refusal.message)]
    return HTTPResponse.json(refusal == .forbidden ? .forbidden : .badRequest, json.encoded())
  }

  private func busy() -> HTTPResponse {
    var response = HTTPResponse.text(.serviceUnavailable, "too many connections")
    response.headers.set("Retry-After", "5")
    return response
  }

  private var cors: CORSPolicy {
    var policy = CORSPolicy(origins: configuration.allowedOrigins)
    policy.methods = [.get, .post]
    policy.requestHeaders = ["Authorization", "Content-Type"]
    policy.exposedHeaders = []
    return policy
  }
}

/// A handshake that is handed on once and then forgotten.
private final class Arrival: Sendable {
  private let handshake: Mutex<SocketIOHandshake?>

  init(_ handshake: SocketIOHandshake) {
    self.handshake = Mutex(handshake)
  }

  func take() -> SocketIOHandshake? {
    handshake.withLock { handshake in
      defer { handshake = nil }
      return handshake
    }
  }
}
