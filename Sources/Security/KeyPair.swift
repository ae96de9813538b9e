import COpenSSL

/// A public or private key of an asymmetric algorithm, as OpenSSL holds it.
///
/// Made once and shared: making a key costs more than using it.
// Safe because the EVP_PKEY is complete when init returns and never changed after; OpenSSL allows
// concurrent use of such a key, each use having its own context.
final class KeyPair: @unchecked Sendable {
  enum Kind: Sendable, Equatable {
    case rsa
    /// The curve NIST P-256.
    case p256
    case ed25519
  }

  enum Fault: Error, Equatable {
    case unreadable
    case unsupported
    /// RSA keys below 2048 bits.
    case weak(bits: Int)
  }

  static let rsaBitsMin = 2_048

  let kind: Kind
  private let pointer: OpaquePointer

  /// Takes over the reference.
  private init(owning pointer: OpaquePointer?) throws(Fault) {
    guard let pointer else {
      ERR_clear_error()
      throw .unreadable
    }
    switch EVP_PKEY_get_base_id(pointer) {
    case EVP_PKEY_RSA:
      let bits = Int(EVP_PKEY_get_bits(pointer))
      guard bits >= Self.rsaBitsMin else {
        EVP_PKEY_free(pointer)
        throw .weak(bits: bits)
      }
      kind = .rsa
    case EVP_PKEY_EC where Self.isP256(pointer):
      kind = .p256
    case EVP_PKEY_ED25519:
      kind = .ed25519
    default:
      EVP_PKEY_free(pointer)
      throw .unsupported
    }
    self.pointer = pointer
  }

  deinit { EVP_PKEY_free(pointer) }

  private static func isP256(_ pointer: OpaquePointer) -> Bool {
    var name = [UInt8](repeating: 0, count: 64)
    var count = 0
    let found = name.withUnsafeMutableBytes { buffer in
      EVP_PKEY_get_group_name(
        pointer, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count, &count)
    }
    return found == 1 && name[..<count].elementsEqual("prime256v1".utf8)
  }

  // MARK: Making

  /// The first key of a PEM text: `PUBLIC KEY`, or a private key without a passphrase.
  convenience init(pem: String) throws(Fault) {
    let isPrivate = pem.contains("PRIVATE KEY-----")
    // An empty passphrase, so that OpenSSL never asks the terminal for one.
    var noPassphrase: [CChar] = [0]
    // The source reads from the array and must not outlive it.
    let key = Array(pem.utf8).withUnsafeBytes { bytes -> OpaquePointer? in
      let source = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
      defer { BIO_free(source) }
      return isPrivate
        ? PEM_read_bio_PrivateKey(source, nil, nil, &noPassphrase)
        : PEM_read_bio_PUBKEY(source, nil, nil, nil)
    }
    try self.init(owning: key)
  }

  /// The public key of the first certificate of a PEM text. Neither its dates nor its issuer count.
  convenience init(certificate pem: String) throws(Fault) {
    let key = Array(pem.utf8).withUnsafeBytes { bytes -> OpaquePointer? in
      let source = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
      defer { BIO_free(source) }
      guard let certificate = PEM_read_bio_X509(source, nil, nil, nil) else { return nil }
      defer { X509_free(certificate) }
      return X509_get_pubkey(certificate)
    }
    try self.init(owning: key)
  }

