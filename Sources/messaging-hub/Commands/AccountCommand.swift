import Bytes
import Hub
import JSON
import Platforms
import Security

/// `messaging-hub account`.
struct AccountCommand: Command {
  static let name = "account"
  static let summary = "Connects accounts and lists them."
  static let synopsis = "add <platform> --user ID [options] | list [options]"
  static let notes = """
    account add connects an account of a platform. What the hub can make itself, such as a webhook secret,
    it makes and prints, once.
    account list shows all accounts.
    """
  static let options = [
    OptionSpecification("user", "ID", "the owner; add needs it"),
    OptionSpecification("tenant", "ID", "the tenant; 'default' for add, all for list when it is not given"),
    OptionSpecification(
      "name", "TEXT", "how the account is called; the platform's name when it is not given"),
    OptionSpecification("credentials", "JSON", "an object, such as {\"webhookSecret\":\"...\"}"),
    OptionSpecification("json", nil, "prints JSON"),
  ]
  static let positionalsMax = 2

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    switch try arguments.positional(0, "what to do (add, list)") {
    case "add": try await add(arguments.droppingFirst(), program)
    case "list":
      guard arguments.positionals.count == 1 else {
        throw UsageError("'\(arguments.positionals[1])' is one word too many")
      }
      try await list(arguments, program)
    default: throw UsageError("there is no 'account \(arguments.positionals[0])'; there is: add, list")
    }
  }

  private static func add(_ arguments: Arguments, _ program: Program) async throws {
    let platform = try arguments.positional(0, "<platform>")
    let user = try arguments.required("user")
    let credentials = try credentials(arguments["credentials"])
    let draft: AccountDraft
    do {
      draft = try AccountDraft(
        platform: platform,
        name: arguments["name"] ?? PlatformCatalogue.named(platform)?.displayName ?? platform,
        credentials: credentials)
    } catch {
      throw UsageError(error.description)
    }
    let settings = try program.settings()
    let secrets = try SecretStore(settings).secrets(settings)
    let tenant = arguments["tenant"] ?? "default"
    let account = draft.account(tenant: tenant, id: IDSource(clock: Program.clock).next(), keys: secrets.keys)
    try await CommandDatabase.withStore(settings) { store, _ in
      let owner = Principal(tenant: tenant, user: user, email: nil, roles: [], expires: .latest)
      try await store.ensureUser(owner)
      _ = try await store.createAccount(owner, account)
    }
    var members: [String: JSONValue] = [
      "id": .string("\(account.id)"), "platform": .string(platform), "name": .string(account.name),
      "accountKey": .string(account.key),
      "webhookUrl": .string(settings.hub.webhookURL(platform: platform, key: account.key)),
    ]
    if !draft.generated.isEmpty {
      members["generatedCredentials"] = .object(draft.generated.mapValues { .string($0) })
    }
    show(members, asJSON: arguments.has("json"))
  }

  private static func credentials(_ text: String?) throws(UsageError) -> JSONValue {
    guard let text else { return .null }
    guard let value = try? JSONValue(parsing: Array(text.utf8)), value.object != nil else {
      throw UsageError("--credentials is a JSON object, such as {\"webhookSecret\":\"...\"}")
    }
    return value
  }

  private static func show(_ members: [String: JSONValue], asJSON: Bool) {
    if asJSON { return Console.line(String(decoding: JSONValue.object(members).encoded(), as: UTF8.self)) }
    var rows = ["id", "platform", "name", "accountKey", "webhookUrl"].map { [$0, members[$0]?.string ?? ""] }
    for (name, value) in (members["generatedCredentials"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      rows.append(["\(name) (shown once)", value.string ?? ""])
    }
    Console.table(rows)
  }

  private static func list(_ arguments: Arguments, _ program: Program) async throws {
    let settings = try program.settings()
    let tenant = arguments["tenant"]
    let accounts = try await CommandDatabase.withStore(settings) { store, _ in
      try await store.allAccounts(tenant: tenant)
    }
    if arguments.has("json") {
      let items = accounts.map {
        let document = String(decoding: $0.record.document, as: UTF8.self)
        return "{\"tenantId\":\(Self.quoted($0.tenant)),\"account\":\(document)}"
      }
      return Console.line("[\(items.joined(separator: ","))]")
    }
    guard !accounts.isEmpty else {
      return Console.line("no account is connected; see: messaging-hub account add --help")
    }
    Console.table(
      [["id", "tenant", "owner", "platform", "state", "name", "webhook URL"]]
        + accounts.map { account in
          let document = try? JSONValue(parsing: account.record.document)
          return [
            "\(account.record.id)", account.tenant, account.record.owner, account.record.platform,
            document?["state"]?.string ?? "", document?["name"]?.string ?? "",
            settings.hub.webhookURL(platform: account.record.platform, key: account.record.key),
          ]
        })
  }

  private static func quoted(_ text: String) -> String {
    String(decoding: JSONValue.string(text).encoded(), as: UTF8.self)
  }
}
