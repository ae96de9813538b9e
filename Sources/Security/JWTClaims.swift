/// What a token says about its bearer.
package struct JWTClaims: Sendable, Equatable {
  /// `sub`: the user.
  package var subject: String
  package var email: String?
  /// `tenant`; "default" when the token has none.
  package var tenant: String
  package var roles: [String]
  /// `iat`, seconds since 1970.
  package var issuedAt: Int64?
  /// `nbf`, seconds since 1970.
  package var notBefore: Int64?
  /// `exp`, seconds since 1970, at most the end of the year 9999.
  package var expires: Int64
  package var issuer: String?
  package var audience: [String]

  package init(
    subject: String, email: String? = nil, tenant: String = "default", roles: [String] = [],
    issuedAt: Int64? = nil, notBefore: Int64? = nil, expires: Int64, issuer: String? = nil,
    audience: [String] = []
  ) {
    self.subject = subject
    self.email = email
    self.tenant = tenant
    self.roles = roles
    self.issuedAt = issuedAt
    self.notBefore = notBefore
    self.expires = expires
    self.issuer = issuer
    self.audience = audience
  }
}

/// Why a token is not taken. The texts are safe to show to whoever sent it.
package enum JWTError: Error, Equatable, CustomStringConvertible {
  case tooLong(limitBytes: Int)
  /// Not three parts of strict base64url, or a part is not JSON of the right shape.
  case malformed
  /// `alg` is not one of those that are taken; `none` in any spelling too.
  case algorithmRefused
  /// `typ` names something that is not an access token.
  case typeRefused
  /// `crit` asks for extensions, and none is known.
  case criticalExtension
  /// No key of that id and algorithm.
  case keyUnknown
  case badSignature
  case claimMissing(String)
  case claimMalformed(String)
  case expired
  case notYetValid
  case issuedInFuture
  case wrongIssuer
  case wrongAudience
  /// `JWTSigner` was given a public key.
  case cannotSign

  package var description: String {
    switch self {
    case .tooLong(let limit): "the token is longer than \(limit) bytes"
    case .malformed: "the token is malformed"
    case .algorithmRefused: "the token's algorithm is not accepted"
    case .typeRefused: "the token's type is not accepted"
    case .criticalExtension: "the token asks for an unknown extension"
    case .keyUnknown: "the token was signed by an unknown key"
    case .badSignature: "the token's signature is wrong"
    case .claimMissing(let name): "the token has no \(name) claim"
    case .claimMalformed(let name): "the token's \(name) claim is malformed"
    case .expired: "the token has expired"
    case .notYetValid: "the token is not valid yet"
    case .issuedInFuture: "the token was issued in the future"
    case .wrongIssuer: "the token is from another issuer"
    case .wrongAudience: "the token is for another audience"
    case .cannotSign: "there is no private key to sign with"
    }
  }
}
