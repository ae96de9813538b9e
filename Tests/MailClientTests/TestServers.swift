import EventLoop
import Foundation
import MailWire
import Testing

@testable import MailClient

/// A program that runs as long as the tests do: it ends when its standard input does or a line comes, so even a test run that
/// crashes leaves nothing behind.
final class TestProgram: @unchecked Sendable {
  // Safe because: used when the shared server starts and when the run ends.
  private let process: Process
  private let input: Pipe
  let output: Pipe

  init(_ path: String, _ arguments: [String]) throws {
    let process = Process()
    input = Pipe()
    output = Pipe()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = output
    // Threads of the pool have their signals blocked, and a program that inherits that never hears SIGTERM.
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
    self.process = process
  }

  var isRunning: Bool { process.isRunning }

  func stop() {
    if process.isRunning { try? input.fileHandleForWriting.write(contentsOf: [10]) }
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  /// The first line that it prints.
  func firstLine() -> String {
    var line: [UInt8] = []
    while let byte = output.fileHandleForReading.readData(ofLength: 1).first, byte != 10 { line.append(byte) }
    return String(decoding: line, as: UTF8.self)
  }
}

/// A folder with a certificate for localhost that signs itself.
enum TestFolder {
  static func make(_ name: String) throws -> URL {
    let folder = URL(fileURLWithPath: "/tmp/hub-mail-tests-\(getpid())-\(name)")
    try? FileManager.default.removeItem(at: folder)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    openssl.arguments = [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-keyout", folder.appending(path: "key.pem").path, "-out", folder.appending(path: "cert.pem").path,
      "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
    ]
    openssl.standardError = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    return folder
  }

  /// A port that nobody has at the moment.
  static func freePort() throws -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    try #require(bound)
    return UInt16(bigEndian: address.sin_port)
  }
}

/// A private Dovecot, one for the whole run: its own folder, loopback only. Any user is let in with `secret`.
struct TestDovecot: Sendable {
  static let program = "/usr/sbin/dovecot"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: program) }

  let folder: URL
  let plainPort: UInt16
  let tlsPort: UInt16
  let tls: TLSContext
  private let process: TestProgram

  private static let started = Result<TestDovecot, any Error> { try TestDovecot() }

  static func server() throws -> TestDovecot { try started.get() }

  private init() throws {
    folder = try TestFolder.make("dovecot")
    plainPort = try TestFolder.freePort()
    tlsPort = try TestFolder.freePort()
    for name in ["run", "state", "mail"] {
      try FileManager.default.createDirectory(
        at: folder.appending(path: name), withIntermediateDirectories: true)
    }
    chmod(folder.appending(path: "mail").path, 0o777)
    let configuration = folder.appending(path: "dovecot.conf")
    try Self.configuration(folder.path, plainPort, tlsPort)
      .write(to: configuration, atomically: true, encoding: .utf8)
    process = try TestProgram(
      "/bin/sh",
      [
        "-c", "\(Self.program) -F -c \"$0\" >/dev/null 2>&1 & child=$!; read -r _; kill $child; wait $child",
        configuration.path,
      ])
    tls = try TLSContext(clientTrusting: folder.appending(path: "cert.pem").path)
    atexit {
      guard case .success(let server) = TestDovecot.started else { return }
      server.process.stop()
      try? FileManager.default.removeItem(at: server.folder)
    }
  }

  private static func configuration(_ folder: String, _ plainPort: UInt16, _ tlsPort: UInt16) -> String {
    // As root, mail belongs to `nobody` and the other processes to the accounts of the package; without root all
    // of it is ours.
    let isRoot = getuid() == 0
    let me = getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) } ?? "nobody"
    let group = getgrgid(getgid()).map { String(cString: $0.pointee.gr_name) } ?? "nogroup"
    let owner = isRoot ? "uid=65534 gid=65534" : "uid=\(getuid()) gid=\(getgid())"
    return """
      base_dir = \(folder)/run
      state_dir = \(folder)/state
      log_path = \(folder)/log
      protocols = imap
      listen = 127.0.0.1
      ssl = yes
      ssl_cert = <\(folder)/cert.pem
      ssl_key = <\(folder)/key.pem
      disable_plaintext_auth = yes
      auth_mechanisms = plain login
      default_internal_user = \(isRoot ? "dovecot" : me)
      default_internal_group = \(isRoot ? "dovecot" : group)
      default_login_user = \(isRoot ? "dovenull" : me)
      first_valid_uid = 1
      first_valid_gid = 1
      mail_location = maildir:\(folder)/mail/%u
      mail_max_userip_connections = 100
      auth_failure_delay = 0
      auth_cache_size = 0
      mail_fsync = never
      passdb {
        driver = static
        args = password=secret
      }
      userdb {
        driver = static
        args = \(owner) home=\(folder)/mail/%u
      }
      service imap-login {
        chroot =
        service_count = 0
        inet_listener imap {
          port = \(plainPort)
        }
        inet_listener imaps {
          port = \(tlsPort)
          ssl = yes
        }
      }
      service anvil {
        chroot =
      }
      namespace inbox {
        inbox = yes
        separator = /
        mailbox Sent {
          auto = create
          special_use = \\Sent
        }
      }

      """
  }

  func configuration(
    user: String, password: String = "secret", security: MailSecurity = .implicitTLS
  ) -> IMAPConfiguration {
    // A name with two addresses often, of which one listens.
    let server = MailServer(
      host: "localhost", port: security == .implicitTLS ? tlsPort : plainPort, security: security, tls: tls)
    return IMAPConfiguration(server: server, credentials: MailCredentials(user: user, password: password))
  }

  /// Connects; the first time the server may still be starting.
  static func connect(
    _ configuration: IMAPConfiguration, on loop: EventLoop, _ blocking: BlockingPool
  ) async throws -> IMAPClient {
    let end = LoopInstant.current() + .seconds(10)
    while true {
      do throws(IMAPFailure) {
        return try await IMAPClient.connect(configuration, on: loop, blocking: blocking)
      } catch {
        guard case .connection = error, LoopInstant.current() < end else { throw error }
      }
      try await loop.sleep(for: .milliseconds(50))
    }
  }
}

