import JSON

/// Checks the tokens of the hub's own users: signature, times and the claims that the hub knows. How
/// the signature is checked stands in `VerifiedToken`. Pure: the time is passed in.
package struct JWTVerifier: Sendable {
  package struct Configuration: Sendable {
    /// The `iss` to demand; nil: any.
    package var issuer: String?
    /// The `aud` that must be among the token's; nil: any.
    package var audience: String?
    /// Seconds that `nbf` and `iat` may lie ahead. `exp` has no leeway: sessions end at it.
    package var leewaySeconds: Int64 = 60
    package var tokenBytesMax = 8_192
    package var rolesMax = 64

    package init(issuer: String? = nil, audience: String? = nil) {
      self.issuer = issuer
      self.audience = audience
    }
  }

  private let keys: [JWTKey]
  private let configuration: Configuration

  package init(keys: [JWTKey], configuration: Configuration = Configuration()) throws(JWTKey.Fault) {
    guard !keys.isEmpty else { throw .noKeys }
    self.keys = keys
    self.configuration = configuration
  }

  /// - Parameter now: seconds since 1970.
  package func verify(_ token: String, now: Int64) throws(JWTError) -> JWTClaims {
    let verified = try VerifiedToken(token, keys: keys, bytesMax: configuration.tokenBytesMax)
    let claims = try claims(verified)
    try verified.checkTimes(now: now, expiryLeeway: 0, leeway: configuration.leewaySeconds)
    if let issuer = configuration.issuer, claims.issuer != issuer { throw .wrongIssuer }
    if let audience = configuration.audience, !claims.audience.contains(audience) { throw .wrongAudience }
    return claims
  }

  private func claims(_ token: VerifiedToken) throws(JWTError) -> JWTClaims {
    guard let subject = try token.text("sub"), !subject.isEmpty else { throw .claimMissing("sub") }
    guard let expires = try token.seconds("exp") else { throw .claimMissing("exp") }
    return JWTClaims(
      subject: subject, email: try token.text("email"), tenant: try token.text("tenant") ?? "default",
      roles: try token.texts("roles", max: configuration.rolesMax), issuedAt: try token.seconds("iat"),
      notBefore: try token.seconds("nbf"), expires: expires, issuer: try token.text("iss"),
      audience: try token.audience())
  }
}
