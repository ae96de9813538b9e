import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP client: TLS") struct TLSTests {
  /// How a request for `host` ends at a server with that certificate.
  private func outcome(
    _ certificates: TestCertificates, _ certificate: String, host: String, trusts: Bool = true
  ) async throws -> Result<HTTPClientResponse, HTTPClientError> {
    try await ClientFixture.run(
      names: ["good.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]],
      trusting: trusts ? certificates.authority : nil
    ) { fixture in
      var configuration = HTTPServer.Configuration()
      configuration.tls = try certificates.context(certificate)
      let url = try fixture.serve(configuration) { request in .response(.text(.ok, request.head.authority)) }
      let port = url.split(separator: ":").last ?? ""
      return await fixture.outcome(try .post("https://\(host):\(port)/"))
    }
  }

  @Test("a good certificate is accepted, for a name and for an address")
  func good() async throws {
    let certificates = try TestCertificates()
    #expect(try await outcome(certificates, "good", host: "good.test").get().text.hasPrefix("good.test:"))
    #expect(try await outcome(certificates, "address", host: "127.0.0.1").get().status == .ok)
  }

  @Test("another name, another address, an expired or a foreign certificate has sent nothing")
  func refused() async throws {
    let certificates = try TestCertificates()
    let cases: [(certificate: String, host: String, trusts: Bool, text: String)] = [
      ("good", "other.test", true, "hostname mismatch"), ("good", "127.0.0.1", true, "IP address mismatch"),
      ("address", "good.test", true, "hostname mismatch"), ("expired", "good.test", true, "expired"),
      ("self", "good.test", true, "self-signed"), ("good", "good.test", false, "issuer"),
    ]
    for one in cases {
      let outcome = try await outcome(certificates, one.certificate, host: one.host, trusts: one.trusts)
      guard case .failure(.notSent(.tlsFailed(let text))) = outcome else {
        Issue.record("\(one): \(outcome)")
        continue
      }
      #expect(text.contains(one.text), "\(one)")
    }
  }

  @Test("connections are kept under TLS too, and a session's tickets are no answer")
  func reuse() async throws {
    let certificates = try TestCertificates()
    let (most, idle) = try await ClientFixture.run(
      names: ["good.test": ["127.0.0.1"]], trusting: certificates.authority
    ) { fixture in
      var configuration = HTTPServer.Configuration()
      configuration.tls = try certificates.context("good")
      let server = HTTPServer(loop: fixture.loop, configuration: configuration, observer: nil) { _ in
        .response(.text(.ok, "ok"))
      }
      let opened = Box(0)
      let listener = try Listener.bind(
        try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: fixture.loop)
      server.listen(listener)
      let port = listener.address.port ?? 0
      for _ in 0..<5 {
        _ = try await fixture.client.send(.get("https://good.test:\(port)/"))
        opened.value = max(opened.value, await fixture.client.statistics.connections)
        try await fixture.loop.sleep(for: .milliseconds(5))
      }
      return (opened.value, await fixture.client.statistics.idle)
    }
    #expect(most == 1)
    #expect(idle == 1)
  }

  @Test("a body without a length that ends without TLS's own end may be cut off: no answer")
  func truncated() async throws {
    let certificates = try TestCertificates()
    let tls = try certificates.context("good")
    let (cut, whole) = try await ClientFixture.run(
      names: ["good.test": ["127.0.0.1"]], trusting: certificates.authority
    ) { fixture in
      let url = try fixture.serveRaw { peer, shard in
        try await peer.socket.startTLS(tls)
        let text = try await peer.hear() ?? ""
        peer.say("HTTP/1.1 200 OK\r\n\r\nall")
        try await peer.socket.drain(below: 0)
        try await shard.loop.sleep(for: .milliseconds(20))
        if text.contains("/whole") {
          peer.socket.closeAfterFlush(deadline: shard.loop.now + .seconds(2))
          await peer.waitForEnd()
        }
      }
      let port = url.split(separator: ":").last ?? ""
      return (
        await fixture.outcome(try .get("https://good.test:\(port)/cut")),
        await fixture.outcome(try .get("https://good.test:\(port)/whole"))
      )
    }
    #expect(throws: HTTPClientError.unanswered(.connectionClosed)) { try cut.get() }
    #expect(try whole.get().text == "all")
  }
}
