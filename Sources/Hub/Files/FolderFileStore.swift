package import EventLoop
import Foundation

/// Files in a folder, each under its key; written beside and moved into place, so a half-written one is
/// never read.
package struct FolderFileStore: FileStore {
  package enum Fault: Error, CustomStringConvertible {
    case invalidKey

    package var description: String { "the key of a stored file is not valid" }
  }

  private let folder: URL
  private let blocking: BlockingPool

  package init(folder: String, blocking: BlockingPool) {
    self.folder = URL(filePath: folder, directoryHint: .isDirectory)
    self.blocking = blocking
  }

  package func write(_ key: String, _ bytes: [UInt8], type: String) async throws {
    let target = try place(key)
    try await blocking.run {
      try FileManager.default.createDirectory(
        at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: target, options: .atomic)
    }
  }

  package func read(_ key: String) async throws -> [UInt8] {
    let source = try place(key)
    return try await blocking.run { Array(try Data(contentsOf: source)) }
  }

  package func delete(_ key: String) async throws {
    let target = try place(key)
    try await blocking.run {
      if FileManager.default.fileExists(atPath: target.path) {
        try FileManager.default.removeItem(at: target)
      }
    }
  }

  /// Keys are the hub's own words: letters, digits, `-`, `_`, and slashes between them.
  private func place(_ key: String) throws -> URL {
    let parts = key.split(separator: "/", omittingEmptySubsequences: false)
    let isValid = parts.allSatisfy { part in
      !part.isEmpty
        && part.utf8.allSatisfy { byte in
          (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
    }
    guard isValid, !parts.isEmpty else { throw Fault.invalidKey }
    return parts.reduce(folder) { $0.appending(path: String($1)) }
  }
}
