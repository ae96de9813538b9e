import EventLoop
import HTTPServer
import HTTPWire
import JSON

/// What it costs to read accounts in which nothing happens: the hub's processor time over a while, with many
/// accounts whose platform keeps each question until it has news or fifty seconds are over.
struct PollingSection {
  private static let holdMax: Duration = .seconds(50)
  private static let watched: Duration = .seconds(60)
  private static let settleMax: Duration = .seconds(120)

  let hub: HubProcess
  let options: BenchOptions

  func measure() async throws -> [Figure] {
    let count = options.polledAccounts
    let platform = try SilentPlatform(on: hub.loop, hold: Self.holdMax)
    defer { platform.close() }
    let token = try await hub.token(user: "poller")
    for number in 0..<count {
      try await hub.polledAccount(token: token, bot: "\(number):bench", apiURL: platform.url)
    }
    Progress.say("polling: \(count) accounts are there")
    let deadline = hub.loop.now + Self.settleMax
    while platform.held < count {
      guard hub.loop.now < deadline else {
        throw BenchFailure("only \(platform.held) of \(count) accounts are being polled")
      }
      try await hub.loop.sleep(for: .milliseconds(200))
    }
    Progress.say("polling: all are being polled")
    try await hub.loop.sleep(for: .seconds(5))
    let asked = platform.questions
    let before = try hub.processorSeconds()
    let start = LoopInstant.current()
    try await hub.loop.sleep(for: Self.watched)
    let seconds = (LoopInstant.current() - start).inSeconds
    let used = try hub.processorSeconds() - before
    return [
      Figure("accounts", "idle polled accounts", Double(count), ""),
      Figure("coreShare", "hub's share of a core", 100 * used / seconds, "%", goal: "< 5 at 5,000"),
      Figure("questions", "questions asked", Double(platform.questions - asked) / seconds, "/s"),
      Figure("resident", "hub resident", Double(try hub.residentBytes()) / 1_048_576, "MiB"),
    ]
  }
}

/// A Bot API in which nothing happens.
final class SilentPlatform {
  private let server: HTTPServer
  private let listener: Listener
  private let state: State
  let url: String

  /// Confined to the loop.
  private actor State {
    nonisolated let loop: EventLoop
    var held = 0
    var questions = 0

    init(loop: EventLoop) { self.loop = loop }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    func hold(_ time: Duration) async {
      held += 1
      questions += 1
      try? await loop.sleep(for: time)
      held -= 1
    }
  }

  init(on loop: EventLoop, hold: Duration) throws {
    guard let any = SocketAddress(host: "127.0.0.1", port: 0) else {
      throw BenchFailure("127.0.0.1 is no address")
    }
    let state = State(loop: loop)
    self.state = state
    listener = try Listener.bind(any, on: loop)
    var configuration = HTTPServer.Configuration(bodyBytesMax: { _ in 65_536 })
    configuration.connectionsMax = 20_000
    server = HTTPServer(loop: loop, configuration: configuration) { _ in
      await state.hold(hold)
      return .response(.json(.ok, Array(#"{"ok":true,"result":[]}"#.utf8)))
    }
    server.listen(listener)
    url = "http://\(listener.address)"
  }

  var held: Int { state.assumeIsolated { $0.held } }
  var questions: Int { state.assumeIsolated { $0.questions } }

  func close() { listener.close() }
}
