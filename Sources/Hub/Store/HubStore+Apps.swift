package import Bytes
package import JSON
package import Platforms
import Postgres
package import Security

/// An app as administrators see it.
package struct AppRecord: Sendable {
  package let id: UUIDv7
  package let platform: String
  package let name: String
  package let isConfigured: Bool
  package let createdAt: Timestamp

  package var json: JSONValue {
    [
      "id": .string("\(id)"), "platform": .string(platform), "name": .string(name),
      "configured": .bool(isConfigured), "createdAt": .string(createdAt.rfc3339),
    ]
  }
}

/// Apps: the credentials by which the one webhook URL of a platform verifies. Only the writer role sees
/// them; each statement for people carries the bound of the tenant itself.
extension HubStore {
  /// Apps that are asked for one delivery.
  private static let appsMax: Int32 = 100

  /// For the intake, over all active tenants, oldest first.
  package func apps(_ platform: PlatformName, keys: KeyRing) async throws -> [Account] {
    try await writer.query(
      """
      SELECT a.id, a.tenant_id, a.platform, a.credentials FROM apps a JOIN tenants t ON t.id = a.tenant_id
      WHERE a.platform = $1 AND t.state = 'active' ORDER BY a.created_at, a.id LIMIT $2
      """, [.text(platform.rawValue), .int4(Self.appsMax)]
    ).map { try Self.app($0, keys) }
  }

  /// nil: there is none of this id.
  package func app(_ id: UUIDv7, tenant: String, keys: KeyRing) async throws -> Account? {
    try await writer.query(
      "SELECT a.id, a.tenant_id, a.platform, a.credentials FROM apps a WHERE a.tenant_id = $1 AND a.id = $2",
      [.text(tenant), .uuid(id)]
    ).first.map { try Self.app($0, keys) }
  }

  package func appRecords(tenant: String) async throws -> [AppRecord] {
    try await writer.query(
      """
      SELECT id, platform, name, is_configured, created_at FROM apps
      WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 1000
      """, [.text(tenant)]
    ).map {
      AppRecord(
        id: try $0.uuid(0), platform: try $0.string(1), name: try $0.string(2), isConfigured: try $0.bool(3),
        createdAt: Timestamp(try $0.timestamp(4)))
    }
  }

  /// Makes an app, or gives the configured one of this name other credentials.
  package func saveApp(
    tenant: String, id: UUIDv7, platform: String, name: String, isConfigured: Bool,
    sealed: (UUIDv7) -> [UInt8]
  ) async throws {
    var id = id
    if isConfigured {
      let rows = try await writer.query(
        "SELECT id FROM apps WHERE tenant_id = $1 AND platform = $2 AND name = $3 AND is_configured",
        [.text(tenant), .text(platform), .text(name)])
      if let row = rows.first { id = try row.uuid(0) }
    }
    _ = try await writer.batch([
      PostgresStatement("INSERT INTO tenants (id) VALUES ($1) ON CONFLICT DO NOTHING", [.text(tenant)]),
      PostgresStatement(
        """
        INSERT INTO apps (tenant_id, id, platform, name, credentials, is_configured)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant_id, id) DO UPDATE SET credentials = excluded.credentials, updated_at = now()
        """,
        [.text(tenant), .uuid(id), .text(platform), .text(name), .bytes(sealed(id)), .bool(isConfigured)]),
      Self.appsAnnouncement,
    ])
  }

  /// - Throws: `HubStoreError.notFound`.
  package func deleteApp(_ id: UUIDv7, tenant: String) async throws {
    let results = try await writer.batch([
      PostgresStatement(
        "DELETE FROM apps WHERE tenant_id = $1 AND id = $2 AND NOT is_configured RETURNING id",
        [.text(tenant), .uuid(id)]),
      Self.appsAnnouncement,
    ])
    guard results[0].first != nil else { throw HubStoreError.notFound }
  }

  /// Every node forgets what it knows of apps; no account has an empty key.
  private static let appsAnnouncement = PostgresStatement(
    "SELECT pg_notify($1, $2)", [.text(Notifications.accounts), .text("")])

  private static func app(_ row: PostgresRow, _ keys: KeyRing) throws -> Account {
    let id = try row.uuid(0)
    let tenant = try row.string(1)
    let secrets = try CredentialSeal.open(try row.bytes(3), tenant: tenant, account: id, keys: keys)
    return Account(
      id: id, tenant: tenant, platform: PlatformName(rawValue: try row.string(2)), key: "", isApp: true,
      secrets: secrets, isDisabled: false)
  }
}
