import CLinux
import EventLoop
import FoundationEssentials
import Glibc
import HTTPClient
import HTTPWire
import JSON

/// The measured hub: a child process with a data folder of its own, driven from outside by its
/// commands and its REST interface. It dies with this program.
final class HubProcess {
  /// An account whose webhooks can be sent.
  struct Account: Sendable {
    let id: String
    let key: String
    let secret: String
    let owner: String
    let token: String
  }

  private static let startLimit: Duration = .seconds(90)
  private static let stopLimit: Duration = .seconds(20)
  /// What would point the hub at something else than the fresh folder. Other settings, HUB_SHARDS for
  /// example, are the measurer's to choose.
  private static let unwanted = [
    "DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "JWT_", "JWKS_FILE", "ENCRYPTION_KEY", "TLS_", "PG", "HUB_ENV",
    "HUB_LOG",
  ]

  let loop: EventLoop
  let address: SocketAddress
  private let program: String
  private let folder: String
  private let process: pid_t
  private var exitStatus: Int32?

  /// What the hub and its commands inherit. Call before any other thread runs.
  static func setEnvironment(data: String) {
    for name in ProcessInfo.processInfo.environment.keys where unwanted.contains(where: name.hasPrefix) {
      unsetenv(name)
    }
    setenv("HUB_DATA", data, 1)
    setenv("HUB_LOG_LEVEL", "warning", 1)
    setenv("HUB_LOG", "json", 1)
    setenv("HOST", "127.0.0.1", 1)
  }

  /// Starts the hub and waits until it is ready.
  static func start(_ options: BenchOptions, folder: String, on loop: EventLoop) async throws -> HubProcess {
    let program = try find(options.hub)
    let address = try freeAddress(on: loop)
    setenv("PORT", "\(address.port ?? 0)", 1)
    let process = try ChildProgram.spawn(program, ["serve"], output: folder + "/hub.log")
    let hub = HubProcess(loop: loop, address: address, program: program, folder: folder, process: process)
    Progress.say("hub \(process) starts on \(address)")
    do {
      try await hub.waitUntilReady()
    } catch {
      await hub.stop()
      throw error
    }
    Progress.say("hub is ready")
    return hub
  }

  private init(loop: EventLoop, address: SocketAddress, program: String, folder: String, process: pid_t) {
    self.loop = loop
    self.address = address
    self.program = program
    self.folder = folder
    self.process = process
  }

