import Bytes
import JSON

/// Checks JSON Web Tokens (RFC 7519) in compact form, after RFC 8725.
///
/// The header chooses among the configured keys by `kid` and `alg`; every key has one algorithm.
/// `jku`, `jwk`, `x5u` and the like are never followed. Pure: the time is passed in.
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

  /// Keys tried for one token that names none.
  private static let candidatesMax = 16
  private static let latestSeconds: Int64 = 253_402_300_799

  private let keys: [JWTKey]
  private let configuration: Configuration

  package init(keys: [JWTKey], configuration: Configuration = Configuration()) throws(JWTKey.Fault) {
    guard !keys.isEmpty else { throw .noKeys }
    self.keys = keys
    self.configuration = configuration
  }

  /// - Parameter now: seconds since 1970.
  package func verify(_ token: String, now: Int64) throws(JWTError) -> JWTClaims {
    guard token.utf8.count <= configuration.tokenBytesMax else {
      throw .tooLong(limitBytes: configuration.tokenBytesMax)
    }
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3 else { throw .malformed }
    let header = try object(parts[0])
    let algorithm = try algorithm(header)
    let signature = try decode(parts[2])
    let signed = Array(token.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))
    let candidates = try candidates(header, algorithm)
    guard candidates.contains(where: { $0.verifies(signature, of: signed) }) else { throw .badSignature }
    let claims = try claims(try object(parts[1]))
    try check(claims, now: now)
    return claims
  }

  // MARK: Parts

  /// Strict base64url (RFC 7515 section 2): one value has one spelling, so a token cannot come back in
  /// another.
  private func decode(_ part: Substring) throws(JWTError) -> [UInt8] {
    guard !part.utf8.contains(UInt8(ascii: "=")), let bytes = Base64.decode(part, .url) else {
      throw .malformed
    }
    return bytes
  }

  private func object(_ part: Substring) throws(JWTError) -> [String: JSONValue] {
    guard let value = try? JSONValue(parsing: try decode(part)), let object = value.object else {
      throw .malformed
    }
    return object
  }

  private func algorithm(_ header: [String: JSONValue]) throws(JWTError) -> JWTKey.Algorithm {
    guard header["crit"] == nil, header["b64"] == nil else { throw .criticalExtension }
    guard let name = header["alg"]?.string, let algorithm = JWTKey.Algorithm(rawValue: name) else {
      throw .algorithmRefused
    }
    if let type = header["typ"] {
      guard let name = type.string?.lowercased(),
        ["jwt", "at+jwt", "application/jwt", "application/at+jwt"].contains(name)
      else { throw .typeRefused }
    }
    return algorithm
  }

  private func candidates(
    _ header: [String: JSONValue], _ algorithm: JWTKey.Algorithm
  ) throws(JWTError) -> ArraySlice<JWTKey> {
    var candidates = keys
    if let kid = header["kid"], kid != .null {
      guard let id = kid.string else { throw .malformed }
      let named = keys.filter { $0.id == id }
      candidates = named.isEmpty ? keys.filter { $0.id == nil } : named
    }
    let usable = candidates.filter { $0.algorithm == algorithm }
    guard !usable.isEmpty else { throw candidates.isEmpty ? .keyUnknown : .algorithmRefused }
    return usable.prefix(Self.candidatesMax)
  }

  // MARK: Claims

  private func claims(_ object: [String: JSONValue]) throws(JWTError) -> JWTClaims {
    guard let subject = try text("sub", object), !subject.isEmpty else { throw .claimMissing("sub") }
    guard let expires = try seconds("exp", object) else { throw .claimMissing("exp") }
    return JWTClaims(
      subject: subject, email: try text("email", object), tenant: try text("tenant", object) ?? "default",
      roles: try texts("roles", object, max: configuration.rolesMax), issuedAt: try seconds("iat", object),
      notBefore: try seconds("nbf", object), expires: expires, issuer: try text("iss", object),
      audience: try audience(object))
  }

  private func check(_ claims: JWTClaims, now: Int64) throws(JWTError) {
    guard claims.expires > now else { throw .expired }
    if let notBefore = claims.notBefore, notBefore > now + configuration.leewaySeconds {
      throw .notYetValid
    }
    if let issuedAt = claims.issuedAt, issuedAt > now + configuration.leewaySeconds {
      throw .issuedInFuture
    }
    if let issuer = configuration.issuer, claims.issuer != issuer { throw .wrongIssuer }
    if let audience = configuration.audience, !claims.audience.contains(audience) { throw .wrongAudience }
  }

  private func text(_ name: String, _ object: [String: JSONValue]) throws(JWTError) -> String? {
    switch object[name] {
    case nil, .null?: return nil
    case .string(let text)?: return text
    default: throw .claimMalformed(name)
    }
  }

  private func texts(
    _ name: String, _ object: [String: JSONValue], max: Int
  ) throws(JWTError) -> [String] {
    switch object[name] {
    case nil, .null?: return []
    case .array(let values)? where values.count <= max:
      let texts = values.compactMap(\.string)
      guard texts.count == values.count else { throw .claimMalformed(name) }
      return texts
    default: throw .claimMalformed(name)
    }
  }

  private func audience(_ object: [String: JSONValue]) throws(JWTError) -> [String] {
    if case .string(let one)? = object["aud"] { return [one] }
    return try texts("aud", object, max: 64)
  }

  /// A NumericDate (RFC 7519 section 2), fractions dropped, held within the years that can be written.
  private func seconds(_ name: String, _ object: [String: JSONValue]) throws(JWTError) -> Int64? {
    let value: Double
    switch object[name] {
    case nil, .null?: return nil
    case .integer(let seconds)?: return min(max(seconds, -Self.latestSeconds), Self.latestSeconds)
    case .unsigned?: return Self.latestSeconds
    case .number(let seconds)?: value = seconds
    default: throw .claimMalformed(name)
    }
    guard value.isFinite else { throw .claimMalformed(name) }
    let latest = Double(Self.latestSeconds)
    return Int64(min(max(value, -latest), latest).rounded(.down))
  }
}
