/// RSAES-OAEP with SHA-1, MGF1 and no label (RFC 8017 section 7.1), by OpenSSL: what some platforms seal the
/// keys of their content with. SHA-1 is not broken in this use.
package struct RSAOAEP: Sendable {
  private let pair: KeyPair

  /// The first key of a PEM text: a public one only seals. nil unless it is an RSA key of 2048 bits or more.
  package init?(pem: String) {
    guard let pair = try? KeyPair(pem: pem), pair.kind == .rsa else { return nil }
    self.pair = pair
  }

  /// Whether it opens, and not only seals.
  package var isPrivate: Bool { pair.sign([]) != nil }

  /// nil when the text was sealed for another key, was changed, or this is a public key.
  package func open(_ sealed: [UInt8]) -> [UInt8]? { pair.openOAEP(sealed) }

  /// Another text each time. nil when the text is too long for the key: above 214 bytes at 2048 bits.
  package func seal(_ plain: [UInt8]) -> [UInt8]? { pair.sealOAEP(plain) }
}
