import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: redirects") struct RedirectTests {
  /// Says what it was asked, and redirects `/to/{status}?{location}`.
  private static let handler: HTTPHandler = { request in
    let head = request.head
    if head.path.hasPrefix("/to/"), let status = Int(head.path.dropFirst(4)) {
      return .response(.text(HTTPStatus(status), "", headers: ["Location": head.rawQuery]))
    }
    let names = head.headers.fields.map { $0.name.lowercased() }.filter {
      !["host", "user-agent", "accept-encoding", "content-length"].contains($0)
    }
    let body = String(decoding: request.body, as: UTF8.self)
    return .response(
      .text(.ok, "\(head.method) \(head.target) [\(names.sorted().joined(separator: " "))] \(body)"))
  }

  private func text(
    _ method: HTTPMethod, _ path: String, body: String = "", toOther: Bool = false, left: Int = 1
  ) async throws -> String {
    try await ClientFixture.run { fixture in
      let here = try fixture.serve(HTTPServer.Configuration(), Self.handler)
      let there = try fixture.serve(HTTPServer.Configuration(), Self.handler)
      let url = here + path + (toOther ? "\(there)/x" : "/x")
      var request = try HTTPClientRequest(method, url, body: Array(body.utf8))
      request.headers = [
        "Authorization": "Bearer secret", "X-Platform-Token": "secret", "Cookie": "a=b", "Accept": "*/*",
      ]
      if !body.isEmpty { request.headers.set("Content-Type", "text/plain") }
      request.redirectsMax = left
      let response = try await fixture.client.send(request)
      return response.status == .ok ? response.text : "\(response.status.code)"
    }
  }

  @Test("without leave no redirect is followed")
  func standard() async throws {
    #expect(try await text(.get, "/to/302?", left: 0) == "302")
  }

  @Test("the method and body change as RFC 9110 section 15.4 has it")
  func methods() async throws {
    let all = "[accept authorization cookie x-platform-token]"
    let withBody = "[accept authorization content-type cookie x-platform-token]"
    #expect(try await text(.post, "/to/302?", body: "b") == "GET /x \(all) ")
    #expect(try await text(.post, "/to/303?", body: "b") == "GET /x \(all) ")
    #expect(try await text(.put, "/to/303?", body: "b") == "GET /x \(all) ")
    #expect(try await text(.put, "/to/301?", body: "b") == "PUT /x \(withBody) b")
    #expect(try await text(.post, "/to/307?", body: "b") == "POST /x \(withBody) b")
    #expect(try await text(.post, "/to/308?", body: "b") == "POST /x \(withBody) b")
  }

  @Test("another origin gets no credential, and no body")
  func otherOrigin() async throws {
    #expect(try await text(.get, "/to/302?", toOther: true) == "GET /x [accept] ")
    #expect(try await text(.post, "/to/307?", body: "secret", toOther: true) == "307")
  }

  @Test("a loop ends with the redirect as the answer")
  func loop() async throws {
    let (status, asked) = try await ClientFixture.run { fixture in
      let asked = Box(0)
      let url = try fixture.serve { _ in
        asked.change { $0 += 1 }
        return .response(.text(.found, "", headers: ["Location": "/again"]))
      }
      let response = try await fixture.client.send(.get(url) { $0.redirectsMax = 4 })
      return (response.status, asked.value)
    }
    #expect(status == .found)
    #expect(asked == 5)
  }

  @Test("a redirect to a private address is refused; a message that was sent before it is not called unsent")
  func privateTarget() async throws {
    // Behind a proxy, because nothing public can be reached from a test.
    let proxy = try TestProxy(
      answer: "HTTP/1.1 303 See Other\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"
    )
    defer { proxy.stop() }
    let settings = ProxySettings(http: try HTTPProxy("\(proxy.address)"))
    let (get, post) = try await ClientFixture.run(
      names: ["public.test": ["93.184.215.14"]], configure: { $0.proxies = settings }
    ) { fixture in
      let change: (inout HTTPClientRequest) -> Void = {
        $0.addressPolicy = .publicOnly
        $0.redirectsMax = 3
      }
      return (
        await fixture.error(try .get("http://public.test/", change)),
        await fixture.error(try .post("http://public.test/", "message", change))
      )
    }
    #expect(get == .notSent(.addressRefused))
    #expect(post == .unanswered(.redirectFailed(.addressRefused)))
  }

  @Test("a step down from https, and a Location that is none, are left to the caller")
  func notFollowed() async throws {
    #expect(try await text(.get, "/to/302?ftp:") == "302")
    #expect(try await text(.get, "/to/304?") == "304")
  }
}
