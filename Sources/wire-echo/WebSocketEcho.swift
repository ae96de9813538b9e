import EventLoop
import HTTPServer
import HTTPWire
import WebSocketWire

/// A WebSocket that sends each message back: text as text, binary as binary.
enum WebSocketEcho {
  private static let messageBytesMax = 16 << 20

  static func answer(_ request: HTTPRequest) async -> HTTPAnswer {
    switch WebSocketHandshake.answer(for: request, allowedOrigins: .any) {
    case .failure(let refusal): return .response(refusal)
    case .success(var response):
      let deflate = WebSocketHandshake.agreeOnCompression(request, .asOffered, in: &response)
      return .upgrade(response) { socket, leftover in
        let connection = WebSocketConnection(
          socket: socket, leftover: leftover, configuration: configuration, deflate: deflate)
        while let message = await connection.receive() {
          connection.send(message)
          await connection.drain(below: messageBytesMax, within: .seconds(30))
        }
      }
    }
  }

  /// A suite sends a message in as many fragments as it likes, and pings when it likes.
  private static var configuration: WebSocketConnection.Configuration {
    WebSocketConnection.Configuration(
      limits: WebSocketLimits(messageBytesMax: messageBytesMax, fragmentsMax: 1 << 20), pingInterval: nil,
      queueBytesMax: 4 * messageBytesMax)
  }
}
