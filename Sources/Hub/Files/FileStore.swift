/// Where the contents of attachments are kept: a folder, or an S3-compatible store. A file does not change
/// once it is there.
package protocol FileStore: Sendable {
  /// How much of a file is read at a time.
  var sliceBytes: Int { get }

  /// Begins a file. It is there when the writer has finished, and whole.
  /// - Parameter key: the hub's own words: letters, digits, `-`, `_`, and slashes between them.
  func writer(_ key: String) async throws -> any FileWriter

  /// In bytes; nil: there is no such file.
  func size(_ key: String) async throws -> Int64?

  /// A part of a file, at most `sliceBytes` long.
  /// - Throws: when there is none, or the store is away.
  func read(_ key: String, _ range: Range<Int64>) async throws -> [UInt8]

  /// Of a file that is not there: nothing.
  func delete(_ key: String) async throws
}

/// A file on its way into a store. One caller, one call after the other.
package protocol FileWriter: Sendable {
  func write(_ bytes: [UInt8]) async throws
  func finish() async throws
  /// Leaves nothing behind. Also after a failure.
  func cancel() async
}

/// Why a store did not do what it was asked.
package enum FileStoreError: Error, Sendable, Equatable, CustomStringConvertible {
  case invalidKey
  case missing
  case system(errno: Int32, operation: String)
  /// The store answered with an error.
  case refused(status: Int, code: String)
  /// The store cannot be reached.
  case unavailable(String)

  package var description: String {
    switch self {
    case .invalidKey: "the key of a stored file is not valid"
    case .missing: "the file is not in the store"
    case .system(let errno, let operation): "\(operation) failed (errno \(errno))"
    case .refused(let status, let code): "the file store answered \(status) \(code)"
    case .unavailable(let reason): "the file store cannot be reached: \(reason)"
    }
  }
}

/// What the keys of stored files may look like.
enum FileKey {
  static func isValid(_ key: String) -> Bool {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    return parts.allSatisfy { part in
      !part.isEmpty
        && part.utf8.allSatisfy { byte in
          (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
    }
  }
}

extension FileStore {
  /// A whole file that is there already, in memory.
  package func write(_ key: String, _ bytes: [UInt8]) async throws {
    let writer = try await writer(key)
    do {
      try await writer.write(bytes)
      try await writer.finish()
    } catch {
      await writer.cancel()
      throw error
    }
  }

  /// A whole file, into memory.
  package func read(_ key: String) async throws -> [UInt8] {
    guard let size = try await size(key) else { throw FileStoreError.missing }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(size))
    while Int64(bytes.count) < size {
      let start = Int64(bytes.count)
      let part = try await read(key, start..<min(size, start + Int64(sliceBytes)))
      guard !part.isEmpty else { throw FileStoreError.missing }
      bytes += part
    }
    return bytes
  }
}
