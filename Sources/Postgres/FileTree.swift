import Glibc

/// The few file operations that a private cluster needs. All block: used before the loops serve, or on
/// a thread of their own.
enum FileTree {
  struct Status {
    let owner: uid_t
    let group: gid_t
    let mode: mode_t
    var isFolder: Bool { mode & S_IFMT == S_IFDIR }
    var isLink: Bool { mode & S_IFMT == S_IFLNK }
  }

  static func status(_ path: String, followsLinks: Bool = true) -> Status? {
    var status = stat()
    let result = followsLinks ? stat(path, &status) : lstat(path, &status)
    guard result == 0 else { return nil }
    return Status(owner: status.st_uid, group: status.st_gid, mode: status.st_mode)
  }

  static func exists(_ path: String) -> Bool { status(path) != nil }

  static func isExecutable(_ path: String) -> Bool {
    guard let status = status(path), !status.isFolder else { return false }
    return access(path, X_OK) == 0
  }

  static func names(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// At most 1 MiB. nil when it cannot be read.
  static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 8_192)
    while bytes.count < 1_048_576 {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Makes the folder and those above it; one that exists is left as it is.
  static func makeFolders(_ path: String, mode: mode_t) throws(EmbeddedPostgresError) {
    if let status = status(path) {
      guard status.isFolder else { throw EmbeddedPostgresError("\(path) is no folder") }
      return
    }
    let parent = parent(of: path)
    if parent != path { try makeFolders(parent, mode: 0o755) }
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .system("cannot make \(path)") }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// An absolute path without links. nil when it does not exist.
  static func canonical(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  /// Whether the user may pass every folder above `path`. Looks at owner and others, not at groups.
  static func firstClosedFolder(above path: String, for user: uid_t) -> String? {
    var folders: [String] = []
    var current = parent(of: path)
    while current != "/" && current != "." {
      folders.append(current)
      current = parent(of: current)
    }
    return folders.reversed().first { folder in
      guard let status = status(folder) else { return true }
      return status.owner == user ? status.mode & 0o100 == 0 : status.mode & 0o001 == 0
    }
  }

  /// Removes a folder and all below it; follows no links.
  static func removeTree(_ path: String) {
    guard let status = status(path, followsLinks: false) else { return }
    if status.isFolder {
      for name in names(in: path) { removeTree("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}

/// FNV-1a, 64 bits, as 16 hexadecimal digits: a short name for a long path, no more.
func shortName(of path: String) -> String {
  var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  for byte in path.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
  let digits = String(hash, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
