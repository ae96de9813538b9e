import Bytes
package import JSON

/// Makes tokens that `JWTVerifier` takes.
package struct JWTSigner: Sendable {
  private let key: JWTKey

  /// - Parameter key: an HMAC secret or a private key.
  package init(key: JWTKey) {
    self.key = key
  }

  /// - Throws: `.cannotSign` when the key is a public one.
  package func sign(_ claims: JWTClaims) throws(JWTError) -> String {
    try sign(Self.payload(claims))
  }

  /// Signs claims that others than the hub define.
  package func sign(_ claims: [String: JSONValue]) throws(JWTError) -> String {
    var header: [String: JSONValue] = ["alg": .string(key.algorithm.rawValue), "typ": "JWT"]
    header["kid"] = key.id.map { .string($0) }
    return try sign(header: .object(header), payload: .object(claims))
  }

  /// Signs parts as they are given; tests make wrong tokens with it.
  func sign(header: JSONValue, payload: JSONValue) throws(JWTError) -> String {
    let content = Base64.encode(header.encoded(), .url) + "." + Base64.encode(payload.encoded(), .url)
    guard let signature = key.sign(Array(content.utf8)) else { throw .cannotSign }
    return content + "." + Base64.encode(signature, .url)
  }

  private static func payload(_ claims: JWTClaims) -> [String: JSONValue] {
    var payload: [String: JSONValue] = [
      "sub": .string(claims.subject), "tenant": .string(claims.tenant), "exp": .integer(claims.expires),
      "roles": .array(claims.roles.map { .string($0) }),
    ]
    payload["email"] = claims.email.map { .string($0) }
    payload["iat"] = claims.issuedAt.map { .integer($0) }
    payload["nbf"] = claims.notBefore.map { .integer($0) }
    payload["iss"] = claims.issuer.map { .string($0) }
    if !claims.audience.isEmpty { payload["aud"] = .array(claims.audience.map { .string($0) }) }
    return payload
  }
}
