import COpenSSL

/// AES-256-CBC (NIST SP 800-38A) without padding, by OpenSSL. It notices no change: what it opens must be
/// authenticated by other means. Here only because some platforms encrypt with it.
package enum AESCBC {
  package static let keyBytes = 32
  package static let blockBytes = 16

  /// nil unless the key has 32 bytes, the vector 16, and the text whole blocks of 16.
  package static func open(_ sealed: [UInt8], key: [UInt8], vector: [UInt8]) -> [UInt8]? {
    run(sealed, key, vector, isSealing: false)
  }

  /// nil under the same conditions as `open`.
  package static func seal(_ plain: [UInt8], key: [UInt8], vector: [UInt8]) -> [UInt8]? {
    run(plain, key, vector, isSealing: true)
  }

  private static func run(
    _ input: [UInt8], _ key: [UInt8], _ vector: [UInt8], isSealing: Bool
  ) -> [UInt8]? {
    guard key.count == keyBytes, vector.count == blockBytes, !input.isEmpty,
      input.count.isMultiple(of: blockBytes), let count = Int32(exactly: input.count)
    else { return nil }
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    var output = [UInt8](repeating: 0, count: input.count + blockBytes)
    var written: Int32 = 0
    var last: Int32 = 0
    let isDone = output.withUnsafeMutableBufferPointer { output in
      EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nil, key, vector, isSealing ? 1 : 0) == 1
        && EVP_CIPHER_CTX_set_padding(cipher, 0) == 1
        && EVP_CipherUpdate(cipher, output.baseAddress, &written, input, count) == 1
        && EVP_CipherFinal_ex(cipher, output.baseAddress?.advanced(by: Int(written)), &last) == 1
    }
    return isDone ? Array(output[..<Int(written + last)]) : nil
  }
}
