import Bytes
import COpenSSL

/// Random bytes for keys, tokens and nonces, from OpenSSL's generator. Any thread.
package enum SecureRandom {
  /// Traps when the system has no randomness: there is no safe way on.
  package static func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { output, filled in
      precondition(RAND_bytes(output.baseAddress, Int32(count)) == 1, "the system has no randomness")
      filled = count
    }
  }

  package static func uint64() -> UInt64 {
    bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// A token for URLs: `byteCount` random bytes as base64url without padding.
  package static func token(byteCount: Int = 24) -> String {
    Base64.encode(bytes(byteCount), .url)
  }
}
