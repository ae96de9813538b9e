import EventLoop
import HTTPServer
import HTTPWire
import SocketIOServer

/// One protocol's place in the program: a path, and what answers there.
struct EchoEndpoint: Sendable {
  /// Exactly this path, or with a slash at its end everything that begins with it.
  let path: String
  /// The longest body of a request.
  var bodyBytesMax = 0
  let answer: HTTPHandler

  /// All that the program serves. A protocol that joins adds its endpoints here.
  static func all(_ options: EchoOptions, on loop: EventLoop) -> [EchoEndpoint] {
    var configuration = SocketIOConfiguration()
    configuration.pingInterval = options.pingInterval
    configuration.pingTimeout = options.pingTimeout
    configuration.allowsRevision3 = options.allowsEngineIO3
    configuration.allowedOrigins = .any
    let bodyBytesMax = configuration.payloadBytesMax
    let socketIO = SocketIOServer(loop: loop, configuration: configuration, application: SocketIOEcho())
    configuration.path = "/engine.io/"
    let engineIO = EngineIOServer(loop: loop, configuration: configuration) { EngineIOEcho($0) }
    return [
      EchoEndpoint(path: "/ws", answer: WebSocketEcho.answer),
      EchoEndpoint(path: "/socket.io/", bodyBytesMax: bodyBytesMax) { await socketIO.handle($0) },
      EchoEndpoint(path: "/engine.io/", bodyBytesMax: bodyBytesMax) { await engineIO.handle($0) },
    ]
  }

  func matches(_ requestPath: String) -> Bool {
    path.hasSuffix("/") ? requestPath.hasPrefix(path) : requestPath == path
  }
}

extension [EchoEndpoint] {
  /// A server of these endpoints; 404 elsewhere.
  func server(on loop: EventLoop) -> HTTPServer {
    var configuration = HTTPServer.Configuration(
      bodyBytesMax: { head in first { $0.matches(head.rawPath) }?.bodyBytesMax ?? 0 })
    let cors = CORSPolicy(origins: .any)
    configuration.refusalHeaders = { cors.headers(for: $0) }
    return HTTPServer(loop: loop, configuration: configuration) { request in
      guard let endpoint = first(where: { $0.matches(request.head.rawPath) }) else {
        return .response(.text(.notFound, "not found"))
      }
      return await endpoint.answer(request)
    }
  }
}
