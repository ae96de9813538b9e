package import Bytes
import JSON
package import Platforms
import Postgres
package import Security

/// An account as its users see it.
package struct AccountRecord: Sendable {
  package let id: UUIDv7
  package let platform: String
  package let key: String
  package let owner: String
  /// The JSON document, without secrets.
  package let document: [UInt8]
  /// Everybody who sees it, the owner included.
  package let users: [String]
  /// Sealed; see `CredentialSeal`.
  package let credentials: [UInt8]?
  /// How it is polled, as JSON; nil: it is not.
  package let polling: [UInt8]?
}

/// What a new account is made of.
package struct NewAccount: Sendable {
  package let id: UUIDv7
  package let platform: String
  package let name: String
  package let key: String
  /// Sealed; see `CredentialSeal`.
  package let credentials: [UInt8]
  /// The platform's own id of it; nil: not known.
  package let externalID: String?
  package var settings = AccountSettings()

  package init(
    id: UUIDv7, platform: String, name: String, key: String, credentials: [UInt8], externalID: String? = nil
  ) {
    self.id = id
    self.platform = platform
    self.name = name
    self.key = key
    self.credentials = credentials
    self.externalID = externalID
  }
}

/// What changes on an account; nil: stays.
package struct AccountChange: Sendable {
  package var name: String?
  package var credentials: [UInt8]?
  /// Goes with `credentials`.
  package var externalID: String?
  package var isDisabled: Bool?
  /// Users besides the owner who see the account from now on.
  package var users: [String]?
  package var settings: AccountSettings?

  package init() {}
}

/// Seals the credentials of an account into one blob and opens them. The place is sealed in, so a blob
/// that is copied to another account does not open there.
package enum CredentialSeal {
  package static func seal(
    _ secrets: AccountSecrets, tenant: String, account: UUIDv7, keys: KeyRing
  ) -> [UInt8] {
    keys.seal(secrets.json.encoded(), context: context(tenant, account))
  }

  /// - Throws: when no key opens it or it holds something else.
  package static func open(
    _ blob: [UInt8], tenant: String, account: UUIDv7, keys: KeyRing
  ) throws -> AccountSecrets {
    let plain = try keys.open(blob, context: context(tenant, account))
    guard let secrets = AccountSecrets(json: try JSONValue(parsing: plain)) else {
      throw KeyRing.OpenError.malformed
    }
    return secrets
  }

  private static func context(_ tenant: String, _ account: UUIDv7) -> [UInt8] {
    Array("\(tenant)/\(account)/credentials".utf8)
  }
}

/// Accounts. They are read under the writer role, because the reader has no right to the column of
/// sealed credentials; each statement carries the bounds of tenant and user itself.
extension HubStore {
  private static let columns = """
    a.id, a.platform, a.key, a.owner_id, account_json(a), a.credentials,
    ARRAY(
      SELECT u.user_id FROM account_users u
      WHERE u.tenant_id = a.tenant_id AND u.account_id = a.id ORDER BY u.user_id),
    (SELECT json_build_object('role', p.role, 'polledAt', json_time(p.polled_at)::json,
        'failures', p.failures, 'history', p.history, 'sweptAt', json_time(p.swept_at)::json,
        'recoveredBySweep', p.recovered_by_sweep)::text
      FROM polls p WHERE p.tenant_id = a.tenant_id AND p.account_id = a.id AND p.role <> 'off')
    """

  /// For the intake: by webhook key, over all tenants. nil: there is none, or it was deleted.
  package func account(key: String, keys: KeyRing) async throws -> Account? {
    let rows = try await writer.query(
      """
      SELECT \(Self.intakeColumns) FROM accounts a JOIN tenants t ON t.id = a.tenant_id
      WHERE a.key = $1 AND a.deleted_at IS NULL AND t.state = 'active'
      """, [.text(key)])
    return try rows.first.flatMap { try Self.intakeAccount($0, keys) }
  }

  /// For the intake: by the platform's own id. nil: none of the tenant is connected.
  package func account(
    tenant: String, platform: PlatformName, externalID: String, keys: KeyRing
  ) async throws -> Account? {
    let rows = try await writer.query(
      """
      SELECT \(Self.intakeColumns) FROM accounts a
      WHERE a.tenant_id = $1 AND a.platform = $2 AND a.external_id = $3 AND a.deleted_at IS NULL
      """, [.text(tenant), .text(platform.rawValue), .text(externalID)])
    return try rows.first.flatMap { try Self.intakeAccount($0, keys) }
  }

