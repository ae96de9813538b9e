/// Where the contents of attachments are kept: a folder, or an S3-compatible store.
package protocol FileStore: Sendable {
  /// Stores a file; one that is there under the key is replaced.
  func write(_ key: String, _ bytes: [UInt8], type: String) async throws
  /// - Throws: when there is none, or the store is away.
  func read(_ key: String) async throws -> [UInt8]
  func delete(_ key: String) async throws
}

/// How large files may be.
package enum FileLimits {
  /// The largest file, in bytes.
  package static let bytesMax = 64 << 20
}