  private static func find(_ given: String?) throws(BenchFailure) -> String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "."
    let beside = own.split(separator: "/").dropLast().joined(separator: "/")
    let program = given ?? "/\(beside)/messaging-hub"
    guard access(program, X_OK) == 0 else {
      throw BenchFailure("there is no program \(program): build it (make build) or name it with --hub")
    }
    return program
  }

  /// A port that nobody listens on right now.
  private static func freeAddress(on loop: EventLoop) throws -> SocketAddress {
    guard let any = SocketAddress(host: "127.0.0.1", port: 0) else {
      throw BenchFailure("127.0.0.1 is no address")
    }
    let listener = try Listener.bind(any, on: loop)
    defer { listener.close() }
    return listener.address
  }

  private func waitUntilReady() async throws {
    let deadline = loop.now + Self.startLimit
    while LoopInstant.current() < deadline {
      guard isRunning else { throw BenchFailure("the hub ended at its start:\n\(logTail())") }
      if await isReady() { return }
      try await loop.sleep(for: .milliseconds(50))
    }
    throw BenchFailure("the hub was not ready after \(Self.startLimit):\n\(logTail())")
  }

  private func isReady() async -> Bool {
    do {
      let connection = try await connect()
      defer { connection.close() }
      let answer = try await connection.request(.get, "/readyz", deadline: loop.now + .seconds(2))
      return answer.status.code == 200
    } catch {
      return false
    }
  }

  // MARK: What it is asked

  func connect() async throws(HTTPConnectionError) -> HTTPClientConnection {
    try await HTTPClientConnection.connect(to: address, on: loop, deadline: loop.now + .seconds(5))
  }

  /// Runs one of the hub's commands. - Returns: its standard output without the last line break.
  func command(_ arguments: String...) async throws -> String {
    try await ChildProgram.output(program, arguments, folder: folder, limit: .seconds(60), on: loop)
  }

  func token(user: String) async throws -> String {
    try await command("token", "--user", user, "--expires", "86400")
  }

  /// Connects a Telegram account for a user of that name.
  func telegramAccount(owner: String) async throws -> Account {
    let token = try await token(user: owner)
    let secret = "bench-secret-\(owner)"
    let answer = try await api(
      .post, "/api/accounts", token: token,
      body: [
        "platform": "telegram", "name": .string("Bench \(owner)"),
        "credentials": ["webhookSecret": .string(secret)],
      ])
    guard let id = answer["id"]?.string, let key = answer["accountKey"]?.string else {
      throw BenchFailure("the answer to POST /api/accounts has no id or accountKey")
    }
    return Account(id: id, key: key, secret: secret, owner: owner, token: token)
  }

  /// Connects a Telegram account that is polled.
  func polledAccount(token: String, bot: String, apiURL: String) async throws {
    _ = try await api(
      .post, "/api/accounts", token: token,
      body: [
        "platform": "telegram", "name": .string(bot), "settings": ["polling": "on"],
        "credentials": ["botToken": .string(bot), "apiURL": .string(apiURL)],
      ])
  }

  /// Lets these users see the account; they have used the hub before.
  func share(_ account: Account, with users: [String]) async throws {
    _ = try await api(
      .patch, "/api/accounts/\(account.id)", token: account.token,
      body: ["users": .array(users.map { .string($0) })])
  }

  /// The user's unread messages in total.
  func unread(token: String) async throws -> Int {
    let answer = try await api(.get, "/api/unread", token: token)
    guard let total = answer["totalUnread"]?.integer else {
      throw BenchFailure("the answer to GET /api/unread has no totalUnread")
    }
    return Int(total)
  }

  private func api(
    _ method: HTTPMethod, _ path: String, token: String, body: JSONValue? = nil
  ) async throws -> JSONValue {
    let connection = try await connect()
    defer { connection.close() }
    var headers: HTTPHeaders = ["Authorization": "Bearer \(token)"]
    if body != nil { headers.set("Content-Type", "application/json") }
    let answer = try await connection.request(
      method, path, headers: headers, body: body?.encoded() ?? [], deadline: loop.now + .seconds(30))
    guard (200..<300).contains(answer.status.code) else {
      throw BenchFailure("\(method) \(path) was answered \(answer.status.code): \(answer.text)")
    }
    return try JSONValue(parsing: answer.body)
  }

  // MARK: The process

  var isRunning: Bool {
    if exitStatus == nil { exitStatus = ChildProgram.status(of: process) }
    return exitStatus == nil
  }

  /// Resident bytes of the hub, without its PostgreSQL.
  func residentBytes() throws(BenchFailure) -> Int {
    let fields = ChildProgram.text(of: "/proc/\(process)/statm").split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else {
      throw BenchFailure("cannot read the memory of process \(process)")
    }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// Processor time of the hub so far, without its PostgreSQL.
  func processorSeconds() throws(BenchFailure) -> Double {
    let text = ChildProgram.text(of: "/proc/\(process)/stat")
    // The program's name may hold anything; what follows its bracket does not.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
      throw BenchFailure("cannot read the times of process \(process)")
    }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  func logTail() -> String {
    ChildProgram.text(of: folder + "/hub.log").split(separator: "\n").suffix(15).joined(separator: "\n")
  }

  /// Asks the hub to leave; it stops its PostgreSQL too.
  func stop() async {
    guard isRunning else { return }
    kill(process, SIGTERM)
    let deadline = loop.now + Self.stopLimit
    while isRunning {
      if LoopInstant.current() > deadline {
        Progress.say("the hub did not leave in time and is killed")
        kill(process, SIGKILL)
      }
      try? await loop.sleep(for: .milliseconds(20))
    }
  }
}
