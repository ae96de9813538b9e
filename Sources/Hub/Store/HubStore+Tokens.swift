package import Bytes
import Platforms
import Postgres

/// Who may renew a token.
package struct TokenClaim: Sendable {
  package let isMine: Bool
  /// What is kept now.
  package let sealed: [UInt8]?
}

/// States and access tokens of accounts.
extension HubStore {
  package func setAccountState(
    _ account: Account, state: String, reason: String?, action: String?
  ) async throws -> [UserEvent] {
    try await change(
      "SELECT * FROM set_account_state($1, $2, $3, $4, $5)",
      [.text(account.tenant), .uuid(account.id), .text(state), .text(reason), .text(action)])
  }

  /// The sealed token; nil: there is none.
  package func accountToken(_ account: Account) async throws -> [UInt8]? {
    try await writer.query(
      "SELECT sealed FROM account_tokens WHERE tenant_id = $1 AND account_id = $2",
      [.text(account.tenant), .uuid(account.id)]
    ).first?.optionalBytes(0)
  }

  /// Asks to be the one who renews it, for some seconds.
  package func claimToken(_ account: Account) async throws -> TokenClaim {
    let rows = try await writer.query(
      "SELECT mine, sealed FROM claim_token($1, $2)", [.text(account.tenant), .uuid(account.id)])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return TokenClaim(isMine: try row.bool(0), sealed: try row.optionalBytes(1))
  }

  /// - Parameter replaced: what was kept before. Where something else is, that is newer and stays.
  package func saveToken(
    _ account: Account, sealed: [UInt8], expiresAt: Timestamp, replacing replaced: [UInt8]?
  ) async throws {
    _ = try await writer.query(
      """
      UPDATE account_tokens SET sealed = $3, expires_at = $4, claimed_until = NULL
      WHERE tenant_id = $1 AND account_id = $2 AND sealed IS NOT DISTINCT FROM $5
      """,
      [
        .text(account.tenant), .uuid(account.id), .bytes(sealed), .timestamp(PostgresTimestamp(expiresAt)),
        .bytes(replaced),
      ])
  }

  package func releaseToken(_ account: Account) async throws {
    _ = try await writer.query(
      "UPDATE account_tokens SET claimed_until = NULL WHERE tenant_id = $1 AND account_id = $2",
      [.text(account.tenant), .uuid(account.id)])
  }
}
