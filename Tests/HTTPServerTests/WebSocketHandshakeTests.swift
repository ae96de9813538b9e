import HTTPServer
import HTTPWire
import Testing
import WebSocketWire

@Suite struct WebSocketHandshakeTests {
  /// The example of RFC 6455 section 1.3, with some fields replaced ("" leaves one out).
  private func request(_ changes: [String: String] = [:], method: HTTPMethod = .get) -> HTTPRequest {
    var headers: HTTPHeaders = [
      "Host": "h", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    ]
    for (name, value) in changes {
      headers.remove(name)
      if !value.isEmpty { headers.add(name, value) }
    }
    return HTTPRequest(head: HTTPRequestHead(method: method, target: "/ws", headers: headers))
  }

  private func status(_ request: HTTPRequest, _ origins: OriginRule = .any) -> HTTPStatus {
    switch WebSocketHandshake.answer(for: request, allowedOrigins: origins) {
    case .success(let response), .failure(let response): response.status
    }
  }

  @Test("answers the example of the specification")
  func example() throws {
    let answer = try WebSocketHandshake.answer(
      for: request(["Sec-WebSocket-Protocol": "chat, superchat"]), subprotocols: ["superchat", "chat"],
      allowedOrigins: .any
    ).get()
    #expect(answer.status == .switchingProtocols)
    #expect(answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    #expect(answer.headers["sec-websocket-protocol"] == "superchat")
    #expect(answer.headers["connection"] == "Upgrade" && answer.headers["upgrade"] == "websocket")
  }

  @Test("names no subprotocol that was not offered")
  func noSubprotocol() throws {
    let answer = try WebSocketHandshake.answer(
      for: request(), subprotocols: ["chat"], allowedOrigins: .any
    ).get()
    #expect(answer.headers["sec-websocket-protocol"] == nil)
  }

  @Test(
    "refuses what is not a proper upgrade",
    arguments: [
      ("Upgrade", "", 426), ("Upgrade", "h2c", 426), ("Connection", "keep-alive", 426),
      ("Sec-WebSocket-Version", "8", 426), ("Sec-WebSocket-Version", "", 426),
      ("Sec-WebSocket-Key", "", 400), ("Sec-WebSocket-Key", "c2hvcnQ=", 400),
      ("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!==", 400),
      ("Sec-WebSocket-Extensions", "permessage-deflate; a b", 400),
      ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=\"10", 400),
    ])
  func refused(name: String, value: String, code: Int) {
    #expect(status(request([name: value])).code == code)
    #expect(status(request(method: .post)) == .badRequest)
  }

  @Test("says what it speaks to those who do not, and takes no HTTP/1.0")
  func wanted() {
    let other = request(["Sec-WebSocket-Version": "8"])
    guard case .failure(let answer) = WebSocketHandshake.answer(for: other, allowedOrigins: .any) else {
      Issue.record("version 8 was taken")
      return
    }
    #expect(answer.headers["sec-websocket-version"] == "13")
    #expect(answer.headers["upgrade"] == "websocket")
    var old = request()
    old.head.version = .http10
    #expect(status(old) == .badRequest)
  }

  @Test("an offer that cannot be taken is declined, and the connection stands")
  func declinedExtension() throws {
    for offer in ["permessage-deflate; unknown", "x-other", "permessage-deflate; server_max_window_bits=7"] {
      let request = request(["Sec-WebSocket-Extensions": offer])
      var answer = try WebSocketHandshake.answer(for: request, allowedOrigins: .any).get()
      #expect(WebSocketHandshake.agreeOnCompression(request, .frugal, in: &answer) == nil)
      #expect(answer.headers["sec-websocket-extensions"] == nil)
    }
  }

  @Test("checks the origin of browsers and lets programs pass")
  func origins() {
    let rule = OriginRule.list(["https://inbox.example"])
    #expect(status(request(["Origin": "https://inbox.example"]), rule) == .switchingProtocols)
    #expect(status(request(["Origin": "https://evil.example"]), rule) == .forbidden)
    #expect(status(request(), rule) == .switchingProtocols)
    // The server's own, by its name.
    #expect(status(request(["Origin": "https://h"]), rule) == .switchingProtocols)
    #expect(status(request(["Origin": "https://h.evil.example"]), rule) == .forbidden)
    #expect(status(request(["Origin": "null"]), rule) == .forbidden)
  }
}
