import Bytes
package import JSON

/// A JSON Web Token (RFC 7519) in compact form whose signature is good; after RFC 8725.
///
/// The header chooses among the given keys by `kid` and `alg`; every key has one algorithm. `jku`,
/// `jwk`, `x5u` and the like are never followed. That says who wrote the claims: whether they are for
/// the reader and still hold, `checkTimes` and the reader must ask.
package struct VerifiedToken: Sendable {
  /// Keys tried for one token that names none.
  private static let candidatesMax = 16
  private static let latestSeconds: Int64 = 253_402_300_799

  package let claims: [String: JSONValue]
  /// The key that the signature is by.
  package let key: JWTKey

  /// - Throws: `.keyUnknown` when no key has the id that the token names.
  package init(_ token: some StringProtocol, keys: [JWTKey], bytesMax: Int = 8_192) throws(JWTError) {
    guard token.utf8.count <= bytesMax else { throw .tooLong(limitBytes: bytesMax) }
    let parts = String(token).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3 else { throw .malformed }
    let header = try Self.object(parts[0])
    let algorithm = try Self.algorithm(header)
    let signature = try Self.decode(parts[2])
    let signed = Array(token.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))
    let candidates = try Self.candidates(header, algorithm, among: keys)
    guard let key = candidates.first(where: { $0.verifies(signature, of: signed) }) else {
      throw .badSignature
    }
    claims = try Self.object(parts[1])
    self.key = key
  }

  // MARK: Parts

  /// Strict base64url (RFC 7515 section 2): one value has one spelling, so a token cannot come back in
  /// another.
  private static func decode(_ part: Substring) throws(JWTError) -> [UInt8] {
    guard !part.utf8.contains(UInt8(ascii: "=")), let bytes = Base64.decode(part, .url) else {
      throw .malformed
    }
    return bytes
  }

  private static func object(_ part: Substring) throws(JWTError) -> [String: JSONValue] {
    guard let value = try? JSONValue(parsing: try decode(part)), let object = value.object else {
      throw .malformed
    }
    return object
  }

  private static func algorithm(_ header: [String: JSONValue]) throws(JWTError) -> JWTKey.Algorithm {
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

  private static func candidates(
    _ header: [String: JSONValue], _ algorithm: JWTKey.Algorithm, among keys: [JWTKey]
  ) throws(JWTError) -> ArraySlice<JWTKey> {
    var candidates = keys
    if let kid = header["kid"], kid != .null {
      guard let id = kid.string else { throw .malformed }
      let named = keys.filter { $0.id == id }
      candidates = named.isEmpty ? keys.filter { $0.id == nil } : named
    }
    let usable = candidates.filter { $0.algorithm == algorithm }
    guard !usable.isEmpty else { throw candidates.isEmpty ? .keyUnknown : .algorithmRefused }
    return usable.prefix(candidatesMax)
  }

  // MARK: Claims

  /// Demands `exp`; `nbf` and `iat` count where they are.
  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - expiryLeeway: seconds that `exp` may lie back.
  ///   - leeway: seconds that `nbf` and `iat` may lie ahead.
  package func checkTimes(now: Int64, expiryLeeway: Int64, leeway: Int64) throws(JWTError) {
    guard let expires = try seconds("exp") else { throw .claimMissing("exp") }
    guard expires > now - expiryLeeway else { throw .expired }
    if let notBefore = try seconds("nbf"), notBefore > now + leeway { throw .notYetValid }
    if let issuedAt = try seconds("iat"), issuedAt > now + leeway { throw .issuedInFuture }
  }

  /// A claim that is a text; nil when it is not there.
  package func text(_ name: String) throws(JWTError) -> String? {
    switch claims[name] {
    case nil, .null?: return nil
    case .string(let text)?: return text
    default: throw .claimMalformed(name)
    }
  }

  /// A claim that is a list of texts; none when it is not there.
  package func texts(_ name: String, max: Int) throws(JWTError) -> [String] {
    switch claims[name] {
    case nil, .null?: return []
    case .array(let values)? where values.count <= max:
      let texts = values.compactMap(\.string)
      guard texts.count == values.count else { throw .claimMalformed(name) }
      return texts
    default: throw .claimMalformed(name)
    }
  }

  /// `aud`, which may be one text or a list.
  package func audience() throws(JWTError) -> [String] {
    if case .string(let one)? = claims["aud"] { return [one] }
    return try texts("aud", max: 64)
  }

  /// A NumericDate (RFC 7519 section 2), fractions dropped, held within the years that can be written.
  package func seconds(_ name: String) throws(JWTError) -> Int64? {
    let value: Double
    switch claims[name] {
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
