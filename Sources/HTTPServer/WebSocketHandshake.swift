import Bytes
import COpenSSL
package import HTTPWire
package import WebSocketWire

/// The server's side of the WebSocket opening handshake (RFC 6455 section 4.2).
package enum WebSocketHandshake {
  /// Joined to the client's key (RFC 6455 section 1.3).
  private static let keySuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  /// Checks a request and makes the answer.
  ///
  /// - Parameters:
  ///   - subprotocols: those we speak, the best first; the first that the client offers is chosen.
  ///   - allowedOrigins: for browsers; see `OriginRule.allowsSender`.
  /// - Returns: the 101 for `HTTPAnswer.upgrade`, or the refusal: 426 for a request that is no upgrade
  ///   or of another version, 403 for a foreign origin, 400 for a malformed one.
  package static func answer(
    for request: HTTPRequest, subprotocols: [String] = [], allowedOrigins: OriginRule
  ) -> Result<HTTPResponse, HTTPResponse> {
    let headers = request.headers
    guard request.method == .get, request.head.version == .http11, request.body.isEmpty else {
      return .failure(HTTPProblem.response(.badRequest, code: "websocket_malformed"))
    }
    guard headers.list("upgrade", contains: "websocket"), headers.list("connection", contains: "upgrade"),
      headers.all("sec-websocket-version") == ["13"]
    else {
      let wanted: HTTPHeaders = [
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
      ]
      return .failure(HTTPProblem.response(.upgradeRequired, code: "upgrade_required", headers: wanted))
    }
    let keys = headers.all("sec-websocket-key")
    guard keys.count == 1, let key = keys.first, key.utf8.count == 24, Base64.decode(key)?.count == 16 else {
      return .failure(HTTPProblem.response(.badRequest, code: "websocket_malformed"))
    }
    guard ExtensionOffer.list(of: headers.all("sec-websocket-extensions")) != nil else {
      return .failure(HTTPProblem.response(.badRequest, code: "websocket_malformed"))
    }
    guard allowedOrigins.allowsSender(of: request.head) else {
      return .failure(HTTPProblem.response(.forbidden, code: "origin_not_allowed"))
    }
    var answer: HTTPHeaders = [
      "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": acceptKey(for: key),
    ]
    let offered = headers.list("sec-websocket-protocol")
    if let chosen = subprotocols.first(where: { offered.contains($0) }) {
      answer.add("Sec-WebSocket-Protocol", chosen)
    }
    return .success(.empty(.switchingProtocols, headers: answer))
  }

  /// Agrees on compression where the client offers it, and says so in `response`. nil: none.
  package static func agreeOnCompression(
    _ request: HTTPRequest, _ policy: PerMessageDeflate.Policy, in response: inout HTTPResponse
  ) -> PerMessageDeflate? {
    let offers = request.headers.all("sec-websocket-extensions")
    guard let agreed = PerMessageDeflate.negotiate(offers: offers, policy: policy) else { return nil }
    response.headers.set("Sec-WebSocket-Extensions", agreed.response)
    return agreed
  }

  /// What the server proves to have read the client's key with. A client compares it.
  package static func acceptKey(for key: String) -> String {
    let input = Array((key + keySuffix).utf8)
    var digest = [UInt8](repeating: 0, count: 20)
    let result = EVP_Digest(input, input.count, &digest, nil, EVP_sha1(), nil)
    precondition(result == 1, "OpenSSL has no SHA-1")
    return Base64.encode(digest)
  }
}
