import Glibc
import Synchronization

/// The lock that lets one hub run the cluster. The kernel drops it when its holder dies. Its file says
/// who holds it and how to reach the server.
struct FolderLock: Sendable {
  struct Holder: Sendable, Equatable {
    let process: Int32
    let connectionString: String
  }

  private final class Descriptor: Sendable {
    let number: Mutex<Int32>

    init(_ number: Int32) { self.number = Mutex(number) }

    deinit { release() }

    func release() {
      number.withLock { number in
        if number >= 0 { close(number) }
        number = -1
      }
    }
  }

  private let descriptor: Descriptor

  static func take(_ path: String, connectionString: String) throws(EmbeddedPostgresError) -> FolderLock {
    let number = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw .system("cannot open \(path)") }
    let descriptor = Descriptor(number)
    // `holder` asks with a shared lock for a moment: a few more attempts tell that from a real holder.
    var isTaken = false
    for attempt in 0..<10 where !isTaken {
      if attempt > 0 { usleep(10_000) }
      isTaken = flock(number, LOCK_EX | LOCK_NB) == 0
    }
    guard isTaken else {
      let who = holder(of: path).map { "process \($0.process)" } ?? "another process"
      throw EmbeddedPostgresError(
        "\(who) runs the PostgreSQL of this data folder (\(path)): stop it, or choose another HUB_DATA")
    }
    let text = Array("\(getpid())\n\(connectionString)\n".utf8)
    guard ftruncate(number, 0) == 0, pwrite(number, text, text.count, 0) == text.count else {
      throw .system("cannot write \(path)")
    }
    return FolderLock(descriptor: descriptor)
  }

  /// Who holds the lock. nil when nobody does, or its file says nothing sensible.
  static func holder(of path: String) -> Holder? {
    let number = open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { return nil }
    defer { close(number) }
    guard flock(number, LOCK_SH | LOCK_NB) != 0 else { return nil }
    let lines = (FileTree.read(path) ?? "").split(separator: "\n")
    guard lines.count == 2, let process = Int32(lines[0]) else { return nil }
    return Holder(process: process, connectionString: String(lines[1]))
  }

  func release() {
    descriptor.release()
  }
}
