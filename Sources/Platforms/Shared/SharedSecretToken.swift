import Bytes
import JSON
import Security

/// A JSON Web Token that is signed with a secret of the account and names the hash of the body.
struct SharedSecretToken: Sendable {
  let issuer: String
  /// The credential with the secret.
  let secretField: String
  /// How long a token holds that does not say it itself, and how far the clocks may be apart.
  let windowSeconds: Int64

  static let payloadHash = "payload_hash"

  /// Checks signature, issuer, times and the body's hash.
  /// - Returns: the claims, or why it is refused.
  func check(
    _ token: some StringProtocol, _ request: WebhookRequest, _ context: WebhookContext
  ) -> Result<VerifiedToken, Refusal> {
    let keys = context.secrets[secretField].compactMap {
      try? JWTKey(secret: Array($0.utf8), allowsShort: true)
    }
    do throws(JWTError) {
      let verified = try verified(token, keys)
      guard try verified.text("iss") == issuer else { throw .wrongIssuer }
      try checkTimes(verified, context.now.seconds)
      let hash = try verified.text(Self.payloadHash)
      guard Self.isHash(hash, of: request.body) else {
        return .failure(Refusal(reason: "the token is for another body"))
      }
      return .success(verified)
    } catch {
      return .failure(Refusal(reason: error.description))
    }
  }

  struct Refusal: Error {
    let reason: String
  }

  /// One key at a time: these tokens name none.
  private func verified(_ token: some StringProtocol, _ keys: [JWTKey]) throws(JWTError) -> VerifiedToken {
    var last = JWTError.badSignature
    for key in keys {
      do throws(JWTError) {
        return try VerifiedToken(token, keys: [key])
      } catch {
        last = error
      }
    }
    throw last
  }

  private func checkTimes(_ token: VerifiedToken, _ now: Int64) throws(JWTError) {
    if let issued = try token.seconds("iat"),
      now.subtractingReportingOverflow(issued).partialValue.magnitude > windowSeconds
    {
      throw .expired
    }
    if token.claims["exp"] != nil {
      try token.checkTimes(now: now, expiryLeeway: windowSeconds, leeway: windowSeconds)
    } else if token.claims["iat"] == nil {
      throw .claimMissing("iat")
    }
  }

  /// A request without a body has no hash.
  private static func isHash(_ text: String?, of body: [UInt8]) -> Bool {
    guard let text else { return body.isEmpty }
    guard let given = Hex.decode(text) else { return false }
    return constantTimeEquals(given, Digest.sha256(body))
  }

  /// A token for the request; nil when the account has no secret.
  func token(
    _ request: WebhookRequest, _ claims: [String: JSONValue], secrets: AccountSecrets
  ) -> String? {
    guard let secret = secrets[secretField].first,
      let key = try? JWTKey(secret: Array(secret.utf8), allowsShort: true)
    else { return nil }
    var claims = claims
    claims["iss"] = .string(issuer)
    if !request.body.isEmpty { claims[Self.payloadHash] = .string(Hex.encode(Digest.sha256(request.body))) }
    return try? JWTSigner(key: key).sign(claims)
  }
}
