import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: proxies") struct ProxyTests {
  @Test("plain requests go to the proxy in absolute form, with its credentials")
  func plain() async throws {
    let proxy = try TestProxy()
    defer { proxy.stop() }
    let settings = ProxySettings(http: try HTTPProxy("http://us%40er:pa%3Ass@\(proxy.address)/"))
    let texts = try await ClientFixture.run(configure: { $0.proxies = settings }) { fixture in
      // The name does not resolve here: that is the proxy's matter.
      var texts: [String] = []
      for path in ["a?b", "c"] {
        texts.append(try await fixture.client.send(.get("http://far.test/\(path)")).text)
      }
      return texts
    }
    #expect(texts == ["ok", "ok"])
    let first = proxy.heard.value.first ?? ""
    #expect(first.hasPrefix("GET http://far.test/a?b HTTP/1.1\r\nHost: far.test\r\n"))
    // us@er:pa:ss
    #expect(first.contains("Proxy-Authorization: Basic dXNAZXI6cGE6c3M=\r\n"))
  }

  @Test("https goes through a tunnel, and the credentials stay at the proxy")
  func tunnel() async throws {
    let proxy = try TestProxy()
    defer { proxy.stop() }
    let certificates = try TestCertificates()
    let settings = ProxySettings(https: try HTTPProxy("user:pass@\(proxy.address)"))
    let (text, port) = try await ClientFixture.run(
      trusting: certificates.authority, configure: { $0.proxies = settings }
    ) { fixture in
      var configuration = HTTPServer.Configuration()
      configuration.tls = try certificates.context("good")
      let url = try fixture.serve(configuration) { request in
        .response(.text(.ok, "\(request.head.target) \(request.headers.contains("proxy-authorization"))"))
      }
      let port = String(url.split(separator: ":").last ?? "")
      return (try await fixture.client.send(.get("https://good.test:\(port)/x")).text, port)
    }
    #expect(text == "/x false")
    let first = proxy.heard.value.first ?? ""
    #expect(first.hasPrefix("CONNECT good.test:\(port) HTTP/1.1\r\nHost: good.test:\(port)\r\n"))
    #expect(first.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"))
  }

  @Test("a proxy that gives no tunnel has sent nothing")
  func noTunnel() async throws {
    for (answer, expected) in [
      (
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        HTTPClientError.NotSentReason.proxyRefused(status: 407)
      ),
      ("nonsense\r\n\r\n", .proxyFailed),
      ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", .proxyFailed),
    ] {
      let proxy = try TestProxy(tunnel: answer)
      defer { proxy.stop() }
      let settings = ProxySettings(https: try HTTPProxy("\(proxy.address)"))
      let error = try await ClientFixture.run(configure: { $0.proxies = settings }) { fixture in
        await fixture.error(try .post("https://far.test/"))
      }
      #expect(error == .notSent(expected))
    }
  }

  @Test("behind a proxy the policy refuses private addresses and names that are private here")
  func policy() async throws {
    let proxy = try TestProxy()
    defer { proxy.stop() }
    let settings = ProxySettings(http: try HTTPProxy("\(proxy.address)"))
    let names = ["private.test": ["10.0.0.1"], "public.test": ["93.184.215.14"]]
    let outcomes = try await ClientFixture.run(names: names, configure: { $0.proxies = settings }) {
      fixture in
      var outcomes: [HTTPClientError?] = []
      for host in ["10.0.0.1", "[::1]", "private.test", "public.test", "unknown.test"] {
        outcomes.append(await fixture.error(try .get("http://\(host)/") { $0.addressPolicy = .publicOnly }))
      }
      return outcomes
    }
    let refused = HTTPClientError.notSent(.addressRefused)
    #expect(outcomes == [refused, refused, refused, nil, nil])
  }

  @Test(
    "exceptions are read as curl reads no_proxy",
    arguments: [
      ("example.org", "http://example.org/", true), ("example.org", "http://api.example.org/", true),
      ("example.org", "http://notexample.org/", false), (".example.org", "http://example.org/", true),
      ("Example.ORG.", "http://example.org:81/", true), ("a.test, b.test", "http://b.test/", true),
      ("a.test b.test", "http://b.test/", true), ("*", "http://anything/", true),
      ("*.example.org", "http://a.example.org/", false), ("10.0.0.0/8", "http://10.2.3.4/", true),
      ("10.0.0.0/8", "http://11.2.3.4/", false), ("127.0.0.1", "http://127.0.0.1:3000/", true),
      ("::1", "http://[::1]/", true), ("[::1]", "http://[::1]/", true),
      ("fd00::/8", "http://[fd12::1]/", true),
      ("10.0.0.0/33", "http://10.0.0.1/", false), ("0.0.1", "http://10.0.0.1/", false),
      ("", "http://a/", false),
    ])
  func exceptions(exceptions: String, url: String, isExcepted: Bool) throws {
    let settings = ProxySettings(http: try HTTPProxy("proxy:8080"), exceptions: exceptions)
    #expect((settings.proxy(for: try HTTPURL(url)) == nil) == isExcepted)
  }

  @Test("each scheme has its proxy")
  func schemes() throws {
    let settings = ProxySettings(http: try HTTPProxy("a"), https: try HTTPProxy("http://[::1]:8080"))
    #expect(settings.proxy(for: try HTTPURL("http://x/"))?.host == "a")
    #expect(settings.proxy(for: try HTTPURL("http://x/"))?.port == 1080)
    #expect(settings.proxy(for: try HTTPURL("https://x/"))?.host == "::1")
    #expect(settings.proxy(for: try HTTPURL("https://x/"))?.port == 8080)
  }

  @Test(
    "what is no HTTP proxy is refused, without showing credentials",
    arguments: ["https://p:1", "socks5://user:canary@p:1", "http://", "http://user:canary@p:99999", "p/path"])
  func unusable(text: String) {
    do throws(HTTPProxy.Unusable) {
      _ = try HTTPProxy(text)
      Issue.record("\(text) was taken")
    } catch {
      #expect(!error.reason.contains("canary"))
    }
  }
}
