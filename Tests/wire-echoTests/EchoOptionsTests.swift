import Testing

@testable import wire_echo

@Suite("The command line of wire-echo")
struct EchoOptionsTests {
  @Test("without options it takes a free port and the suites' heartbeat")
  func defaults() throws {
    let command = try EchoOptions.parse([])
    #expect(command == .serve(EchoOptions()))
    #expect(EchoOptions().pingInterval == .milliseconds(300))
    #expect(EchoOptions().pingTimeout == .milliseconds(200))
  }

  @Test("every option is read")
  func options() throws {
    let words = ["--port", "4000", "--ping-interval", "50", "--ping-timeout", "20", "--engine-io-3", "off"]
    var wanted = EchoOptions()
    wanted.port = 4_000
    wanted.pingInterval = .milliseconds(50)
    wanted.pingTimeout = .milliseconds(20)
    wanted.allowsEngineIO3 = false
    #expect(try EchoOptions.parse(words) == .serve(wanted))
    #expect(try EchoOptions.parse(["--help", "--port"]) == .help)
  }

  @Test(
    "what is not understood is named",
    arguments: [
      (["--speed", "1"], "there is no option --speed"), (["--port"], "--port needs a value"),
      (["--port", "65536"], "--port is a whole number from 0 to 65535, not '65536'"),
      (["--ping-timeout", "0"], "--ping-timeout is a whole number from 1 to 600000, not '0'"),
      (["--engine-io-3", "yes"], "--engine-io-3 is on or off, not 'yes'"),
    ])
  func faults(words: [String], text: String) {
    #expect(throws: EchoOptions.Fault(description: text)) { try EchoOptions.parse(words) }
  }
}