/// aiosmtpd in the environment of the end-to-end tests.
struct TestSMTPServer: Sendable {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  private static let python = root.appending(path: ".build/venv/bin/python").path
  static var isInstalled: Bool {
    let requirements = try? String(
      contentsOf: root.appending(path: ".build/venv/requirements.txt"), encoding: .utf8)
    return FileManager.default.isExecutableFile(atPath: python) && requirements?.contains("aiosmtpd") == true
  }

  let folder: URL
  let tls: TLSContext
  private let ports: [UInt16]
  private let process: TestProgram

  private static let started = Result<TestSMTPServer, any Error> { try TestSMTPServer() }

  static func server() throws -> TestSMTPServer { try started.get() }

  private init() throws {
    folder = try TestFolder.make("smtp")
    process = try TestProgram(
      Self.python, [Self.root.appending(path: "Tests/EndToEnd/smtp_server.py").path, folder.path])
    let said = process.firstLine().split(separator: " ").compactMap { UInt16($0) }
    try #require(said.count == 3, "the SMTP server did not start")
    ports = said
    tls = try TLSContext(clientTrusting: folder.appending(path: "cert.pem").path)
    atexit {
      guard case .success(let server) = TestSMTPServer.started else { return }
      server.process.stop()
      try? FileManager.default.removeItem(at: server.folder)
    }
  }

  func configuration(_ security: MailSecurity, password: String = "geheim-ü") -> SMTPClient.Configuration {
    let port =
      switch security {
      case .none: ports[0]
      case .startTLS: ports[1]
      case .implicitTLS: ports[2]
      }
    var server = MailServer(host: "127.0.0.1", port: port, security: security, tls: tls)
    server.certificateName = "localhost"
    let credentials = security == .none ? nil : MailCredentials(user: "ada", password: password)
    return SMTPClient.Configuration(server: server, credentials: credentials, clientName: "hub.test")
  }

  /// What the server kept of the message with this number.
  func kept(_ number: Substring) throws -> (message: [UInt8], facts: [String: Any]) {
    let message = try Data(contentsOf: folder.appending(path: "\(number).eml"))
    let facts = try JSONSerialization.jsonObject(
      with: Data(contentsOf: folder.appending(path: "\(number).json")))
    return (Array(message), facts as? [String: Any] ?? [:])
  }
}