  /// For sending. nil: there is none, or it was deleted.
  package func account(_ id: UUIDv7, tenant: String, keys: KeyRing) async throws -> Account? {
    let rows = try await writer.query(
      """
      SELECT \(Self.intakeColumns) FROM accounts a
      WHERE a.tenant_id = $1 AND a.id = $2 AND a.deleted_at IS NULL
      """, [.text(tenant), .uuid(id)])
    return try rows.first.flatMap { try Self.intakeAccount($0, keys) }
  }

  /// Whose a line of the ledger is: an account, also one that was deleted, or an app. One that is in
  /// neither table any more has no secrets.
  package func owner(
    of id: UUIDv7, tenant: String, platform: PlatformName, keys: KeyRing
  ) async throws -> Account {
    let rows = try await writer.query(
      "SELECT \(Self.intakeColumns) FROM accounts a WHERE a.tenant_id = $1 AND a.id = $2",
      [.text(tenant), .uuid(id)])
    if let account = try rows.first.flatMap({ try Self.intakeAccount($0, keys) }) { return account }
    if let app = try await app(id, tenant: tenant, keys: keys) { return app }
    return Account(
      id: id, tenant: tenant, platform: platform, key: "", isApp: true, secrets: AccountSecrets(),
      isDisabled: true)
  }

  private static let intakeColumns =
    """
    a.id, a.tenant_id, a.platform, a.state, a.credentials, a.key, a.external_id, a.settings::text
    """

  /// nil: this build does not have the platform.
  private static func intakeAccount(_ row: PostgresRow, _ keys: KeyRing) throws -> Account? {
    let id = try row.uuid(0)
    let tenant = try row.string(1)
    guard let platform = PlatformCatalogue.named(try row.string(2)) else { return nil }
    var secrets = AccountSecrets()
    if let blob = try row.optionalBytes(4) {
      secrets = try CredentialSeal.open(blob, tenant: tenant, account: id, keys: keys)
    }
    return Account(
      id: id, tenant: tenant, platform: platform.name, key: try row.string(5),
      externalID: try row.optionalString(6), secrets: secrets,
      isDisabled: try row.string(3) == "disabled",
      settings: AccountSettings(json: (try? JSONValue(parsing: try row.bytes(7))) ?? .null))
  }

  /// The accounts that the user sees, oldest first, at most a thousand.
  package func accounts(_ principal: Principal) async throws -> [AccountRecord] {
    let rows = try await writer.query(
      """
      SELECT \(Self.columns) FROM accounts a
      JOIN account_users me ON me.tenant_id = a.tenant_id AND me.account_id = a.id
      WHERE a.tenant_id = $1 AND me.user_id = $2 AND a.deleted_at IS NULL ORDER BY a.id LIMIT 1000
      """, [.text(principal.tenant), .text(principal.user)])
    return try rows.map(Self.record)
  }

  /// - Parameter asAdministrator: also an account of the tenant that the user does not see.
  /// - Throws: `HubStoreError.notFound`.
  package func account(
    _ principal: Principal, _ id: UUIDv7, asAdministrator: Bool = false
  ) async throws -> AccountRecord {
    let rows = try await writer.query(
      """
      SELECT \(Self.columns) FROM accounts a
      WHERE a.tenant_id = $1 AND a.id = $2 AND a.deleted_at IS NULL AND ($4 OR EXISTS (
        SELECT 1 FROM account_users me
        WHERE me.tenant_id = a.tenant_id AND me.account_id = a.id AND me.user_id = $3))
      """,
      [.text(principal.tenant), .uuid(id), .text(principal.user), .bool(asAdministrator)])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return try Self.record(row)
  }

  /// Makes an account; the user becomes its owner. The user's row must be there, see `openUser`.
  package func createAccount(_ principal: Principal, _ account: NewAccount) async throws -> [UserEvent] {
    let binds: [PostgresBind] = [.text(principal.tenant), .uuid(account.id)]
    let results = try await writer.batch([
      PostgresStatement(
        "SELECT create_account($1, $2, $3, $4, $5, $6, $7, $9, $8)",
        binds + [
          .text(account.platform), .text(account.name), .text(principal.user), .text(account.key),
          .bytes(account.credentials), .text(account.externalID),
          .jsonb(account.settings.json.encoded()),
        ]),
      // Its platform sends by itself: nothing has to be started.
      PostgresStatement("UPDATE accounts SET state = 'connected' WHERE tenant_id = $1 AND id = $2", binds),
      Self.changed(binds),
      Self.announcement(account.key),
    ])
    return try EventRows.read(results[2])
  }

