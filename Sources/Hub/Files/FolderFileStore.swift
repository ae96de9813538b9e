import Bytes
package import EventLoop
import Foundation
import Security

/// Files in a folder, each under its key; written beside and moved into place, so a half-written one is never
/// read.
package struct FolderFileStore: FileStore {
  package let sliceBytes = 256 << 10
  private static let incoming = ".incoming"

  private let folder: String
  private let blocking: BlockingPool

  package init(folder: String, blocking: BlockingPool) {
    self.folder = folder
    self.blocking = blocking
  }

  package func writer(_ key: String) async throws -> any FileWriter {
    let target = try place(key)
    let passing = "\(folder)/\(Self.incoming)/\(Hex.encode(SecureRandom.bytes(16)))"
    return try await blocking.run { [blocking] in
      for path in [target, passing] { try Self.makeFolder(of: path) }
      let descriptor = open(passing, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw FileStoreError.system(errno: errno, operation: "open") }
      return FolderFileWriter(
        descriptor: descriptor, passing: passing, target: target, blocking: blocking)
    }
  }

  package func size(_ key: String) async throws -> Int64? {
    let source = try place(key)
    return try await blocking.run {
      var status = stat()
      if stat(source, &status) == 0 { return Int64(status.st_size) }
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw FileStoreError.system(errno: errno, operation: "stat")
    }
  }

  package func read(_ key: String, _ range: Range<Int64>) async throws -> [UInt8] {
    let source = try place(key)
    let count = min(range.count, sliceBytes)
    return try await blocking.run {
      let descriptor = open(source, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw errno == ENOENT ? FileStoreError.missing : .system(errno: errno, operation: "open")
      }
      defer { close(descriptor) }
      return try Self.read(descriptor, count, at: range.lowerBound)
    }
  }

  package func delete(_ key: String) async throws {
    let target = try place(key)
    try await blocking.run {
      guard unlink(target) == 0 || errno == ENOENT || errno == ENOTDIR else {
        throw FileStoreError.system(errno: errno, operation: "unlink")
      }
    }
  }

  /// Forgets what was being written when a node ended, once it is a day old.
  package func sweep() async throws {
    let place = "\(folder)/\(Self.incoming)"
    try await blocking.run {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
      for path in names.map({ "\(place)/\($0)" }) {
        var status = stat()
        let isOld = stat(path, &status) == 0 && time(nil) - status.st_mtim.tv_sec > 86_400
        if isOld { unlink(path) }
      }
    }
  }

  private static func read(_ descriptor: Int32, _ count: Int, at offset: Int64) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count, let base = buffer.baseAddress {
        let got = pread(descriptor, base + filled, count - filled, off_t(offset) + off_t(filled))
        if got < 0 && errno == EINTR { continue }
        guard got >= 0 else { throw FileStoreError.system(errno: errno, operation: "read") }
        if got == 0 { return }
        filled += got
      }
    }
  }

  private static func makeFolder(of path: String) throws {
    let parent = path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex)
    try FileManager.default.createDirectory(
      atPath: String(parent), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  private func place(_ key: String) throws -> String {
    guard FileKey.isValid(key) else { throw FileStoreError.invalidKey }
    return "\(folder)/\(key)"
  }
}

/// A file that is written beside its place.
struct FolderFileWriter: FileWriter {
  let descriptor: Int32
  let passing: String
  let target: String
  let blocking: BlockingPool

  func write(_ bytes: [UInt8]) async throws {
    let descriptor = descriptor
    try await blocking.run { try writeAll(bytes, to: descriptor) }
  }

  /// The message says that the file is there once this has returned, so it is on the disk by then.
  func finish() async throws {
    let (descriptor, passing, target) = (descriptor, passing, target)
    try await blocking.run {
      guard fsync(descriptor) == 0 else { throw FileStoreError.system(errno: errno, operation: "fsync") }
      guard rename(passing, target) == 0 else {
        throw FileStoreError.system(errno: errno, operation: "rename")
      }
      close(descriptor)
    }
  }

  func cancel() async {
    let (descriptor, passing) = (descriptor, passing)
    try? await blocking.run {
      close(descriptor)
      unlink(passing)
    }
  }
}

/// Outside of the types, whose methods have the names of the system's.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws {
  var sent = 0
  while sent < bytes.count {
    let count = bytes.withUnsafeBytes { buffer in
      write(descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent)
    }
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { throw FileStoreError.system(errno: errno, operation: "write") }
    sent += count
  }
}
