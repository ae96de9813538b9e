/// What the command line says. Pure.
struct EchoOptions: Sendable, Equatable {
  enum Command: Sendable, Equatable {
    case serve(EchoOptions)
    case help
  }

  /// A command line that is not understood.
  struct Fault: Error, Equatable, CustomStringConvertible {
    let description: String
  }

  /// 0: one that is free.
  var port: UInt16 = 0
  /// Engine.IO's heartbeat, as the protocol's own test suites expect it.
  var pingInterval = Duration.milliseconds(300)
  var pingTimeout = Duration.milliseconds(200)
  /// Whether clients of Engine.IO 3 (Socket.IO 2) are served.
  var allowsEngineIO3 = true

  static let help = """
    usage: wire-echo [options]

    Serves the wire protocols on 127.0.0.1 without a hub behind them, for conformance suites of others.
    It prints the line `listening on 127.0.0.1:PORT` and runs until SIGTERM.

      /ws          WebSocket: each message comes back as it is; permessage-deflate as the client asks
      /engine.io/  Engine.IO: each message comes back as it is
      /socket.io/  Socket.IO: namespaces / and /custom, with the events of the protocol's test suite

      --port N              the port; 0 for one that is free (default 0)
      --ping-interval MS    Engine.IO's ping interval (default 300)
      --ping-timeout MS     Engine.IO's ping timeout (default 200)
      --engine-io-3 on|off  whether clients of Engine.IO 3 are served (default on)

    """

  static func parse(_ words: [String]) throws(Fault) -> Command {
    var options = EchoOptions()
    var rest = words[...]
    while let flag = rest.popFirst() {
      if flag == "--help" || flag == "-h" { return .help }
      guard flags.contains(flag) else { throw Fault(description: "there is no option \(flag)") }
      guard let value = rest.popFirst() else { throw Fault(description: "\(flag) needs a value") }
      try options.set(flag, value)
    }
    return .serve(options)
  }

  private static let flags: Set = ["--port", "--ping-interval", "--ping-timeout", "--engine-io-3"]

  private mutating func set(_ flag: String, _ value: String) throws(Fault) {
    switch flag {
    case "--port": port = UInt16(try Self.number(flag, value, 0...65_535))
    case "--ping-interval": pingInterval = .milliseconds(try Self.number(flag, value, 1...600_000))
    case "--ping-timeout": pingTimeout = .milliseconds(try Self.number(flag, value, 1...600_000))
    default:
      guard value == "on" || value == "off" else {
        throw Fault(description: "\(flag) is on or off, not '\(value)'")
      }
      allowsEngineIO3 = value == "on"
    }
  }

  private static func number(
    _ flag: String, _ value: String, _ range: ClosedRange<Int>
  ) throws(Fault) -> Int {
    guard let number = Int(value), range.contains(number) else {
      throw Fault(
        description:
          "\(flag) is a whole number from \(range.lowerBound) to \(range.upperBound), not '\(value)'")
    }
    return number
  }
}
