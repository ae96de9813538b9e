import Bytes
import JSON

/// A key for signing or checking tokens. Its algorithm is fixed when it is made: a token's header
/// chooses among keys, never how a key is used (RFC 8725 section 3.1).
package struct JWTKey: Sendable, CustomStringConvertible {
  package enum Algorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case rs256 = "RS256"
    case es256 = "ES256"
    case edDSA = "EdDSA"
  }

  package enum Fault: Error, Equatable, CustomStringConvertible {
    /// An HMAC secret shorter than `secretBytesMin`.
    case secretTooShort(bytes: Int)
    /// A PEM text given as an HMAC secret: everybody knows a public key.
    case secretIsPEM
    case pemUnreadable
    /// Not RSA, P-256 or Ed25519.
    case keyUnsupported
    case rsaTooShort(bits: Int)
    case jwksMalformed(String)
    case noKeys

    package var description: String {
      switch self {
      case .secretTooShort(let bytes):
        "the token secret has \(bytes) bytes; it needs at least \(secretBytesMin)"
      case .secretIsPEM: "the token secret is a PEM key; configure it as a public key"
      case .pemUnreadable: "a PEM key cannot be read"
      case .keyUnsupported: "a key is neither RSA, P-256 nor Ed25519"
      case .rsaTooShort(let bits): "an RSA key has \(bits) bits; it needs at least \(KeyPair.rsaBitsMin)"
      case .jwksMalformed(let reason): "the key set is malformed: \(reason)"
      case .noKeys: "there is no key to check tokens with"
      }
    }
  }

  enum Material: Sendable {
    case secret([UInt8])
    case pair(KeyPair)
  }

  package static let secretBytesMin = 32
  private static let endorsementsMax = 256

  /// The `kid` it is found by; nil: it is tried for tokens that name no key or an unknown one.
  package let id: String?
  package let algorithm: Algorithm
  /// The channels that the key set lets this key speak for: `endorsements` of the Bot Framework.
  package let endorsements: [String]
  let material: Material

  package var description: String { "JWTKey(\(algorithm.rawValue), kid: \(id ?? "none"))" }

  // MARK: Making

  /// An HS256 key.
  /// - Parameter allowsShort: development only; otherwise at least `secretBytesMin` bytes.
  package init(secret: [UInt8], id: String? = nil, allowsShort: Bool = false) throws(Fault) {
    guard allowsShort ? !secret.isEmpty : secret.count >= Self.secretBytesMin else {
      throw .secretTooShort(bytes: secret.count)
    }
    guard !secret.starts(with: "-----BEGIN".utf8) else { throw .secretIsPEM }
    self.id = id
    algorithm = .hs256
    endorsements = []
    material = .secret(secret)
  }

  /// An RS256, ES256 or EdDSA key, by what the PEM text holds: one public or unencrypted private key.
  package init(pem: String, id: String? = nil) throws(Fault) {
    do throws(KeyPair.Fault) {
      self.init(pair: try KeyPair(pem: pem), id: id)
    } catch {
      throw Self.fault(error)
    }
  }

  private init(pair: KeyPair, id: String?, endorsements: [String] = []) {
    self.id = id
    self.endorsements = endorsements
    material = .pair(pair)
    algorithm =
      switch pair.kind {
      case .rsa: .rs256
      case .p256: .es256
      case .ed25519: .edDSA
      }
  }

  private static func fault(_ fault: KeyPair.Fault) -> Fault {
    switch fault {
    case .unreadable: .pemUnreadable
    case .unsupported: .keyUnsupported
    case .weak(let bits): .rsaTooShort(bits: bits)
    }
  }

  /// Every key of a PEM text, one block after the other. A line `kid: NAME` before a block names it.
  package static func keys(pemList text: String) throws(Fault) -> [JWTKey] {
    var keys: [JWTKey] = []
    var id: String?
    var block: [Substring] = []
    for line in text.split(whereSeparator: \.isNewline) {
      if line.hasPrefix("kid:") {
        id = String(line.dropFirst(4).drop(while: \.isWhitespace))
      } else if line.hasPrefix("-----BEGIN ") || !block.isEmpty {
        block.append(line)
        guard line.hasPrefix("-----END ") else { continue }
        keys.append(try JWTKey(pem: block.joined(separator: "\n") + "\n", id: id))
        block = []
        id = nil
      }
    }
    guard block.isEmpty else { throw .pemUnreadable }
    guard !keys.isEmpty else { throw .noKeys }
    return keys
  }

  /// The keys of a JWK set (RFC 7517) that can check tokens: RSA, EC P-256 and OKP Ed25519. Keys of
  /// other kinds, for encryption, or bound to another algorithm are passed over. Symmetric keys are
  /// refused: a key set is public.
  package static func keys(jwks bytes: [UInt8]) throws(Fault) -> [JWTKey] {
    guard let document = try? JSONValue(parsing: bytes), let entries = document["keys"]?.array else {
      throw .jwksMalformed("no \"keys\" array")
    }
    var keys: [JWTKey] = []
    for entry in entries {
      if let key = try key(jwk: entry) { keys.append(key) }
    }
    guard !keys.isEmpty else { throw .noKeys }
    return keys
  }

  /// The public keys of certificates: `{"kid": "PEM"}`, as Google publishes them beside its key sets.
  /// The certificates say nothing more: who may be believed is decided by where they come from.
  package static func keys(certificates bytes: [UInt8]) throws(Fault) -> [JWTKey] {
    guard let entries = (try? JSONValue(parsing: bytes))?.object else {
      throw .jwksMalformed("not an object")
    }
    var keys: [JWTKey] = []
    for (id, entry) in entries.sorted(by: { $0.key < $1.key }) {
      guard let pem = entry.string else { throw .jwksMalformed("\"\(id)\" is not a text") }
      do throws(KeyPair.Fault) {
        keys.append(JWTKey(pair: try KeyPair(certificate: pem), id: id))
      } catch {
        throw Self.fault(error)
      }
    }
    guard !keys.isEmpty else { throw .noKeys }
    return keys
  }

  private static func key(jwk: JSONValue) throws(Fault) -> JWTKey? {
    if let use = jwk["use"]?.string, use != "sig" { return nil }
    if let operations = jwk["key_ops"]?.array, !operations.contains("verify") { return nil }
    func bytes(_ name: String) throws(Fault) -> [UInt8] {
      guard let text = jwk[name]?.string, text.utf8.count <= 2_048, let bytes = Base64.decode(text, .url),
        !bytes.isEmpty
      else { throw .jwksMalformed("\"\(name)\" is missing or not base64url") }
      return bytes
    }
    let pair: KeyPair
    do {
      switch (jwk["kty"]?.string, jwk["crv"]?.string) {
      case ("RSA", _): pair = try KeyPair(rsaModulus: bytes("n"), exponent: bytes("e"))
      case ("EC", "P-256"): pair = try KeyPair(p256X: bytes("x"), y: bytes("y"))
      case ("OKP", "Ed25519"): pair = try KeyPair(ed25519PublicKey: bytes("x"))
      case ("oct", _): throw Fault.jwksMalformed("a symmetric key")
      default: return nil
      }
    } catch let fault as KeyPair.Fault {
      throw Self.fault(fault)
    } catch let fault as Fault {
      throw fault
    } catch {
      throw .pemUnreadable
    }
    let endorsements = (jwk["endorsements"]?.array ?? []).prefix(endorsementsMax).compactMap(\.string)
    let key = JWTKey(pair: pair, id: jwk["kid"]?.string, endorsements: endorsements)
    if let algorithm = jwk["alg"]?.string, algorithm != key.algorithm.rawValue { return nil }
    return key
  }

  // MARK: Using

  /// nil when this is a public key.
  func sign(_ bytes: [UInt8]) -> [UInt8]? {
    switch material {
    case .secret(let secret): HMAC.sha256(bytes, key: secret)
    case .pair(let pair): algorithm == .es256 ? pair.sign(bytes).flatMap(RawECDSA.raw) : pair.sign(bytes)
    }
  }

  func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
    switch material {
    case .secret(let secret):
      return constantTimeEquals(signature, HMAC.sha256(bytes, key: secret))
    case .pair(let pair) where algorithm == .es256:
      guard let der = RawECDSA.der(signature) else { return false }
      return pair.verifies(der, of: bytes)
    case .pair(let pair):
      return pair.verifies(signature, of: bytes)
    }
  }
}
