/// What to measure and for how long: the command line as values.
struct BenchOptions: Sendable {
  enum Section: String, CaseIterable, Sendable {
    /// What reading a message costs, per platform.
    case normalise
    /// WebSocket messages echoed a second, beside a server in C.
    case echo
    /// Memory per idle connection.
    case idle
    /// One event to as many sockets of one user.
    case crowd
    /// From a webhook to a client's screen.
    case push
    /// The same for an account that many users see.
    case fanout
    /// Webhooks acknowledged a second, beside pgbench.
    case ingest
    /// What accounts cost in which nothing happens.
    case polling
  }

  enum Command: Sendable {
    case run(BenchOptions)
    case help
  }

  /// In the order of measuring.
  var sections = Section.allCases
  /// Length of each measurement.
  var seconds = 8
  /// Turns of hub and yardstick.
  var rounds = 3
  /// Keep-alive connections that send webhooks.
  var connections = 256
  var idleConnections = 5_000
  var polledAccounts = 5_000
  /// Messages a second of the push section.
  var rate = 1_000
  /// nil: `messaging-hub` beside this program.
  var hub: String?
  var jsonFile: String?
  /// Where the fresh data folder is made. A disk, if the figures shall include one.
  var folder = "/tmp"

  static let help = """
    usage: hub-bench [options]

    Starts a hub on a fresh data folder, measures it from outside and prints a table.

      --only LIST             of normalise, echo, idle, crowd, push, fanout,
                              ingest, polling (default: all)
      --seconds N             length of each measurement (default 8)
      --rounds N              turns of hub and yardstick (default 3)
      --connections N         connections that send webhooks (default 256)
      --idle-connections N    Socket.IO clients of the idle and crowd sections (default 5000)
      --polled-accounts N     accounts of the polling section (default 5000)
      --rate N                messages a second of the push section (default 1000)
      --json FILE             write the figures there too
      --hub PATH              the program to measure (default: messaging-hub beside this one)
      --folder DIR            where the data folder is made and removed (default /tmp)

    Settings of the hub, HUB_SHARDS or LIMIT_GROUP for example, are taken from the environment.
    The exit code is 0 when everything could be measured, whatever the figures are.

    """

  static func parse(_ arguments: [String]) -> Result<Command, BenchFailure> {
    var options = BenchOptions()
    var rest = arguments[...]
    do throws(BenchFailure) {
      while let flag = rest.popFirst() {
        if flag == "--help" || flag == "-h" { return .success(.help) }
        guard let value = rest.popFirst() else { throw BenchFailure("\(flag) needs a value; see --help") }
        try options.set(flag, value)
      }
    } catch {
      return .failure(error)
    }
    return .success(.run(options))
  }

  private mutating func set(_ flag: String, _ value: String) throws(BenchFailure) {
    switch flag {
    case "--only":
      let wanted = value.split(separator: ",").map(String.init)
      for name in wanted where Section(rawValue: name) == nil {
        throw BenchFailure("there is no section \(name); see --help")
      }
      sections = Section.allCases.filter { wanted.contains($0.rawValue) }
    case "--seconds": seconds = try Self.number(flag, value, 1...600)
    case "--rounds": rounds = try Self.number(flag, value, 1...20)
    case "--connections": connections = try Self.number(flag, value, 1...1_000)
    case "--idle-connections": idleConnections = try Self.number(flag, value, 1...15_000)
    case "--polled-accounts": polledAccounts = try Self.number(flag, value, 1...15_000)
    case "--rate": rate = try Self.number(flag, value, 1...100_000)
    case "--json": jsonFile = value
    case "--hub": hub = value
    case "--folder": folder = value
    default: throw BenchFailure("unknown option \(flag); see --help")
    }
  }

  private static func number(
    _ flag: String, _ value: String, _ range: ClosedRange<Int>
  ) throws(BenchFailure) -> Int {
    guard let number = Int(value), range.contains(number) else {
      throw BenchFailure("\(flag) takes a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
