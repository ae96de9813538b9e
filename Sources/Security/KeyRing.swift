import Bytes

/// The keys that seal secrets at rest. The newest seals; every one opens, so keys can be rotated:
/// put the new key first, keep the old one until `needsResealing` is false for everything.
///
/// A sealed blob: version byte (1), key id (4 bytes), nonce (12 random bytes), ciphertext, tag (16).
/// Version, key id and the caller's context are authenticated: a blob that is moved to another row
/// does not open there.
package struct KeyRing: Sendable {
  package struct Key: Sendable, CustomStringConvertible {
    /// The first 4 bytes of the key's SHA-256, unless given: an operator needs no numbering.
    package let id: UInt32
    fileprivate let bytes: [UInt8]

    /// nil unless there are exactly 32 bytes.
    package init?(_ bytes: [UInt8], id: UInt32? = nil) {
      guard bytes.count == AESGCM.keyBytes else { return nil }
      self.bytes = bytes
      self.id = id ?? Digest.sha256(bytes)[..<4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    package var description: String { "KeyRing.Key(\(id))" }
  }

  package enum OpenError: Error, Equatable, CustomStringConvertible {
    /// Not a blob of this format.
    case malformed
    /// Sealed by a key that is not in the ring.
    case keyUnknown(id: UInt32)
    /// Another context, another key of the same id, or changed bytes.
    case notAuthentic

    package var description: String {
      switch self {
      case .malformed: "not a sealed value"
      case .keyUnknown(let id): "sealed by a key that is not configured (key id \(id))"
      case .notAuthentic: "the sealed value was changed or belongs elsewhere"
      }
    }
  }

  private static let version: UInt8 = 1
  private static let headBytes = 5 + AESGCM.nonceBytes
  private let newest: Key
  private let older: [Key]

  /// - Parameter older: keys that still open; the order does not matter.
  package init(newest: Key, older: [Key] = []) {
    self.newest = newest
    self.older = older
  }

  /// Reads keys from configuration: 32 bytes each, as 64 hexadecimal digits or base64, separated by
  /// commas, the newest first. nil when one of them is not a key.
  package init?(configuration text: String) {
    var keys: [Key] = []
    for part in text.split(separator: ",") {
      let word = part.filter { !$0.isWhitespace }
      let bytes =
        Hex.decode(word).flatMap { $0.count == 32 ? $0 : nil } ?? Base64.decode(word)
        ?? Base64.decode(word, .url)
      guard let key = bytes.flatMap({ Key($0) }) else { return nil }
      keys.append(key)
    }
    guard let newest = keys.first else { return nil }
    self.init(newest: newest, older: Array(keys.dropFirst()))
  }

  /// - Parameters:
  ///   - context: names the place of the value (tenant, row, column); the same must be given to open.
  ///   - nonce: tests pass their own; never the same twice.
  package func seal(
    _ plain: [UInt8], context: [UInt8], nonce: [UInt8] = SecureRandom.bytes(AESGCM.nonceBytes)
  ) -> [UInt8] {
    let head = Self.head(newest)
    return head + nonce
      + AESGCM.seal(plain, key: newest.bytes, nonce: nonce, authenticating: head + context)
  }

  package func open(_ blob: [UInt8], context: [UInt8]) throws(OpenError) -> [UInt8] {
    guard blob.count >= Self.headBytes + AESGCM.tagBytes, blob[0] == Self.version else {
      throw .malformed
    }
    let id = blob[1..<5].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let keys = ([newest] + older).filter { $0.id == id }
    guard !keys.isEmpty else { throw .keyUnknown(id: id) }
    let nonce = Array(blob[5..<Self.headBytes])
    let sealed = Array(blob[Self.headBytes...])
    for key in keys {
      let context = Self.head(key) + context
      if let plain = AESGCM.open(sealed, key: key.bytes, nonce: nonce, authenticating: context) {
        return plain
      }
    }
    throw .notAuthentic
  }

  /// Authenticates bytes that are not secret, by a key of its own for each purpose.
  package func code(_ bytes: [UInt8], purpose: String) -> [UInt8] {
    HMAC.sha256(bytes, key: Self.derived(newest, purpose))
  }

  /// Whether one of the keys made the code, for the same purpose.
  package func isGenuine(_ code: [UInt8], _ bytes: [UInt8], purpose: String) -> Bool {
    ([newest] + older).contains { key in
      constantTimeEquals(code, HMAC.sha256(bytes, key: Self.derived(key, purpose)))
    }
  }

  private static func derived(_ key: Key, _ purpose: String) -> [UInt8] {
    HMAC.sha256(Array(purpose.utf8), key: key.bytes)
  }

  /// Whether a blob was sealed by an older key and should be written anew.
  package func needsResealing(_ blob: [UInt8]) -> Bool {
    !blob.starts(with: Self.head(newest))
  }

  private static func head(_ key: Key) -> [UInt8] {
    [version] + (0..<4).map { UInt8(truncatingIfNeeded: key.id >> UInt32(24 - 8 * $0)) }
  }
}
