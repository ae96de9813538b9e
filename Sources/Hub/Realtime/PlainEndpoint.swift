import EventLoop
package import HTTPServer
import WebSocketWire
package import HTTPWire
import JSON

/// The plain WebSocket endpoint `/ws`: the realtime contract as JSON text frames
/// `{"type":...,"data":...}` both ways. A frame with an `id` is answered by
/// `{"type":"ack","data":{"id":...,"ok":...}}`.
extension RealtimeGateway {
  /// Serves one connection until it ends. Runs inside the connection's task on the gateway's loop.
  package func serve(_ connection: WebSocketConnection, _ request: HTTPRequest) async {
    dependencies.metrics.plainOpened()
    defer { dependencies.metrics.plainClosed(isSlow: connection.end == .slow) }
    let id = nextPlainID()
    let session = opened(id, .plain(connection))
    let query = try? request.head.query()
    if let token = HandshakeToken.find(headers: request.headers, query: query?["token"]) {
      await authenticate(session, token: token, lastSeq: query?["lastSeq"].flatMap { Int64($0) })
    }
    while let message = await connection.receive() {
      guard case .text(let text) = message else {
        sendError(session, "invalid_request", "frames are JSON text")
        continue
      }
      await take(session, text)
    }
    closed(id)
  }

  private func take(_ session: RealtimeSession, _ text: [UInt8]) async {
    guard let frame = try? JSONValue(parsing: text), let type = frame["type"]?.string else {
      return sendError(session, "invalid_request", "a frame is {\"type\":...,\"data\":...}")
    }
    guard let reply = await handle(session, type, { frame["data"] }) else { return }
    if let id = frame["id"], case .object(var members) = reply.json {
      members["id"] = id
      session.client.send("ack", payload(members))
    } else if case .failure(let code, let message) = reply {
      sendError(session, code, message)
    }
  }
}
