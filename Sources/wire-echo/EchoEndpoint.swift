import EventLoop
import HTTPServer
import HTTPWire

/// One protocol's place in the program: a path, and what answers there.
struct EchoEndpoint: Sendable {
  /// Exactly this path, or with a slash at its end everything that begins with it.
  let path: String
  /// The longest body of a request.
  var bodyBytesMax = 0
  let answer: HTTPHandler

  /// All that the program serves. A protocol that joins adds its endpoints here.
  static func all(_ options: EchoOptions, on loop: EventLoop) -> [EchoEndpoint] {
    [
      EchoEndpoint(path: "/ws", answer: WebSocketEcho.answer)
    ]
  }

  func matches(_ requestPath: String) -> Bool {
    path.hasSuffix("/") ? requestPath.hasPrefix(path) : requestPath == path
  }
}

extension [EchoEndpoint] {
  /// A server of these endpoints; 404 elsewhere.
  func server(on loop: EventLoop) -> HTTPServer {
    let configuration = HTTPServer.Configuration(
      bodyBytesMax: { head in first { $0.matches(head.path) }?.bodyBytesMax ?? 0 })
    return HTTPServer(loop: loop, configuration: configuration) { request in
      guard let endpoint = first(where: { $0.matches(request.path) }) else {
        return .response(.text(.notFound, "not found"))
      }
      return await endpoint.answer(request)
    }
  }
}
