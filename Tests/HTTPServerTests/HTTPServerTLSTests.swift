import EventLoop
import Foundation
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("HTTP server over TLS") struct HTTPServerTLSTests {
  /// A certificate for localhost that signs itself, and its key, in a folder of its own.
  private func makeCertificate(in folder: URL) throws -> (certificate: String, key: String) {
    let certificate = folder.appending(path: "cert.pem").path
    let key = folder.appending(path: "key.pem").path
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    openssl.arguments = [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
      certificate,
    ]
    openssl.standardError = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    return (certificate, key)
  }

  @Test("serves requests, large answers and refusals over TLS, and closes on plain text")
  func secure() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "hub-https-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let files = try makeCertificate(in: folder)
    let trust = try TLSContext(clientTrusting: files.certificate)
    var configuration = HTTPServer.Configuration()
    configuration.tls = try TLSContext(serverCertificate: files.certificate, key: files.key)
    configuration.limits.bodyBytesMax = 3 << 20
    configuration.bodyBytesMax = { _ in 2 << 20 }
    let body = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let (first, large, refused, plain) = try await ServerFixture.run(
      configuration,
      handler: { request in
        request.body.isEmpty
          ? .response(.text(.ok, "\(request.isSecure)"))
          : .response(.bytes(.ok, request.body, type: "application/octet-stream"))
      }
    ) { fixture in
      let client = try await HTTPClientConnection.connect(
        to: fixture.address, on: fixture.loop, tls: trust, serverName: "localhost", deadline: fixture.soon)
      let first = try await client.request(.get, "/", deadline: fixture.soon)
      let large = try await client.request(.post, "/", body: body, deadline: fixture.soon)
      client.sendRaw(
        Array("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n".utf8), answers: .post)
      let refused = try await client.receive(deadline: fixture.soon)
      client.close()
      return (first, large, refused, try await fixture.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
    }
    #expect(first.text == "true")
    #expect(large.body == body)
    #expect(refused.status == .contentTooLarge)
    #expect(plain?.contains("HTTP/1.1") == false)
  }
}
