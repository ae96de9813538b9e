import Bytes
import EventLoop
import Foundation
import Glibc
import Hub
import Security
import Telemetry

/// What every command works with: the environment and what is made of it.
struct Program: Sendable {
  let environment: [String: String]

  /// The version of the program, in the form of semantic versioning.
  static let version = "0.1.0"

  static let clock = WallClock { Timestamp.current }

  static func random() -> UInt64 { SecureRandom.uint64() }

  /// - Throws: `ConfigurationTable.Fault` with everything that is wrong.
  func settings() throws(ConfigurationTable.Fault) -> Settings {
    try ConfigurationTable.read(environment, cores: ProcessInfo.processInfo.activeProcessorCount) { path in
      try Self.readFile(path)
    }
  }

  /// The text of a file. - Throws: `Failure` with the system's reason.
  static func readFile(_ path: String) throws -> String {
    do {
      return try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      throw Failure(access(path, F_OK) == 0 ? "it cannot be read as text" : "there is no such file")
    }
  }

  /// The logger that the settings ask for. Commands write to standard error, so that their result
  /// stands alone; `serve` to standard output.
  func logger(_ settings: Settings, descriptor: Int32 = STDERR_FILENO) -> (log: Logger, sink: LogSink) {
    let sink = LogSink(
      descriptor: descriptor, level: LogLevel(name: settings.logLevel) ?? .info,
      format: settings.logFormat == .pretty ? .pretty : .json)
    return (Logger(sink: sink, clock: { Timestamp.current }), sink)
  }

  /// Everything that a hub is made of, before it runs. Warnings go to the log.
  /// - Throws: with a text that says what to set.
  func installation() throws -> Installation {
    let settings = try settings()
    let secrets = try SecretStore(settings).secrets(settings)
    let (log, sink) = logger(settings, descriptor: STDOUT_FILENO)
    for warning in settings.warnings { log.warning(warning) }
    for name in secrets.made {
      log.info("made a secret for development and kept it in the data folder", ["file": .string(name)])
    }
    return Installation(
      settings: settings, tokens: secrets.tokens, keys: secrets.keys, log: log, sink: sink, clock: Self.clock)
  }

  /// Runs work on an event loop of its own and ends the loop.
  static func onLoop<T: Sendable>(
    _ name: String, _ body: @escaping @Sendable (EventLoop) async throws -> T
  ) async throws -> T {
    let loop = try EventLoop(name: name)
    defer { loop.shutDown() }
    return try await loop.shard.run { shard in try await body(shard.loop) }
  }
}

/// What a hub is made of.
struct Installation: Sendable {
  let settings: Settings
  let tokens: TokenAuthority
  let keys: KeyRing
  let log: Logger
  /// Flush it before the program ends.
  let sink: LogSink
  let clock: WallClock
}

extension Timestamp {
  /// The wall clock now.
  static var current: Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
  }
}
