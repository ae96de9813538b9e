import Bytes
import HTTPServer
import HTTPWire
import JSON
import Platforms
import Security

/// Connected accounts. Secrets go in and never come out; only those that the hub made itself are shown,
/// once, in the answer to the creation.
extension RouteTable {
  private static let administratorRole = "admin"
  private static let sharedUsersMax = 500
  private static let userBytesMax = 255

  mutating func addAccounts() {
    let parts = parts
    secured(.get, "/api/accounts") { call in
      let records = try await parts.store.accounts(call.principal)
      return .json(.ok, JSONDocument.list(records.map { Self.document($0, parts) }, next: nil))
    }
    secured(.get, "/api/accounts/{id}") { call in
      .json(.ok, Self.document(try await Self.visible(call, parts), parts))
    }
    secured(.post, "/api/accounts") { call in try await Self.create(call, parts) }
    secured(.patch, "/api/accounts/{id}") { call in try await Self.change(call, parts) }
    secured(.delete, "/api/accounts/{id}") { call in
      let account = try await Self.owned(call, parts)
      let events = try await parts.store.deleteAccount(call.principal, account)
      parts.directory.forget(account.key)
      parts.relay.publish(events)
      return .empty(.noContent)
    }
  }

  private static func create(_ call: APICall, _ parts: HubAPI.Parts) async throws -> HTTPResponse {
    let fields = try call.body()
    try fields.allow(only: ["platform", "name", "credentials", "settings"])
    let draft: AccountDraft
    do throws(AccountDraft.Fault) {
      draft = try AccountDraft(
        platform: try fieldText(fields, "platform"), name: try fieldText(fields, "name"),
        credentials: fields.value("credentials"))
    } catch {
      throw Problem.invalid(error.description, field: error.field)
    }
    var account = draft.account(tenant: call.principal.tenant, id: parts.ids.next(), keys: parts.keys)
    if fields.has("settings") {
      account.settings = try account.settings.changed(by: fields.value("settings"))
    }
    let events = try await parts.store.createAccount(call.principal, account)
    try await setPolling(account.id, draft.platform, draft.secrets, account.settings, call, parts)
    parts.directory.forget(account.key)
    parts.relay.publish(events)
    let record = try await parts.store.account(call.principal, account.id)
    var more: [(name: String, value: JSONValue)] = []
    if !draft.generated.isEmpty {
      more.append(("generatedCredentials", .object(draft.generated.mapValues { .string($0) })))
    }
    return .json(
      .created, JSONDocument.adding(more, to: document(record, parts)),
      headers: ["Location": "/api/accounts/\(account.id)"])
  }

  private static func fieldText(
    _ fields: RequestFields, _ name: String
  ) throws(AccountDraft.Fault) -> String {
    do throws(Problem) {
      return try fields.required(name)
    } catch {
      throw AccountDraft.Fault(description: error.detail ?? error.title, field: name)
    }
  }

  private static func change(_ call: APICall, _ parts: HubAPI.Parts) async throws -> HTTPResponse {
    let account = try await owned(call, parts)
    let fields = try call.body()
    try fields.allow(only: ["name", "credentials", "disabled", "users", "settings"])
    var change = AccountChange()
    change.name = try fields.text("name", bytesMax: AccountDraft.nameBytesMax)
    change.isDisabled = try fields.flag("disabled")
    change.users = try fields.texts("users", countMax: sharedUsersMax, bytesMax: userBytesMax)
    if fields.has("credentials") {
      (change.credentials, change.externalID) = try credentials(
        fields.value("credentials"), account, call.principal, parts)
    }
    if fields.has("settings") {
      let current = try await parts.store.account(account.id, tenant: call.principal.tenant, keys: parts.keys)
      change.settings = try (current?.settings ?? AccountSettings()).changed(by: fields.value("settings"))
    }
    let events = try await parts.store.changeAccount(call.principal, account, change)
    parts.directory.forget(account.key)
    if let changed = try await parts.store.account(
      account.id, tenant: call.principal.tenant, keys: parts.keys),
      let platform = PlatformCatalogue.named(account.platform)
    {
      try await setPolling(account.id, platform, changed.secrets, changed.settings, call, parts)
    }
    parts.relay.publish(events)
    let record = try await parts.store.account(call.principal, account.id, asAdministrator: true)
    return .json(.ok, document(record, parts))
  }

  /// The scheduler is told of every change: what it had given up may go now.
  private static func setPolling(
    _ account: UUIDv7, _ platform: any Platform, _ secrets: AccountSecrets, _ settings: AccountSettings,
    _ call: APICall, _ parts: HubAPI.Parts
  ) async throws {
    guard platform is any PolledPlatform else { return }
    try await parts.store.setPolling(
      tenant: call.principal.tenant, account: account, platform: platform.name.rawValue,
      role: PollingPolicy.role(platform, secrets, settings),
      historyAfter: PollingPolicy.historyAfter(platform, settings, now: parts.clock.now()))
  }

  /// The credentials with those that were given put over those that are there.
  private static func credentials(
    _ json: JSONValue, _ account: AccountRecord, _ principal: Principal, _ parts: HubAPI.Parts
  ) throws -> (sealed: [UInt8], externalID: String?) {
    guard let platform = PlatformCatalogue.named(account.platform) else { throw Problem.internalFault }
    var secrets = AccountSecrets()
    if let blob = account.credentials {
      secrets = try CredentialSeal.open(blob, tenant: principal.tenant, account: account.id, keys: parts.keys)
    }
    do throws(AccountDraft.Fault) {
      let given = try AccountDraft.secrets(json, platform)
      for name in given.names { secrets.set(name, given[name]) }
      try AccountDraft.check(secrets, platform)
    } catch {
      throw Problem.invalid(error.description, field: error.field)
    }
    return (
      CredentialSeal.seal(secrets, tenant: principal.tenant, account: account.id, keys: parts.keys),
      AccountDraft.externalID(in: secrets, platform)
    )
  }

  // MARK: Who may

  private static func isAdministrator(_ principal: Principal) -> Bool {
    principal.roles.contains(administratorRole)
  }

  private static func visible(_ call: APICall, _ parts: HubAPI.Parts) async throws -> AccountRecord {
    try await parts.store.account(
      call.principal, try call.id("id"), asAdministrator: isAdministrator(call.principal))
  }

  /// The account when the caller may change it: its owner, or an administrator of the tenant.
  private static func owned(_ call: APICall, _ parts: HubAPI.Parts) async throws -> AccountRecord {
    let account = try await visible(call, parts)
    guard account.owner == call.principal.user || isAdministrator(call.principal) else {
      throw Problem.forbidden
    }
    return account
  }

  private static func document(_ account: AccountRecord, _ parts: HubAPI.Parts) -> [UInt8] {
    JSONDocument.adding(
      [
        ("webhookUrl", .string(parts.configuration.webhookURL(platform: account.platform, key: account.key))),
        ("users", .array(account.users.map { .string($0) })),
        ("polling", account.polling.flatMap { try? JSONValue(parsing: $0) } ?? .null),
      ], to: account.document)
  }
}
