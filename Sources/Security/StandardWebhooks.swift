import Bytes

/// Signatures after the Standard Webhooks specification: over `id.timestamp.body`, HMAC-SHA256 (`v1`)
/// or Ed25519 (`v1a`), fresh within five minutes. Svix signs the same under other header names.
///
/// Several secrets may be valid at once, so that they can be changed without a gap. Pure: the time is
/// passed in. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
package enum StandardWebhooks {
  /// Seconds that a timestamp may lie in the past or the future.
  package static let toleranceSeconds: Int64 = 300
  /// Signatures that are looked at in one header.
  package static let signaturesMax = 16

  package enum Secret: Sendable {
    case symmetric([UInt8])
    case verifying(Ed25519.PublicKey)
    case signing(Ed25519.PrivateKey)

    /// `whsec_` and base64 (the prefix may be missing) of 16 to 256 bytes, `whpk_` and base64 of a
    /// public key, or `whsk_` and base64 of a private one. nil for anything else.
    package init?(_ text: String) {
      if text.hasPrefix("whpk_") {
        guard let key = Base64.decode(text.dropFirst(5)).flatMap({ Ed25519.PublicKey($0) }) else {
          return nil
        }
        self = .verifying(key)
      } else if text.hasPrefix("whsk_") {
        // Some tools write the seed followed by the public key.
        guard let bytes = Base64.decode(text.dropFirst(5)), bytes.count == 32 || bytes.count == 64,
          let key = Ed25519.PrivateKey(seed: Array(bytes[..<32]))
        else { return nil }
        self = .signing(key)
      } else {
        let digits = text.hasPrefix("whsec_") ? text.dropFirst(6) : text[...]
        guard let bytes = Base64.decode(digits), (16...256).contains(bytes.count) else { return nil }
        self = .symmetric(bytes)
      }
    }

    /// A new symmetric secret in its text form.
    package static func generate() -> String { "whsec_" + Base64.encode(SecureRandom.bytes(32)) }
  }

  package enum Refusal: Error, Equatable, CustomStringConvertible {
    case headerMissing(String)
    case timestampMalformed
    case timestampTooOld
    case timestampTooNew
    case noSignatureMatches

    package var description: String {
      switch self {
      case .headerMissing(let name): "the header \(name) is missing"
      case .timestampMalformed: "the timestamp is not a number of seconds"
      case .timestampTooOld: "the timestamp is more than \(toleranceSeconds) s old"
      case .timestampTooNew: "the timestamp is more than \(toleranceSeconds) s ahead"
      case .noSignatureMatches: "no signature matches"
      }
    }
  }

  /// Accepts when any listed signature of a known version matches any secret.
  /// - Parameters:
  ///   - signatures: the header as it came: `v1,<base64> v1a,<base64>`.
  ///   - now: seconds since 1970.
  package static func verify(
    id: String?, timestamp: String?, signatures: String?, body: [UInt8], secrets: [Secret], now: Int64
  ) throws(Refusal) {
    guard let id, !id.isEmpty else { throw .headerMissing("webhook-id") }
    guard let timestamp else { throw .headerMissing("webhook-timestamp") }
    guard let signatures else { throw .headerMissing("webhook-signature") }
    guard (1...15).contains(timestamp.utf8.count), timestamp.utf8.allSatisfy({ (48...57).contains($0) }),
      let seconds = Int64(timestamp)
    else { throw .timestampMalformed }
    guard seconds >= now - toleranceSeconds else { throw .timestampTooOld }
    guard seconds <= now + toleranceSeconds else { throw .timestampTooNew }
    let content = signedContent(id: id, timestamp: timestamp, body: body)
    for entry in signatures.split(separator: " ").prefix(signaturesMax) {
      guard let comma = entry.firstIndex(of: ","),
        let signature = Base64.decode(entry[entry.index(after: comma)...])
      else { continue }
      for secret in secrets where matches(signature, version: entry[..<comma], secret, content) { return }
    }
    throw .noSignatureMatches
  }

  /// One entry for the signature header; nil when the secret can only verify.
  package static func sign(id: String, timestamp: Int64, body: [UInt8], secret: Secret) -> String? {
    let content = signedContent(id: id, timestamp: String(timestamp), body: body)
    switch secret {
    case .symmetric(let key): return "v1," + Base64.encode(HMAC.sha256(content, key: key))
    case .signing(let key): return "v1a," + Base64.encode(key.sign(content))
    case .verifying: return nil
    }
  }

  private static func signedContent(id: String, timestamp: String, body: [UInt8]) -> [UInt8] {
    Array(id.utf8) + [UInt8(ascii: ".")] + Array(timestamp.utf8) + [UInt8(ascii: ".")] + body
  }

  private static func matches(
    _ signature: [UInt8], version: Substring, _ secret: Secret, _ content: [UInt8]
  ) -> Bool {
    switch (version, secret) {
    case ("v1", .symmetric(let key)): constantTimeEquals(signature, HMAC.sha256(content, key: key))
    case ("v1a", .verifying(let key)): key.verifies(signature, of: content)
    case ("v1a", .signing(let key)): constantTimeEquals(signature, key.sign(content))
    default: false
    }
  }
}
