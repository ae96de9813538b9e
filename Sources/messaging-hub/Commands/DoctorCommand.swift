import Bytes
import EventLoop
import Glibc
import HTTPClient
import HTTPWire
import Hub
import JSON
import Postgres

/// `messaging-hub doctor`.
struct DoctorCommand: Command {
  static let name = "doctor"
  static let summary = "Looks whether everything that the hub needs is right, and says what to do."
  static let options = [OptionSpecification("json", nil, "prints JSON")]

  /// One thing that was looked at.
  struct Finding: Sendable, Equatable {
    let subject: String
    let isRight: Bool
    let detail: String
    /// What to do; empty when all is right.
    let remedy: String

    static func right(_ subject: String, _ detail: String) -> Finding {
      Finding(subject: subject, isRight: true, detail: detail, remedy: "")
    }

    static func wrong(_ subject: String, _ detail: String, _ remedy: String) -> Finding {
      Finding(subject: subject, isRight: false, detail: detail.oneLine, remedy: remedy)
    }

    var json: JSONValue {
      [
        "subject": .string(subject), "ok": .bool(isRight), "detail": .string(detail),
        "remedy": .string(remedy),
      ]
    }
  }

  private static let clockOffMaxSeconds = 2.0
  private static let serverVersionMin = 150_000

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let findings = await look(program)
    let wrong = findings.filter { !$0.isRight }
    if arguments.has("json") {
      let report: JSONValue = ["ok": .bool(wrong.isEmpty), "checks": .array(findings.map(\.json))]
      Console.line(String(decoding: report.encoded(), as: UTF8.self))
    } else {
      Console.table(
        findings.map { finding in
          let text = finding.remedy.isEmpty ? finding.detail : "\(finding.detail); \(finding.remedy)"
          return [finding.isRight ? "ok" : "problem", finding.subject, text]
        })
    }
    guard wrong.isEmpty else { throw Failure("\(wrong.map(\.subject).joined(separator: ", ")) not right") }
  }

  private static func look(_ program: Program) async -> [Finding] {
    let settings: Settings
    do {
      settings = try program.settings()
    } catch {
      return error.lines.map { .wrong("configuration", $0, "see: messaging-hub config") }
    }
    var findings: [Finding] = []
    if settings.warnings.isEmpty {
      findings.append(.right("configuration", settings.isProduction ? "production" : "development"))
    }
    findings += settings.warnings.map { .wrong("configuration", $0, "unset it or correct its name") }
    findings.append(secrets(settings))
    findings.append(dataFolder(settings))
    findings.append(await port(settings))
    return findings + (await database(settings))
  }

  private static func secrets(_ settings: Settings) -> Finding {
    do {
      _ = try SecretStore(settings).secrets(settings)
      return .right("secrets", "tokens can be checked, credentials can be sealed")
    } catch {
      return .wrong("secrets", "\(error)", "set JWT_SECRET and ENCRYPTION_KEY")
    }
  }

  private static func dataFolder(_ settings: Settings) -> Finding {
    do throws(Failure) {
      try DataFolder.make(settings.dataFolder)
    } catch {
      return .wrong("data folder", error.description, "set HUB_DATA to a folder that can be made")
    }
    guard access(settings.dataFolder, W_OK | X_OK) == 0 else {
      return .wrong(
        "data folder", "\(settings.dataFolder) cannot be written", "set HUB_DATA or change its owner")
    }
    return .right("data folder", settings.dataFolder)
  }

  /// Free, or taken by a hub.
  private static func port(_ settings: Settings) async -> Finding {
    let listen = settings.hub.listen
    let subject = "port"
    guard let address = SocketAddress(host: listen.host, port: listen.port) else {
      return .wrong(subject, "'\(listen.host)' is no address", "set HOST to an address such as 127.0.0.1")
    }
    let local = SocketAddress(
      host: ["0.0.0.0"].contains(listen.host) ? "127.0.0.1" : listen.host, port: listen.port)
    do {
      return try await Program.onLoop("doctor") { loop in
        if let local, let answer = await isHub(local, loop) {
          return answer
            ? .right(subject, "a hub answers on \(listen.port)")
            : .wrong(subject, "another program listens on \(listen.port)", "stop it or set PORT")
        }
        do {
          try Listener.bind(address, on: loop, reusePort: false).close()
          return .right(subject, "\(listen.port) is free")
        } catch {
          return .wrong(subject, "cannot listen on \(address): \(error)", "set PORT or HOST")
        }
      }
    } catch {
      return .wrong(subject, "\(error)", "set PORT or HOST")
    }
  }

  /// nil: nobody listens. With TLS a hub is not told from another program; it gets the benefit.
  private static func isHub(_ address: SocketAddress, _ loop: EventLoop) async -> Bool? {
    let deadline = LoopInstant.current() + .seconds(2)
    guard let connection = try? await HTTPClientConnection.connect(to: address, on: loop, deadline: deadline)
    else {
      return nil
    }
    defer { connection.close() }
    guard let response = try? await connection.request(.get, "/livez", deadline: deadline) else {
      return false
    }
    return response.status == .ok
  }

  // MARK: Database

  private static func database(_ settings: Settings) async -> [Finding] {
    let remedy =
      settings.databaseURL == nil
      ? "see the log in \(settings.dataFolder)/postgres" : "check DATABASE_URL and that PostgreSQL runs there"
    if settings.databaseURL == nil && access("\(settings.dataFolder)/postgres", F_OK) != 0 {
      return [
        .right("database", "the hub makes its own at the first start"),
        .right("migrations", "applied at the first start"),
        .right("clock", "the database runs on this machine"),
      ]
    }
    do {
      return try await CommandDatabase.use(settings) { url in
        try await Program.onLoop("doctor") { loop in
          let connection = try await CommandDatabase.session(url, loop, BlockingPool())
          defer { connection.close() }
          return [
            try await version(connection), try await migrations(connection), try await clock(connection),
          ]
        }
      }
    } catch {
      return [
        .wrong("database", "\(error)", remedy),
        .wrong("migrations", "not known without the database", remedy),
        .wrong("clock", "not known without the database", remedy),
      ]
    }
  }

  private static func version(_ connection: PostgresConnection) async throws -> Finding {
    let row = try await connection.query(
      "SELECT current_setting('server_version_num')::int8, current_setting('server_version')"
    ).first
    let text = try row?.string(1) ?? "?"
    guard let row, try row.int(0) >= serverVersionMin else {
      return .wrong("database", "PostgreSQL \(text) is too old", "use PostgreSQL 15 or later")
    }
    return .right("database", "PostgreSQL \(text)")
  }

  private static func migrations(_ connection: PostgresConnection) async throws -> Finding {
    let applied = try await CommandDatabase.appliedMigrations(connection)
    let known = HubMigrations.all.map(\.version)
    let missing = Set(known).subtracting(applied).sorted()
    if let newer = applied.max(), newer > known.max() ?? 0 {
      return .wrong(
        "migrations", "the database has version \(newer), this program knows \(known.max() ?? 0)",
        "use the newer program")
    }
    guard missing.isEmpty else {
      return .wrong(
        "migrations", "missing: \(missing.map(String.init).joined(separator: ", "))",
        "run: messaging-hub migrate")
    }
    return .right("migrations", "version \(known.max() ?? 0)")
  }

  private static func clock(_ connection: PostgresConnection) async throws -> Finding {
    let before = Program.clock.now().microseconds
    let row = try await connection.query("SELECT clock_timestamp()").first
    let after = Program.clock.now().microseconds
    guard let theirs = try row?.timestamp(0).microseconds else {
      return .wrong("clock", "the database does not tell its time", "try again")
    }
    let off = Double(theirs - (before + after) / 2) / 1_000_000
    let text = "\((off * 1_000).rounded() / 1_000) s between the database's clock and this one"
    guard abs(off) <= clockOffMaxSeconds else {
      return .wrong("clock", text, "set both clocks by NTP: signatures and tokens depend on the time")
    }
    return .right("clock", text)
  }
}
