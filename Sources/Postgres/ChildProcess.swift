import CLinux
import Glibc

/// Programs that the embedded server needs run. Blocks.
enum ChildProcess {
  struct User: Sendable, Equatable {
    let name: String
    let id: uid_t
    let group: gid_t

    /// The account of this name. nil when there is none.
    init?(named name: String) {
      guard let entry = getpwnam(name) else { return nil }
      self.name = name
      id = entry.pointee.pw_uid
      group = entry.pointee.pw_gid
    }
  }

  /// Starts a program.
  /// - Parameters:
  ///   - output: a file for what it prints, emptied first.
  ///   - user: runs as this account; nil for our own.
  ///   - diesWithThread: it gets SIGINT when the calling thread ends; Linux looks at the thread, not at
  ///     the process.
  static func start(
    _ path: String, _ arguments: [String], output: String, user: User?, diesWithThread: Bool
  ) throws(EmbeddedPostgresError) -> pid_t {
    let descriptor = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .system("cannot write \(output)") }
    defer { close(descriptor) }
    var pointers: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    let process = hub_spawn(
      path, pointers, "/", descriptor, user == nil ? 0 : 1, user?.id ?? 0, user?.group ?? 0, 1,
      diesWithThread ? 1 : 0)
    guard process > 0 else { throw .system("cannot run \(path)") }
    return process
  }

  /// Runs a program to its end; it is interrupted when we die meanwhile.
  /// - Returns: its exit code, or 128 + the signal that ended it.
  static func run(
    _ path: String, _ arguments: [String], output: String, user: User?
  ) throws(EmbeddedPostgresError) -> Int32 {
    let process = try start(path, arguments, output: output, user: user, diesWithThread: true)
    return wait(for: process)
  }

  /// Waits for a child and takes its status.
  static func wait(for process: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 {
      if errno != EINTR { return -1 }
    }
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }

  /// Waits until a child has ended, and leaves it as a zombie, so that its number is not given away.
  static func waitWithoutReaping(for process: pid_t) {
    var details = siginfo_t()
    while waitid(P_PID, id_t(process), &details, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
  }

  static func isAlive(_ process: pid_t) -> Bool {
    kill(process, 0) == 0 || errno == EPERM
  }

  /// Running `postgres` processes whose working folder is the cluster: its postmaster and what it
  /// started. Zombies have no folder any more.
  static func servers(of cluster: String) -> [pid_t] {
    FileTree.names(in: "/proc").compactMap { pid_t($0) }.filter { process in
      guard let name = FileTree.read("/proc/\(process)/comm"), name.hasPrefix("postgres") else {
        return false
      }
      return FileTree.canonical("/proc/\(process)/cwd") == cluster
    }
  }
}