  /// Changes an account in one transaction.
  package func changeAccount(
    _ principal: Principal, _ account: AccountRecord, _ change: AccountChange
  ) async throws -> [UserEvent] {
    let binds: [PostgresBind] = [.text(principal.tenant), .uuid(account.id)]
    var statements = [
      PostgresStatement(
        """
        UPDATE accounts SET name = coalesce($3, name), credentials = coalesce($4, credentials),
          external_id = CASE WHEN $4::bytea IS NULL THEN external_id ELSE $6 END,
          state = CASE WHEN $5 THEN 'disabled' WHEN NOT $5 AND state = 'disabled' THEN 'connected'
            WHEN $4::bytea IS NOT NULL AND state IN ('bad_credentials', 'transient_error') THEN 'connected'
            ELSE state END,
          settings = coalesce($7, settings),
          -- What was wrong with the old ones is not known of the new ones.
          state_reason = CASE WHEN $4::bytea IS NULL THEN state_reason END,
          state_action = CASE WHEN $4::bytea IS NULL THEN state_action END,
          updated_at = now()
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
        """,
        binds + [
          .text(change.name), .bytes(change.credentials), .bool(change.isDisabled), .text(change.externalID),
          .jsonb(change.settings?.json.encoded()),
        ]),
      Self.announcement(account.key),
    ]
    if let users = change.users { statements += Self.sharing(binds, account, users) }
    let writingAt = statements.count
    statements += change.users.map { Self.unsharing(binds, account, $0) } ?? []
    statements.append(Self.changed(binds))
    return try await writer.batch(statements).dropFirst(writingAt).flatMap { try EventRows.read($0) }
  }

  private static func sharing(
    _ binds: [PostgresBind], _ account: AccountRecord, _ users: [String]
  ) -> [PostgresStatement] {
    // In one order everywhere, so that two changes at once do not lock each other out.
    Set(users).subtracting(account.users).sorted().flatMap { user in
      [
        // A colleague may be invited before the first sign-in.
        PostgresStatement(
          "INSERT INTO users (tenant_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
          [binds[0], .text(user)]),
        PostgresStatement("SELECT share_account($1, $2, $3)", binds + [.text(user)]),
      ]
    }
  }

  private static func unsharing(
    _ binds: [PostgresBind], _ account: AccountRecord, _ users: [String]
  ) -> [PostgresStatement] {
    Set(account.users).subtracting(users).subtracting([account.owner]).sorted().map {
      PostgresStatement("SELECT * FROM unshare_account($1, $2, $3)", binds + [.text($0)])
    }
  }

  /// Takes an account away from its users; its rows stay. What is sent to its webhook is answered 404.
  package func deleteAccount(_ principal: Principal, _ account: AccountRecord) async throws -> [UserEvent] {
    let binds: [PostgresBind] = [.text(principal.tenant), .uuid(account.id)]
    let results = try await writer.batch([
      PostgresStatement("SELECT * FROM delete_account($1, $2)", binds), Self.announcement(account.key),
    ])
    return try EventRows.read(results[0])
  }

  private static func changed(_ binds: [PostgresBind]) -> PostgresStatement {
    PostgresStatement("SELECT * FROM account_changed_events($1, $2)", binds)
  }

  private static func announcement(_ key: String) -> PostgresStatement {
    PostgresStatement("SELECT pg_notify($1, $2)", [.text(Notifications.accounts), .text(key)])
  }

  private static func record(_ row: PostgresRow) throws -> AccountRecord {
    AccountRecord(
      id: try row.uuid(0), platform: try row.string(1), key: try row.string(2), owner: try row.string(3),
      document: try row.bytes(4), users: try row.strings(6).compactMap(\.self),
      credentials: try row.optionalBytes(5), polling: try row.optionalBytes(7))
  }
}

/// For the command line, over all tenants.
extension HubStore {
  /// Makes sure that the user has a row, and leaves one that is there as it is.
  package func ensureUser(_ principal: Principal) async throws {
    _ = try await writer.batch([
      PostgresStatement(
        "INSERT INTO tenants (id) VALUES ($1) ON CONFLICT DO NOTHING", [.text(principal.tenant)]),
      PostgresStatement(
        "INSERT INTO users (tenant_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [.text(principal.tenant), .text(principal.user)]),
    ])
  }

  /// All accounts, oldest first. - Parameter tenant: nil: of every tenant.
  package func allAccounts(tenant: String?) async throws -> [(tenant: String, record: AccountRecord)] {
    try await writer.query(
      """
      SELECT \(Self.columns), a.tenant_id FROM accounts a
      WHERE a.deleted_at IS NULL AND ($1::text IS NULL OR a.tenant_id = $1) ORDER BY a.created_at, a.id
      """, [.text(tenant)]
    ).map { (tenant: try $0.string(8), record: try Self.record($0)) }
  }
}
