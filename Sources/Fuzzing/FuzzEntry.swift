/// A property that an input broke.
package struct FuzzFinding: Error, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) {
    self.description = description
  }
}

/// One parser, and what must hold for whatever it is given: the same events however the bytes are cut,
/// what was written reads as what it was, no more out than the limits allow. That nothing traps or
/// hangs needs no saying: whoever runs an entry notices.
///
/// libFuzzer searches for inputs with it (`make fuzz`), and the unit tests run it on every input that
/// was worth keeping (`Tests/FuzzingTests/Corpus/<name>`). A new parser gets a function like the others
/// here, a line in `all` and a folder of first inputs.
package struct FuzzEntry: Sendable {
  package let name: String
  private let check: @Sendable ([UInt8], Cutting) throws(FuzzFinding) -> Void

  init(_ name: String, _ check: @escaping @Sendable ([UInt8], Cutting) throws(FuzzFinding) -> Void) {
    self.name = name
    self.check = check
  }

  /// - Throws: the first property that does not hold.
  package func run(_ input: [UInt8], cutting: Cutting = .few) throws(FuzzFinding) {
    try check(input, cutting)
  }

  package static let all: [FuzzEntry] = [
    FuzzEntry("http-request", HTTPFuzz.request),
    FuzzEntry("http-response", HTTPFuzz.response),
    FuzzEntry("http-chunked", HTTPFuzz.chunked),
    FuzzEntry("websocket-frames", WebSocketFuzz.frames),
    FuzzEntry("websocket-deflate", WebSocketFuzz.deflate),
    FuzzEntry("websocket-offer", WebSocketFuzz.offer),
    FuzzEntry("engineio-4", EngineIOFuzz.revision4),
    FuzzEntry("engineio-3", EngineIOFuzz.revision3),
    FuzzEntry("socketio", SocketIOFuzz.packets),
    FuzzEntry("jwt", JWTFuzz.token),
    FuzzEntry("json", JSONFuzz.document),
  ]
}

/// Throws a finding when `condition` is false.
func expect(_ condition: Bool, _ finding: @autoclosure () -> String) throws(FuzzFinding) {
  if !condition { throw FuzzFinding(finding()) }
}
