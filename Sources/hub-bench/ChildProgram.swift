import CLinux
import EventLoop
import FoundationEssentials
import Glibc

/// Other programs, started as children that die with this one.
enum ChildProgram {
  /// Starts a program. - Parameter output: the file that gets its standard output and error.
  static func spawn(_ path: String, _ arguments: [String], output: String) throws(BenchFailure) -> pid_t {
    let descriptor = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw BenchFailure("cannot write \(output)") }
    defer { close(descriptor) }
    var pointers: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    let process = hub_spawn(path, &pointers, nil, descriptor, 0, 0, 0, 0, 1)
    guard process > 0 else { throw BenchFailure("cannot start \(path): errno \(errno)") }
    return process
  }

  /// Runs a program to its end.
  /// - Returns: its standard output without the last line break.
  /// - Throws: with its standard error when it fails or is killed at the limit.
  static func output(
    _ path: String, _ arguments: [String], folder: String, limit: Duration, on loop: EventLoop
  ) async throws -> String {
    let output = folder + "/command.out"
    let errors = folder + "/command.err"
    // The shell parts the two streams and is replaced by the program.
    let process = try spawn(
      "/bin/sh", ["-c", "exec \"$@\" 2>\"$0\"", errors, path] + arguments, output: output)
    let deadline = loop.now + limit
    var isKilled = false
    while true {
      if let status = status(of: process) {
        guard status == 0, !isKilled else {
          let name = ([path] + arguments.prefix(2)).joined(separator: " ")
          throw BenchFailure(
            isKilled
              ? "\(name) took longer than \(limit)" : "\(name) failed: \(text(of: errors).prefix(2_000))")
        }
        let printed = text(of: output)
        return printed.hasSuffix("\n") ? String(printed.dropLast()) : printed
      }
      if !isKilled && LoopInstant.current() > deadline {
        isKilled = true
        kill(process, SIGKILL)
      }
      try await loop.sleep(for: .milliseconds(5))
    }
  }

  /// The exit code, 128 + signal when it was killed; nil while it runs.
  static func status(of process: pid_t) -> Int32? {
    var status: Int32 = 0
    guard waitpid(process, &status, WNOHANG) != 0 else { return nil }
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }

  /// A whole file, empty when it cannot be read.
  static func text(of file: String) -> String {
    guard let contents = FileManager.default.contents(atPath: file) else { return "" }
    return String(decoding: contents, as: UTF8.self)
  }
}
