/// ECDSA signatures on the curve P-256 over SHA-256, in DER (RFC 5480, FIPS 186-5), by OpenSSL.
package enum ECDSA {
  package struct PublicKey: Sendable {
    private let key: KeyPair

    /// - Parameter der: a SubjectPublicKeyInfo; nil unless it holds a point on P-256.
    package init?(der: [UInt8]) {
      guard let key = try? KeyPair(publicKeyDER: der), key.kind == .p256 else { return nil }
      self.key = key
    }

    package func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
      key.verifies(signature, of: bytes)
    }
  }

  package struct PrivateKey: Sendable {
    private let key: KeyPair

    /// - Parameter pem: a private key without a passphrase; nil for anything else.
    package init?(pem: String) {
      guard pem.contains("PRIVATE KEY-----"), let key = try? KeyPair(pem: pem), key.kind == .p256 else {
        return nil
      }
      self.key = key
    }

    package func sign(_ bytes: [UInt8]) -> [UInt8] { key.sign(bytes) ?? [] }

    /// Whether this key made a signature.
    package func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
      key.verifies(signature, of: bytes)
    }
  }
}
