import Bytes
import Platforms
import Postgres

/// A token as it is kept.
package struct SealedToken: Sendable {
  package let sealed: [UInt8]
  /// Until it ends, by the database's clock: the nodes' own may differ. nil: that was not kept.
  package let secondsLeft: Double?
}

/// Who may renew a token.
package struct TokenClaim: Sendable {
  package let isMine: Bool
  /// What is kept now.
  package let kept: SealedToken?
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

  private static let secondsLeft = "extract(epoch FROM expires_at - now())::double precision"

  /// nil: there is none.
  package func accountToken(_ account: Account) async throws -> SealedToken? {
    try await writer.query(
      "SELECT sealed, \(Self.secondsLeft) FROM account_tokens WHERE tenant_id = $1 AND account_id = $2",
      [.text(account.tenant), .uuid(account.id)]
    ).first.flatMap { try Self.token($0.optionalBytes(0), $0.optionalDouble(1)) }
  }

  private static func token(_ sealed: [UInt8]?, _ secondsLeft: Double?) -> SealedToken? {
    sealed.map { SealedToken(sealed: $0, secondsLeft: secondsLeft) }
  }

  /// Asks to be the one who renews it, for some seconds.
  package func claimToken(_ account: Account) async throws -> TokenClaim {
    let rows = try await writer.query(
      """
      SELECT c.mine, c.sealed, \(Self.secondsLeft) FROM claim_token($1, $2) c
      LEFT JOIN account_tokens t ON t.tenant_id = $1 AND t.account_id = $2 AND t.sealed = c.sealed
      """, [.text(account.tenant), .uuid(account.id)])
    guard let row = rows.first else { throw HubStoreError.notFound }
    return TokenClaim(
      isMine: try row.bool(0), kept: Self.token(try row.optionalBytes(1), try row.optionalDouble(2)))
  }

  /// - Parameters:
  ///   - secondsLeft: until it ends.
  ///   - replaced: what was kept before. Where something else is, that is newer and stays.
  package func saveToken(
    _ account: Account, sealed: [UInt8], secondsLeft: Double, replacing replaced: [UInt8]?
  ) async throws {
    _ = try await writer.query(
      """
      UPDATE account_tokens
      SET sealed = $3, expires_at = now() + make_interval(secs => $4), claimed_until = NULL
      WHERE tenant_id = $1 AND account_id = $2 AND sealed IS NOT DISTINCT FROM $5
      """,
      [
        .text(account.tenant), .uuid(account.id), .bytes(sealed), .double(secondsLeft), .bytes(replaced),
      ])
  }

  package func releaseToken(_ account: Account) async throws {
    _ = try await writer.query(
      "UPDATE account_tokens SET claimed_until = NULL WHERE tenant_id = $1 AND account_id = $2",
      [.text(account.tenant), .uuid(account.id)])
  }
}
