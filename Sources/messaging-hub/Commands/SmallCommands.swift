import EventLoop
import Hub
import Postgres

/// `messaging-hub migrate`.
struct MigrateCommand: Command {
  static let name = "migrate"
  static let summary = "Brings the database to the schema of this program."
  static let notes =
    "serve does it by itself; this is for doing it beforehand. Doing it again changes nothing."

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let settings = try program.settings()
    let applied = try await CommandDatabase.use(settings) { url in
      try await Program.onLoop("migrate") { loop in
        var configuration = PostgresConfiguration(connectionString: url)
        configuration.applicationName = "messaging-hub migrate"
        configuration.statementTimeout = .zero
        return try await HubMigrations.apply(configuration, on: loop, blocking: BlockingPool())
      }
    }
    let last = HubMigrations.all.last?.version ?? 0
    if applied.isEmpty {
      Console.line("the database has version \(last) already")
    } else {
      Console.line(
        "applied \(applied.map(String.init).joined(separator: ", ")); the database has version \(last)")
    }
  }
}

/// `messaging-hub token`.
struct TokenCommand: Command {
  static let name = "token"
  static let summary = "Prints a token for a user, signed with the hub's own secret."
  static let synopsis = "--user ID [options]"
  static let options = [
    OptionSpecification("user", "ID", "whose token it is; needed"),
    OptionSpecification("email", "E-MAIL", "the user's e-mail address"),
    OptionSpecification("tenant", "ID", "the user's tenant; 'default' when it is not given"),
    OptionSpecification("roles", "A,B", "the user's roles, such as admin or operator"),
    OptionSpecification("expires", "SECONDS", "how long it is valid; 3600 when it is not given"),
  ]

  private static let lifetimes = 1...(10 * 366 * 86_400)

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let user = try arguments.required("user")
    let lifetime = try arguments.integer("expires", in: lifetimes, default: 3_600)
    let roles = (arguments["roles"] ?? "").split(separator: ",").map { String($0) }
    let settings = try program.settings()
    let secrets = try SecretStore(settings).secrets(settings)
    let token = try secrets.tokens.issue(
      user: user, tenant: arguments["tenant"] ?? "default", email: arguments["email"], roles: roles,
      lifetimeSeconds: Int64(lifetime), now: Program.clock.now())
    guard let token else {
      throw Failure("this hub checks tokens by public keys only; whoever holds the private key makes them")
    }
    Console.line(token)
  }
}

/// `messaging-hub verify`.
struct VerifyCommand: Command {
  static let name = "verify"
  static let summary = "Counts anew from the rows and compares."
  static let synopsis = "unread [options]"
  static let notes = "verify unread recounts every unread count and ends with status 1 when one is wrong."
  static let options = [OptionSpecification("tenant", "ID", "one tenant only")]
  static let positionalsMax = 1

  private static let shownMax = 100

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    guard try arguments.positional(0, "what to verify (unread)") == "unread" else {
      throw UsageError("'\(arguments.positionals[0])' cannot be verified; there is: unread")
    }
    let tenant = arguments["tenant"]
    let drift = try await CommandDatabase.withStore(try program.settings()) { store, _ in
      try await store.unreadDrift(tenant: tenant)
    }
    guard !drift.isEmpty else { return Console.line("every unread count is right") }
    Console.table(
      [["kind", "tenant", "user", "place", "stored", "counted"]]
        + drift.prefix(shownMax).map {
          [$0.kind, $0.tenant, $0.user, $0.place, "\($0.stored)", "\($0.counted)"]
        })
    throw Failure("\(drift.count) unread \(drift.count == 1 ? "count is" : "counts are") wrong")
  }
}

/// `messaging-hub config`.
struct ConfigCommand: Command {
  static let name = "config"
  static let summary = "Prints every environment variable, what is in force, and what it does."
  static let options = [
    OptionSpecification("markdown", nil, "the table of the README, with the defaults"),
    OptionSpecification("check", nil, "only say whether the configuration is right"),
  ]

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    if arguments.has("markdown") { return Console.text(ConfigurationTable.markdown) }
    let settings = try program.settings()
    for warning in settings.warnings { Console.complain("messaging-hub config: \(warning)") }
    if arguments.has("check") { return Console.line("the configuration is right") }
    Console.table(ConfigurationTable.rows(program.environment))
  }
}

/// `messaging-hub database-url`.
struct DatabaseURLCommand: Command {
  static let name = "database-url"
  static let summary = "Prints how to connect to the database, for psql and other tools."
  static let notes = "The hub's own PostgreSQL has to run: start the hub first."

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let settings = try program.settings()
    if let url = settings.databaseURL { return Console.line(url) }
    guard let url = EmbeddedPostgres.connectionIfRunning(dataFolder: settings.dataFolder) else {
      throw Failure(
        "no hub runs on \(settings.dataFolder); start one with: messaging-hub serve"
          + " (HUB_DATA names the folder)")
    }
    Console.line(url)
  }
}

/// `messaging-hub version`.
struct VersionCommand: Command {
  static let name = "version"
  static let summary = "Prints the version."

  static func run(_ arguments: Arguments, _ program: Program) async throws { Console.line(Program.version) }
}
