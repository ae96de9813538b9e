/// `messaging-hub serve`.
struct ServeCommand: Command {
  static let name = "serve"
  static let summary = "Runs the hub."
  static let notes = """
    Reads its configuration from the environment (see: messaging-hub config). Without DATABASE_URL it runs
    its own PostgreSQL in the data folder. SIGTERM stops it in order.
    """

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let installation = try program.installation()
    try await Serving(
      settings: installation.settings, tokens: installation.tokens, keys: installation.keys,
      log: installation.log, clock: installation.clock
    ).run()
  }
}
