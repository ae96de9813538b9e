import Glibc

/// Where a private cluster keeps its things.
///
///     <data>/postgres            the cluster, or a link to it
///     <data>/postgres.lock       held while a hub runs it; says who, and how to connect
///     <data>/postgres-start.log  what the server printed before its own log began
///     <data>/postgres/log        the server's log, one file a weekday
///
/// PostgreSQL refuses to run as root, so root runs it as `postgres` or `nobody`. When that account may
/// not pass a folder above the data folder (/root, say) the cluster stands in
/// `/var/lib/messaging-hub/<short name of the data folder>` and the data folder has a link to it.
///
/// The socket's path may have 107 bytes at most. It stands in `<data>/run` when that is short enough and
/// open to the server's account, else in `$XDG_RUNTIME_DIR` or /tmp under the short name. Its folder has
/// mode 0700 and belongs to the server's account: who may enter it may log in.
struct EmbeddedPostgresLayout: Sendable, Equatable {
  /// The longest path of a socket that the kernel takes.
  static let socketPathBytesMax = 107
  static let port = 5_432

  let dataFolder: String
  let user: ChildProcess.User?
  /// The cluster itself, never a link.
  let cluster: String
  let socketFolder: String

  var lockFile: String { dataFolder + "/postgres.lock" }
  var startLog: String { dataFolder + "/postgres-start.log" }
  var versionFile: String { cluster + "/PG_VERSION" }
  var processFile: String { cluster + "/postmaster.pid" }

  var connectionString: String {
    "host=\(PostgresQuoting.connectionValue(socketFolder)) port=\(Self.port) user=hub dbname=hub"
  }

  /// Works the places out and makes the folders. Blocks.
  static func prepare(
    dataFolder: String, runtimeFolder: String?
  ) throws(EmbeddedPostgresError) -> EmbeddedPostgresLayout {
    try FileTree.makeFolders(dataFolder, mode: 0o755)
    guard let dataFolder = FileTree.canonical(dataFolder) else { throw .system("cannot open \(dataFolder)") }
    let user = try serverUser()
    let cluster = try clusterFolder(dataFolder, user)
    let sockets = try socketFolder(dataFolder, user, runtimeFolder)
    return EmbeddedPostgresLayout(
      dataFolder: dataFolder, user: user, cluster: cluster, socketFolder: sockets)
  }

  /// The account for the server: nil means our own.
  private static func serverUser() throws(EmbeddedPostgresError) -> ChildProcess.User? {
    guard geteuid() == 0 else { return nil }
    guard let user = ChildProcess.User(named: "postgres") ?? ChildProcess.User(named: "nobody") else {
      throw EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it as: "
          + "make one, or set DATABASE_URL")
    }
    return user
  }

  private static func clusterFolder(
    _ dataFolder: String, _ user: ChildProcess.User?
  ) throws(EmbeddedPostgresError) -> String {
    let wanted = dataFolder + "/postgres"
    if let existing = FileTree.canonical(wanted) { return existing }
    let isDangling = FileTree.status(wanted, followsLinks: false)?.isLink == true
    guard let user, FileTree.firstClosedFolder(above: wanted, for: user.id) != nil else {
      guard !isDangling else {
        throw EmbeddedPostgresError("\(wanted) is a link to a folder that is gone")
      }
      return wanted
    }
    let root = "/var/lib/messaging-hub/\(shortName(of: dataFolder))"
    try FileTree.makeFolders(root, mode: 0o755)
    if let closed = FileTree.firstClosedFolder(above: root + "/postgres", for: user.id) {
      throw EmbeddedPostgresError(
        "the account \(user.name), which must run PostgreSQL for root, may not enter \(closed): "
          + "choose another HUB_DATA, or chmod o+x \(closed)")
    }
    if !isDangling {
      guard symlink(root + "/postgres", wanted) == 0 else { throw .system("cannot link \(wanted)") }
    }
    return root + "/postgres"
  }

  private static func socketFolder(
    _ dataFolder: String, _ user: ChildProcess.User?, _ runtimeFolder: String?
  ) throws(EmbeddedPostgresError) -> String {
    let short = "messaging-hub-\(user?.id ?? geteuid())-\(shortName(of: dataFolder))"
    var candidates = [dataFolder + "/run"]
    if let runtimeFolder, !runtimeFolder.isEmpty, user == nil {
      candidates.append("\(runtimeFolder)/\(short)")
    }
    candidates.append("/tmp/\(short)")
    for candidate in candidates {
      let path = "\(candidate)/.s.PGSQL.\(port)"
      // The server puts a lock file beside the socket, five bytes longer; only the socket is bounded.
      guard path.utf8.count <= socketPathBytesMax else { continue }
      if let user, FileTree.firstClosedFolder(above: path, for: user.id).map({ $0 != candidate }) == true {
        continue
      }
      try makePrivate(candidate, for: user)
      return candidate
    }
    throw EmbeddedPostgresError("no folder for the socket of PostgreSQL: \(dataFolder) is too long a path")
  }

  /// A folder of mode 0700 that belongs to the server's account. One made by somebody else, in /tmp for
  /// example, is refused.
  static func makePrivate(_ folder: String, for user: ChildProcess.User?) throws(EmbeddedPostgresError) {
    let owner = user?.id ?? geteuid()
    if mkdir(folder, 0o700) == 0 {
      guard user == nil || chown(folder, owner, user?.group ?? getegid()) == 0 else {
        throw .system("cannot give \(folder) to its owner")
      }
    } else if errno != EEXIST {
      throw .system("cannot make \(folder)")
    }
    guard let status = FileTree.status(folder, followsLinks: false), status.isFolder else {
      throw EmbeddedPostgresError("\(folder) is no folder")
    }
    guard status.owner == owner else {
      throw EmbeddedPostgresError("\(folder) belongs to user \(status.owner), not to \(owner): remove it")
    }
    if status.mode & 0o777 != 0o700 { chmod(folder, 0o700) }
  }
}

/// Why the embedded server does not run, in words for the operator.
package struct EmbeddedPostgresError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) {
    self.description = description
  }

  /// With the reason that errno holds.
  static func system(_ what: String) -> EmbeddedPostgresError {
    let reason = errno
    return EmbeddedPostgresError(
      "\(what): \(strerror(reason).map { String(cString: $0) } ?? "error \(reason)")")
  }
}
