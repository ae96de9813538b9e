import COpenSSL

/// Hash functions, by OpenSSL. MD5 and SHA-1 are here only because some platforms sign with them.
package enum Digest {
  /// 32 bytes.
  package static func sha256(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_sha256()) }
  /// 64 bytes.
  package static func sha512(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_sha512()) }
  /// 20 bytes. Broken against collisions: for platform signatures only.
  package static func sha1(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_sha1()) }
  /// 16 bytes. Broken: for platform signatures only.
  package static func md5(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, EVP_md5()) }

  private static func digest(_ bytes: [UInt8], _ function: OpaquePointer?) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { output, count in
      var size: UInt32 = 0
      let done = EVP_Digest(bytes, bytes.count, output.baseAddress, &size, function, nil)
      precondition(done == 1, "OpenSSL cannot compute a digest")
      count = Int(size)
    }
  }
}

/// Keyed hashes (RFC 2104), by OpenSSL. Compare results with `constantTimeEquals`.
package enum HMAC {
  package static func sha256(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] { code(bytes, key, EVP_sha256()) }
  package static func sha512(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] { code(bytes, key, EVP_sha512()) }
  /// For platforms that still sign with it.
  package static func sha1(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] { code(bytes, key, EVP_sha1()) }

  private static func code(_ bytes: [UInt8], _ key: [UInt8], _ function: OpaquePointer?) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { output, count in
      var size: UInt32 = 0
      let done = COpenSSL.HMAC(
        function, key, Int32(key.count), bytes, bytes.count, output.baseAddress, &size)
      precondition(done != nil, "OpenSSL cannot compute an HMAC")
      count = Int(size)
    }
  }
}

/// Whether both are the same bytes, in a time that does not depend on where they differ. Unequal
/// lengths are false at once: lengths are no secret.
package func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
}

/// The same for texts, over their UTF-8.
package func constantTimeEquals(_ left: String, _ right: String) -> Bool {
  constantTimeEquals(Array(left.utf8), Array(right.utf8))
}
