import EventLoop
import Foundation

/// An authority and certificates that it signed, in a folder of their own.
final class TestCertificates: Sendable {
  struct Failed: Error {
    let arguments: [String]
  }

  private let folder: URL

  var authority: String { path("authority.pem") }

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "hub-certificates-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try run(
      ["req", "-x509"] + Self.newKey + [
        "-days", "2", "-subj", "/CN=Test authority", "-keyout", path("authority.key"), "-out", authority,
      ])
    try sign("good", names: "DNS:good.test,DNS:localhost", days: "2")
    try sign("address", names: "IP:127.0.0.1", days: "2")
    try sign("expired", names: "DNS:good.test", days: "-1")
    try run(
      ["req", "-x509"] + Self.newKey + [
        "-days", "2", "-subj", "/CN=good.test", "-addext", "subjectAltName=DNS:good.test", "-keyout",
        path("self.key"), "-out", path("self.pem"),
      ])
  }

  deinit {
    try? FileManager.default.removeItem(at: folder)
  }

  /// For a server with the certificate of that name.
  func context(_ name: String) throws -> TLSContext {
    try TLSContext(serverCertificate: path("\(name).pem"), key: path("\(name).key"))
  }

  private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

  private func path(_ name: String) -> String { folder.appending(path: name).path }

  private func sign(_ name: String, names: String, days: String) throws {
    try Data("subjectAltName=\(names)\n".utf8).write(to: URL(fileURLWithPath: path("\(name).ext")))
    try run(
      ["req"] + Self.newKey + [
        "-subj", "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).csr"),
      ])
    try run([
      "x509", "-req", "-in", path("\(name).csr"), "-CA", authority, "-CAkey", path("authority.key"),
      "-CAcreateserial", "-days", days, "-extfile", path("\(name).ext"), "-out", path("\(name).pem"),
    ])
  }

  private func run(_ arguments: [String]) throws {
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    openssl.arguments = arguments
    openssl.standardError = FileHandle.nullDevice
    openssl.standardOutput = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    guard openssl.terminationStatus == 0 else { throw Failed(arguments: arguments) }
  }
}
