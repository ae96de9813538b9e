import EventLoop
import Glibc
import HTTPServer

/// The program: the wire protocols of the hub without the hub, for the conformance suites and clients
/// of others. Everything runs on one event loop.
///
/// Exit status: 0 after a stop signal, 1 when it cannot listen, 2 when it was called wrongly.
@main
struct Main {
  static func main() async {
    signal(SIGPIPE, SIG_IGN)
    let options: EchoOptions
    do throws(EchoOptions.Fault) {
      switch try EchoOptions.parse(Array(CommandLine.arguments.dropFirst())) {
      case .serve(let parsed): options = parsed
      case .help: return write(EchoOptions.help, to: STDOUT_FILENO)
      }
    } catch {
      write("wire-echo: \(error); see: wire-echo --help\n", to: STDERR_FILENO)
      exit(2)
    }
    let signals = StopSignals()
    do {
      let loop = try EventLoop(name: "echo")
      let listener = try Listener.bind(.v4([127, 0, 0, 1], options.port), on: loop, reusePort: false)
      EchoEndpoint.all(options, on: loop).server(on: loop).listen(listener)
      write("listening on \(listener.address)\n", to: STDOUT_FILENO)
    } catch {
      write("wire-echo: cannot listen on port \(options.port): \(error)\n", to: STDERR_FILENO)
      exit(1)
    }
    _ = await signals.next()
    exit(0)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}
