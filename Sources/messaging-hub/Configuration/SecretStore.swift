import Bytes
import Glibc
import Hub
import Security

/// The keys that a hub works with.
struct HubSecrets: Sendable {
  let tokens: TokenAuthority
  let keys: KeyRing
  /// The files of the data folder that were made now.
  let made: [String]
}

/// Makes the keys from the settings. In development what is missing is made once and kept in the data
/// folder, in files that only their owner reads; in production the settings are complete already.
struct SecretStore: Sendable {
  static let tokenFile = "jwt-secret"
  static let encryptionFile = "encryption-key"
  private static let secretBytes = 32

  let folder: String

  init(_ settings: Settings) { folder = settings.dataFolder }

  /// - Throws: `Failure` naming the variable that is at fault.
  func secrets(_ settings: Settings) throws -> HubSecrets {
    var made: [String] = []
    let token = try tokenSecret(settings, &made)
    var keys: [JWTKey] = []
    if let token { keys.append(try token.key(isProduction: settings.isProduction)) }
    keys += try publicKeys(settings)
    let tokens: TokenAuthority
    do {
      let verifier = try JWTVerifier(
        keys: keys, configuration: .init(issuer: settings.tokenIssuer, audience: settings.tokenAudience))
      tokens = TokenAuthority(
        verifier: verifier, signer: token == nil ? nil : keys.first.map { JWTSigner(key: $0) },
        issuer: settings.tokenIssuer, audience: settings.tokenAudience)
    } catch {
      throw Failure("the keys of tokens cannot be used: \(error)")
    }
    return HubSecrets(tokens: tokens, keys: try keyRing(settings, &made), made: made)
  }

  // MARK: Tokens

  private struct TokenSecret {
    let text: String
    let isGiven: Bool

    func key(isProduction: Bool) throws -> JWTKey {
      do {
        return try JWTKey(secret: Array(text.utf8), allowsShort: !isProduction)
      } catch {
        throw Failure("JWT_SECRET cannot be used: \(error)")
      }
    }
  }

  /// nil: tokens are checked by public keys only.
  private func tokenSecret(_ settings: Settings, _ made: inout [String]) throws -> TokenSecret? {
    if let text = settings.tokenSecret { return TokenSecret(text: text, isGiven: true) }
    guard !settings.isProduction, settings.tokenPublicKeys == nil, settings.tokenKeySetFile == nil else {
      return nil
    }
    return TokenSecret(text: try kept(Self.tokenFile, &made), isGiven: false)
  }

  private func publicKeys(_ settings: Settings) throws -> [JWTKey] {
    var keys: [JWTKey] = []
    if let text = settings.tokenPublicKeys {
      do { keys += try JWTKey.keys(pemList: text) } catch {
        throw Failure("JWT_PUBLIC_KEYS cannot be used: \(error)")
      }
    }
    if let path = settings.tokenKeySetFile {
      do { keys += try JWTKey.keys(jwks: Array(try Program.readFile(path).utf8)) } catch {
        throw Failure("JWKS_FILE cannot be used: \(path): \(error)")
      }
    }
    return keys
  }

  // MARK: Credentials

  private func keyRing(_ settings: Settings, _ made: inout [String]) throws -> KeyRing {
    let text = try settings.encryptionKeys ?? kept(Self.encryptionFile, &made)
    guard let ring = KeyRing(configuration: text) else {
      let place = settings.encryptionKeys == nil ? "\(folder)/\(Self.encryptionFile)" : "ENCRYPTION_KEY"
      throw Failure("\(place) holds no key of 32 bytes as hex or base64; make one with: openssl rand -hex 32")
    }
    return ring
  }

  // MARK: Files

  /// The secret in a file of the data folder; made when there is none. Two processes that start at once
  /// end with the same one.
  private func kept(_ name: String, _ made: inout [String]) throws -> String {
    let path = "\(folder)/\(name)"
    if let text = try read(path) { return text }
    try DataFolder.make(folder)
    let text = Hex.encode(SecureRandom.bytes(Self.secretBytes))
    let temporary = "\(path).\(getpid())"
    try write(text + "\n", to: temporary)
    defer { unlink(temporary) }
    // A link is made whole or not at all, and never over a file that is there.
    if link(temporary, path) == 0 {
      made.append(name)
      return text
    }
    guard errno == EEXIST, let text = try read(path) else { throw Self.failure("make", path) }
    return text
  }

  /// nil: there is no such file.
  private func read(_ path: String) throws -> String? {
    guard access(path, F_OK) == 0 else { return nil }
    guard access(path, R_OK) == 0 else { throw Self.failure("read", path) }
    let text = try Program.readFile(path).filter { !$0.isWhitespace }
    guard !text.isEmpty else { throw Failure("\(path) is empty; remove it to have a new secret made") }
    return text
  }

  private func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Self.failure("write", path) }
    defer { close(file) }
    let bytes = Array(text.utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count, fsync(file) == 0 else {
      throw Self.failure("write", path)
    }
  }

  private static func failure(_ verb: String, _ path: String) -> Failure {
    Failure("cannot \(verb) \(path): \(String(cString: strerror(errno))); HUB_DATA names the data folder")
  }
}

/// The hub's own folder.
enum DataFolder {
  /// Makes it with the folders above it. Others may pass through: as root its PostgreSQL runs as
  /// another user.
  static func make(_ path: String) throws(Failure) {
    var made = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
      made += "/\(part)"
      guard mkdir(made, 0o755) != 0, errno != EEXIST else { continue }
      throw Failure("cannot make the folder \(made): \(String(cString: strerror(errno))); set HUB_DATA")
    }
  }
}
