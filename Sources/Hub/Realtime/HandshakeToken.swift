import HTTPWire
import SocketIOServer

/// Where a token may stand in a handshake, besides the CONNECT payload: `Authorization: Bearer`, the
/// `token` query parameter, the `token` cookie; looked for in this order.
enum HandshakeToken {
  static func find(_ handshake: SocketIOHandshake) -> String? {
    // A polling answer that is a script can be read by any page, which has the browser fetch it with the
    // user's cookies and without an Origin (JSONP).
    let isScript = handshake.query["j"] != nil
    return find(headers: handshake.headers, query: handshake.query["token"], takesCookie: !isScript)
  }

  static func find(headers: HTTPHeaders, query: String?, takesCookie: Bool = true) -> String? {
    if let token = bearer(headers["authorization"]) { return token }
    if let query, !query.isEmpty { return query }
    return takesCookie ? headers.cookie("token") : nil
  }

  /// The token of an `Authorization` header; nil for another scheme or none.
  static func bearer(_ header: String?) -> String? {
    guard let header else { return nil }
    let parts = header.split(separator: " ", omittingEmptySubsequences: true)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
    return String(parts[1])
  }
}