  /// 32 raw bytes (RFC 8032).
  convenience init(ed25519PublicKey bytes: [UInt8]) throws(Fault) {
    try self.init(owning: EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count))
  }

  /// The 32 byte seed (RFC 8032).
  convenience init(ed25519PrivateKey bytes: [UInt8]) throws(Fault) {
    try self.init(owning: EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, bytes, bytes.count))
  }

  /// Modulus and exponent, big-endian.
  convenience init(rsaModulus modulus: [UInt8], exponent: [UInt8]) throws(Fault) {
    let rsaEncryption: [UInt8] = [
      0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ]
    let numbers = DER.sequence(DER.integer(modulus) + DER.integer(exponent))
    try self.init(publicKeyDER: DER.sequence(rsaEncryption + DER.bitString(numbers)))
  }

  /// The coordinates of a point on P-256, 32 bytes each. Points that are not on the curve are refused.
  convenience init(p256X x: [UInt8], y: [UInt8]) throws(Fault) {
    guard x.count == 32, y.count == 32 else { throw .unreadable }
    let ecPublicKeyP256: [UInt8] = [
      0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
      0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ]
    try self.init(publicKeyDER: DER.sequence(ecPublicKeyP256 + DER.bitString([4] + x + y)))
  }

  /// A SubjectPublicKeyInfo (RFC 5280 section 4.1).
  convenience init(publicKeyDER bytes: [UInt8]) throws(Fault) {
    let key = bytes.withUnsafeBufferPointer { buffer in
      var position = buffer.baseAddress
      return d2i_PUBKEY(nil, &position, buffer.count)
    }
    try self.init(owning: key)
  }

  // MARK: Using

  /// SHA-256 with RSA PKCS#1 v1.5 or ECDSA (DER), or plain Ed25519. nil when this is a public key.
  func sign(_ bytes: [UInt8]) -> [UInt8]? {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    var count = 0
    guard EVP_DigestSignInit(context, nil, digest, nil, pointer) == 1,
      EVP_DigestSign(context, nil, &count, bytes, bytes.count) == 1
    else {
      ERR_clear_error()
      return nil
    }
    var signature = [UInt8](repeating: 0, count: count)
    guard EVP_DigestSign(context, &signature, &count, bytes, bytes.count) == 1 else {
      ERR_clear_error()
      return nil
    }
    return Array(signature[..<count])
  }

  func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    let isGood =
      EVP_DigestVerifyInit(context, nil, digest, nil, pointer) == 1
      && EVP_DigestVerify(context, signature, signature.count, bytes, bytes.count) == 1
    if !isGood { ERR_clear_error() }
    return isGood
  }

  /// RSA-OAEP with SHA-1, MGF1 and no label (RFC 8017 section 7.1). nil when it does not open, or this is no
  /// private RSA key.
  func openOAEP(_ sealed: [UInt8]) -> [UInt8]? { runOAEP(sealed, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt) }

  /// nil when the text is too long for the key, or this is no RSA key.
  func sealOAEP(_ plain: [UInt8]) -> [UInt8]? { runOAEP(plain, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt) }

  private func runOAEP(
    _ input: [UInt8], _ prepare: (OpaquePointer?) -> Int32,
    _ run: (
      OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>?, UnsafePointer<UInt8>?, Int
    ) -> Int32
  ) -> [UInt8]? {
    guard kind == .rsa, let context = EVP_PKEY_CTX_new(pointer, nil) else { return nil }
    defer {
      EVP_PKEY_CTX_free(context)
      ERR_clear_error()
    }
    var count = 0
    guard prepare(context) == 1, EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1,
      EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha1()) == 1,
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha1()) == 1,
      run(context, nil, &count, input, input.count) == 1
    else { return nil }
    var output = [UInt8](repeating: 0, count: count)
    guard run(context, &output, &count, input, input.count) == 1 else { return nil }
    return Array(output[..<count])
  }

  private var digest: OpaquePointer? { kind == .ed25519 ? nil : EVP_sha256() }
}

/// ECDSA signatures as JOSE writes them: r and s, 32 bytes each (RFC 7518 section 3.4).
enum RawECDSA {
  static let bytes = 64

  static func der(_ raw: [UInt8]) -> [UInt8]? {
    guard raw.count == bytes, let signature = ECDSA_SIG_new() else { return nil }
    defer { ECDSA_SIG_free(signature) }
    let r = BN_bin2bn(Array(raw[..<32]), 32, nil)
    let s = BN_bin2bn(Array(raw[32...]), 32, nil)
    // The signature owns the numbers from here.
    guard ECDSA_SIG_set0(signature, r, s) == 1 else { return nil }
    var der = [UInt8](repeating: 0, count: Int(max(0, i2d_ECDSA_SIG(signature, nil))))
    let written = der.withUnsafeMutableBufferPointer { buffer in
      var position = buffer.baseAddress
      return i2d_ECDSA_SIG(signature, &position)
    }
    return written > 0 ? der : nil
  }

  static func raw(_ der: [UInt8]) -> [UInt8]? {
    let signature = der.withUnsafeBufferPointer { buffer in
      var position = buffer.baseAddress
      return d2i_ECDSA_SIG(nil, &position, buffer.count)
    }
    guard let signature else { return nil }
    defer { ECDSA_SIG_free(signature) }
    var raw = [UInt8](repeating: 0, count: bytes)
    let isDone = raw.withUnsafeMutableBufferPointer { buffer in
      BN_bn2binpad(ECDSA_SIG_get0_r(signature), buffer.baseAddress, 32) == 32
        && BN_bn2binpad(ECDSA_SIG_get0_s(signature), buffer.baseAddress?.advanced(by: 32), 32) == 32
    }
    return isDone ? raw : nil
  }
}

/// The little of DER that wraps a public key (ITU-T X.690).
private enum DER {
  static func sequence(_ content: [UInt8]) -> [UInt8] { [0x30] + length(content.count) + content }

  static func bitString(_ content: [UInt8]) -> [UInt8] {
    [0x03] + length(content.count + 1) + [0] + content
  }

  /// An unsigned number, big-endian: a zero in front keeps the sign away.
  static func integer(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array(bytes.drop { $0 == 0 })
    let content = digits.first.map { $0 >= 0x80 } ?? true ? [0] + digits : digits
    return [0x02] + length(content.count) + content
  }

  private static func length(_ count: Int) -> [UInt8] {
    if count < 0x80 { return [UInt8(count)] }
    if count <= 0xff { return [0x81, UInt8(count)] }
    return [0x82, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
  }
}
