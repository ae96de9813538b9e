import EventLoop
import FoundationEssentials
import Glibc

/// WebSocket echo: `wire-echo`, which is the hub's connection without a hub, beside a server in C that does
/// the least there is to do. The same load in C drives both, in turns, one message in flight a connection.
struct EchoSection {
  private static let connections = 64
  private static let startLimit: Duration = .seconds(10)

  let hub: HubProcess
  let options: BenchOptions
  let folder: String

  func measure() async throws -> [Figure] {
    let yardstick = try Self.beside("echo-yardstick")
    let bare = try await Server.start(yardstick, ["serve"], folder: folder, on: hub.loop)
    defer { bare.stop() }
    let ours = try await Server.start(
      try Self.beside("wire-echo"), ["--port", "0"], folder: folder, on: hub.loop)
    defer { ours.stop() }
    var rates: (ours: [Double], bare: [Double]) = ([], [])
    for round in 1...options.rounds {
      rates.bare.append(try await load(yardstick, bare))
      rates.ours.append(try await load(yardstick, ours))
      Progress.say(
        "echo: round \(round): \(Figure.grouped(Int(rates.ours.last ?? 0))) of "
          + "\(Figure.grouped(Int(rates.bare.last ?? 0))) messages/s")
    }
    let mean = { (values: [Double]) in values.reduce(0, +) / Double(values.count) }
    let (oursMean, bareMean) = (mean(rates.ours), mean(rates.bare))
    return [
      Figure("echo", "messages echoed", oursMean, "/s"),
      Figure("yardstick", "by the C server", bareMean, "/s"),
      Figure("ratio", "ratio", oursMean / bareMean, "", goal: ">= 0.7"),
    ]
  }

  private func load(_ yardstick: String, _ server: Server) async throws -> Double {
    let printed = try await ChildProgram.output(
      yardstick, ["load", server.port, "\(Self.connections)", "\(options.seconds)"], folder: folder,
      limit: .seconds(options.seconds + 20), on: hub.loop)
    guard let rate = Double(printed) else { throw BenchFailure("the load said: \(printed.prefix(200))") }
    return rate
  }

  /// A program in the folder of this one.
  private static func beside(_ name: String) throws(BenchFailure) -> String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let path =
      own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      + "/" + name
    guard access(path, X_OK) == 0 else { throw BenchFailure("\(name) is not built: make bench") }
    return path
  }

  private struct Server {
    let process: pid_t
    let port: String

    static func start(
      _ path: String, _ arguments: [String], folder: String, on loop: EventLoop
    ) async throws -> Server {
      let name = path.split(separator: "/").last.map(String.init) ?? path
      let output = "\(folder)/\(name).out"
      let process = try ChildProgram.spawn(path, arguments, output: output)
      let deadline = loop.now + EchoSection.startLimit
      while LoopInstant.current() < deadline {
        let text = ChildProgram.text(of: output)
        if text.hasSuffix("\n"), let port = text.dropLast().split(separator: ":").last {
          return Server(process: process, port: String(port))
        }
        try await loop.sleep(for: .milliseconds(10))
      }
      kill(process, SIGKILL)
      throw BenchFailure("\(name) did not start: \(ChildProgram.text(of: output).prefix(500))")
    }

    func stop() {
      kill(process, SIGKILL)
      var status: Int32 = 0
      waitpid(process, &status, 0)
    }
  }
}
