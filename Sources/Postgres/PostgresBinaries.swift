import Glibc

/// The PostgreSQL server programs on this machine.
package struct PostgresBinaries: Sendable, Equatable {
  /// The folder that has `postgres` and `initdb`.
  package let folder: String
  /// 15 for PostgreSQL 15.
  package let majorVersion: Int

  package var postgres: String { folder + "/postgres" }
  package var initdb: String { folder + "/initdb" }

  /// Debian builds with LZ4; of others we do not know, and an unknown method would stop the start.
  var hasLZ4: Bool { majorVersion >= 15 && folder.hasPrefix("/usr/lib/postgresql/") }

  /// Finds them, newest first; blocks.
  /// - Parameters:
  ///   - preferred: a folder the operator named (`HUB_PG_BIN`): nothing else is looked at then.
  ///   - searchPath: the value of `PATH`, looked at after Debian's folders.
  package static func find(preferred: String?, searchPath: String?) -> [PostgresBinaries] {
    var folders: [String] = []
    if let preferred, !preferred.isEmpty {
      folders = [preferred]
    } else {
      let debian = "/usr/lib/postgresql"
      folders = FileTree.names(in: debian).map { "\(debian)/\($0)/bin" }
      folders += ["/usr/local/pgsql/bin"]
      folders += (searchPath ?? "").split(separator: ":").map(String.init)
    }
    var found: [PostgresBinaries] = []
    for folder in folders where FileTree.isExecutable("\(folder)/postgres") {
      guard FileTree.isExecutable("\(folder)/initdb"), let version = majorVersion(in: folder) else {
        continue
      }
      found.append(PostgresBinaries(folder: folder, majorVersion: version))
    }
    return found.sorted { $0.majorVersion > $1.majorVersion }
  }

  /// Debian's folder says it; elsewhere the program does.
  private static func majorVersion(in folder: String) -> Int? {
    let parts = folder.split(separator: "/")
    if folder.hasPrefix("/usr/lib/postgresql/"), parts.count > 3, let version = Int(parts[3]) {
      return version
    }
    let output = "/tmp/hub-postgres-version-\(getpid())"
    defer { unlink(output) }
    guard let code = try? ChildProcess.run("\(folder)/postgres", ["--version"], output: output, user: nil),
      code == 0, let text = FileTree.read(output)
    else { return nil }
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    let number = text.split(separator: " ").first { $0.first?.isNumber == true }
    return number.flatMap { Int($0.prefix { $0.isNumber }) }
  }
}
