import HTTPWire
import SocketIOServer

/// Where a token may stand in a handshake, besides the CONNECT payload: `Authorization: Bearer`, the
/// `token` query parameter, the `token` cookie; looked for in this order.
enum HandshakeToken {
  static func find(_ handshake: SocketIOHandshake) -> String? {
    find(headers: handshake.headers, query: handshake.query["token"])
  }

  static func find(headers: HTTPHeaders, query: String?) -> String? {
    if let token = bearer(headers["authorization"]) { return token }
    if let query, !query.isEmpty { return query }
    return headers.cookie("token")
  }

  /// The token of an `Authorization` header; nil for another scheme or none.
  static func bearer(_ header: String?) -> String? {
    guard let header else { return nil }
    let parts = header.split(separator: " ", omittingEmptySubsequences: true)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
    return String(parts[1])
  }
}
