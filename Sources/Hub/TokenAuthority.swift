package import Bytes
package import Security

/// Turns tokens into principals, and makes tokens for development and the command line.
package struct TokenAuthority: Sendable {
  package struct Refused: Error, CustomStringConvertible {
    package let description: String
  }

  private let verifier: JWTVerifier
  private let signer: JWTSigner?
  private let issuer: String?
  private let audience: String?

  /// - Parameters:
  ///   - signer: nil when the hub holds public keys only.
  ///   - issuer, audience: written into issued tokens; those that the verifier asks for.
  package init(
    verifier: JWTVerifier, signer: JWTSigner?, issuer: String? = nil, audience: String? = nil
  ) {
    self.verifier = verifier
    self.signer = signer
    self.issuer = issuer
    self.audience = audience
  }

  /// - Throws: `Refused` with a text that is safe to show to the client.
  package func verify(_ token: String, now: Timestamp) throws(Refused) -> Principal {
    do {
      let claims = try verifier.verify(token, now: now.microseconds / 1_000_000)
      guard isIdentifier(claims.subject), isIdentifier(claims.tenant) else {
        throw Refused(description: "the token names no usable user or tenant")
      }
      guard isStorable(claims.email ?? ""), claims.roles.allSatisfy(isStorable) else {
        throw Refused(description: "the token's e-mail or roles hold U+0000")
      }
      return Principal(
        tenant: claims.tenant, user: claims.subject, email: claims.email, roles: claims.roles,
        expires: Timestamp(microseconds: claims.expires * 1_000_000))
    } catch let refused as Refused {
      throw refused
    } catch {
      throw Refused(description: "\(error)")
    }
  }

  /// nil when the hub holds public keys only and cannot sign.
  package func issue(
    user: String, tenant: String, email: String?, roles: [String], lifetimeSeconds: Int64, now: Timestamp
  ) throws -> String? {
    let seconds = now.microseconds / 1_000_000
    return try signer?.sign(
      JWTClaims(
        subject: user, email: email, tenant: tenant, roles: roles, issuedAt: seconds,
        expires: seconds + lifetimeSeconds, issuer: issuer, audience: audience.map { [$0] } ?? []))
  }

  /// PostgreSQL holds no U+0000.
  private func isStorable(_ text: String) -> Bool { !text.utf8.contains(0) }

  /// User and tenant names become keys: 1 to 255 bytes without control characters.
  private func isIdentifier(_ text: String) -> Bool {
    (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
  }
}
