import Bytes
import EventLoop
import Foundation
import Hub
import Postgres
import Security
import Telemetry

/// A hub in the foreground: its database when it runs its own, the node, and the way out.
///
/// SIGTERM and SIGINT end it in order within `stopLimit`; a second signal ends it at once.
struct Serving {
  /// Requests and clients are done with by then; what is left is for the database.
  static let stopLimit: Duration = .seconds(6)
  /// Seconds after which the program leaves whatever still hangs: a supervisor kills after ten.
  private static let leaveAfter = 9.0

  let settings: Settings
  let tokens: TokenAuthority
  let keys: KeyRing
  let log: Logger
  let clock: WallClock

  /// Returns after a signal, when everything has stopped.
  /// - Throws: with a text for the operator when the hub cannot start.
  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let signals = StopSignals()
    let start = LoopInstant.current()
    let embedded = try startDatabase()
    let database = settings.databaseURL ?? embedded?.connectionString ?? ""
    let node = HubNode(
      HubNode.Parts(
        configuration: settings.hub, database: database, tokens: tokens, keys: keys, log: log, clock: clock))
    do {
      try await node.start()
    } catch {
      embedded?.stop()
      throw Failure("the hub cannot start: \(error)")
    }
    let address = node.address.map { "\($0)" } ?? "?"
    log.info(
      "listening",
      [
        "address": .string(address), "seconds": .number((LoopInstant.current() - start).inSeconds),
        "shards": .integer(Int64(settings.hub.shardCount)),
        "writers": .integer(Int64(settings.hub.writerCount)),
      ])
    welcome(node)
    let name = await signals.next()
    log.info("stopping", ["signal": .string(name)])
    // The second signal, or a stop that hangs: out.
    signals.onNext { _ in exit(1) }
    Thread.detachNewThread {
      Thread.sleep(forTimeInterval: Self.leaveAfter)
      exit(1)
    }
    await node.stop(within: Self.stopLimit)
    embedded?.stop()
    log.info("stopped")
  }

  private func startDatabase() throws -> EmbeddedPostgres? {
    guard settings.databaseURL == nil else { return nil }
    var configuration = EmbeddedPostgres.Configuration(dataFolder: settings.dataFolder)
    configuration.binaryFolder = settings.postgresBinaries
    configuration.searchPath = ProcessInfo.processInfo.environment["PATH"]
    configuration.runtimeFolder = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"]
    let log = log
    return try EmbeddedPostgres.start(configuration) { event in
      switch event {
      case .started(let process): log.debug("postgresql started", ["process": .integer(Int64(process))])
      case .orphanStopped(let process):
        log.warning("stopped a postgresql that was left over", ["process": .integer(Int64(process))])
      case .ended(let code, let delay):
        log.error(
          "postgresql ended; it is started again",
          ["code": .integer(Int64(code)), "afterSeconds": .number(delay.inSeconds)])
      case .restartFailed(let reason): log.error("postgresql cannot be started", ["reason": .string(reason)])
      }
    }
  }

  // MARK: The first minute

  /// What a developer needs to send a first message; on standard output, in development only.
  private func welcome(_ node: HubNode) {
    guard settings.hub.isDevelopment, let port = node.address?.port else {
      return
    }
    let scheme = settings.hub.listen.certificateFile == nil ? "http" : "https"
    let url = "\(scheme)://127.0.0.1:\(port)"
    guard
      let token = try? tokens.issue(
        user: "dev", tenant: "default", email: "dev@localhost", roles: ["admin"], lifetimeSeconds: 7 * 86_400,
        now: clock.now())
    else { return }
    let secret = "hello-\(SecureRandom.token(byteCount: 9))"
    let account = #"{"platform":"telegram","name":"Support","credentials":{"webhookSecret":"\#(secret)"}}"#
    Console.text(
      """

      The hub listens on \(url)

        Token of the user dev, valid for a week:

      export HUB=\(url)
      export TOKEN=\(token)

        Connect a Telegram account, and send it a first message as Telegram would:

      curl -sS $HUB/api/accounts -H "Authorization: Bearer $TOKEN" -d '\(account)'
      \(Self.program) simulate telegram text --url $HUB

        Look at what came:

      curl -sS $HUB/api/conversations -H "Authorization: Bearer $TOKEN"

      """)
  }

  private static var program: String {
    CommandLine.arguments.first ?? "messaging-hub"
  }
}
