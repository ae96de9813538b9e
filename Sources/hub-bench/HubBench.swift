import EventLoop
import FoundationEssentials
import Glibc
import JSON

/// The measuring program: starts a hub of its own on a fresh data folder, measures it from outside and
/// prints a table. `--help` says how to call it.
///
/// It needs nothing but the built programs and PostgreSQL's. Everything in this process runs on one
/// event loop, so that the load generator costs little and its clock is one. The exit code says whether
/// everything could be measured, never whether a figure is good.
@main
struct HubBench {
  static func main() async {
    let options: BenchOptions
    switch BenchOptions.parse(Array(CommandLine.arguments.dropFirst())) {
    case .success(.run(let parsed)): options = parsed
    case .success(.help):
      write(BenchOptions.help, to: STDOUT_FILENO)
      return
    case .failure(let failure):
      write("hub-bench: \(failure)\n", to: STDERR_FILENO)
      exit(2)
    }
    do {
      let report = try await measure(options)
      write(report.table(), to: STDOUT_FILENO)
      if let file = options.jsonFile {
        try Data(report.json().encoded()).write(to: URL(filePath: file))
      }
      if !report.failures.isEmpty { exit(1) }
    } catch {
      write("hub-bench: \(error)\n", to: STDERR_FILENO)
      exit(1)
    }
  }

  private static func measure(_ options: BenchOptions) async throws -> BenchReport {
    let folder = try BenchFolder.make(in: options.folder)
    defer { folder.remove() }
    HubProcess.setEnvironment(data: folder.path + "/data")
    let loop = try EventLoop(name: "bench")
    return try await loop.shard.run { shard in
      let hub = try await HubProcess.start(options, folder: folder.path, on: shard.loop)
      do {
        let report = try await run(options, hub, folder: folder.path)
        await hub.stop()
        return report
      } catch {
        await hub.stop()
        throw error
      }
    }
  }

  /// The sections in an order in which none disturbs the next: memory first, on a hub that has done
  /// nothing yet.
  private static func run(
    _ options: BenchOptions, _ hub: HubProcess, folder: String
  ) async throws -> BenchReport {
    var report = BenchReport(options)
    for section in options.sections {
      Progress.say("\(section.rawValue): starting")
      do {
        switch section {
        case .normalise: report.add(section, try NormaliseSection(options: options).measure())
        case .echo:
          report.add(
            section, try await EchoSection(hub: hub, options: options, folder: folder).measure())
        case .idle: report.add(section, try await IdleSection(hub: hub, options: options).measure())
        case .crowd: report.add(section, try await CrowdSection(hub: hub, options: options).measure())
        case .push: report.add(section, try await PushSection(hub: hub, options: options).measure())
        case .fanout: report.add(section, try await FanOutSection(hub: hub, options: options).measure())
        case .polling:
          report.add(section, try await PollingSection(hub: hub, options: options).measure())
        case .ingest: report.add(section, try await IngestSection(hub: hub, options: options).measure())
        }
      } catch {
        Progress.say("\(section.rawValue): \(error)")
        report.fail(section, "\(error)")
        guard hub.isRunning else { throw BenchFailure("the hub ended:\n\(hub.logTail())") }
      }
    }
    return report
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}

/// Why something could not be measured, in words for whoever started the program.
struct BenchFailure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}

/// What happens right now, on standard error.
enum Progress {
  private static let start = LoopInstant.current()

  static func say(_ text: String) {
    let tenths = Int((LoopInstant.current() - start).inSeconds * 10)
    var line = "[\(tenths / 10).\(tenths % 10) s] \(text)\n"
    line.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}

/// A fresh folder for the measured hub; gone when the program ends.
struct BenchFolder: Sendable {
  let path: String

  static func make(in parent: String) throws(BenchFailure) -> BenchFolder {
    // mkdtemp writes its own letters over the last six.
    var name = Array("\(parent)/hub-bench-\(String(repeating: "X", count: 6))".utf8CString)
    guard mkdtemp(&name) != nil else { throw BenchFailure("cannot make a folder in \(parent)") }
    let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // As root the cluster belongs to another account, which must get through.
    chmod(path, 0o755)
    return BenchFolder(path: path)
  }

  func remove() {
    try? FileManager.default.removeItem(atPath: path)
  }
}
