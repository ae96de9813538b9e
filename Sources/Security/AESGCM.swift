import COpenSSL

/// AES-256-GCM (NIST SP 800-38D), by OpenSSL: encrypts, and notices any change when it decrypts.
package enum AESGCM {
  package static let keyBytes = 32
  package static let nonceBytes = 12
  package static let tagBytes = 16

  /// Encrypts. - Returns: ciphertext, as long as `plain`, and the tag behind it.
  /// - Precondition: 32 bytes of key and 12 of nonce; a nonce is never used twice with one key.
  package static func seal(
    _ plain: [UInt8], key: [UInt8], nonce: [UInt8], authenticating context: [UInt8]
  ) -> [UInt8] {
    precondition(key.count == keyBytes && nonce.count == nonceBytes, "AES-256-GCM wants a 32 byte key")
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    var output = [UInt8](repeating: 0, count: plain.count + tagBytes)
    var written: Int32 = 0
    let count = Int32(plain.count)
    let isDone = output.withUnsafeMutableBufferPointer { output in
      EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1
        && EVP_EncryptUpdate(cipher, nil, &written, context, Int32(context.count)) == 1
        && EVP_EncryptUpdate(cipher, output.baseAddress, &written, plain, count) == 1
        && EVP_EncryptFinal_ex(cipher, output.baseAddress?.advanced(by: Int(written)), &written) == 1
        && EVP_CIPHER_CTX_ctrl(
          cipher, EVP_CTRL_AEAD_GET_TAG, Int32(tagBytes), output.baseAddress?.advanced(by: plain.count)) == 1
    }
    precondition(isDone, "OpenSSL cannot encrypt")
    return output
  }

  /// Decrypts what `seal` returned. nil when key, nonce, context or any byte is not the same.
  package static func open(
    _ sealed: [UInt8], key: [UInt8], nonce: [UInt8], authenticating context: [UInt8]
  ) -> [UInt8]? {
    guard key.count == keyBytes, nonce.count == nonceBytes, sealed.count >= tagBytes else { return nil }
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    let count = sealed.count - tagBytes
    var tag = Array(sealed[count...])
    // One byte more, so that the pointer is never nil.
    var output = [UInt8](repeating: 0, count: count + 1)
    var written: Int32 = 0
    let isAuthentic = output.withUnsafeMutableBufferPointer { output in
      EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1
        && EVP_DecryptUpdate(cipher, nil, &written, context, Int32(context.count)) == 1
        && EVP_DecryptUpdate(cipher, output.baseAddress, &written, sealed, Int32(count)) == 1
        && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, Int32(tagBytes), &tag) == 1
        && EVP_DecryptFinal_ex(cipher, output.baseAddress?.advanced(by: count), &written) == 1
    }
    return isAuthentic ? Array(output[..<count]) : nil
  }
}
