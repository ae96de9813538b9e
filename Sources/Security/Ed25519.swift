/// Ed25519 signatures (RFC 8032) with raw keys, by OpenSSL.
package enum Ed25519 {
  package struct PublicKey: Sendable {
    private let key: KeyPair

    /// nil unless these are 32 bytes.
    package init?(_ bytes: [UInt8]) {
      guard bytes.count == 32, let key = try? KeyPair(ed25519PublicKey: bytes) else { return nil }
      self.key = key
    }

    package func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
      signature.count == 64 && key.verifies(signature, of: bytes)
    }
  }

  package struct PrivateKey: Sendable {
    private let key: KeyPair

    /// - Parameter seed: 32 bytes; nil for any other number.
    package init?(seed: [UInt8]) {
      guard seed.count == 32, let key = try? KeyPair(ed25519PrivateKey: seed) else { return nil }
      self.key = key
    }

    /// 64 bytes.
    package func sign(_ bytes: [UInt8]) -> [UInt8] { key.sign(bytes) ?? [] }
  }
}
