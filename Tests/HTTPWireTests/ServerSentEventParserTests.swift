import HTTPWire
import Testing

@Suite("Server-sent events") struct ServerSentEventParserTests {
  private static let stream =
    "\u{feff}: comment\r\n\r\nid: 7\r\nevent: add\r\ndata: one\rdata:  two\ndata\n\nretry: 250\nretry: x\n"
    + "unknown: 1\n\ndata: [\"é\"]\n\nevent: no data\n\ndata: cut off"

  @Test("reads events the same way however the bytes are cut")
  func cuts() throws {
    let bytes = Array(Self.stream.utf8)
    for cut in bytes.indices {
      var parser = ServerSentEventParser()
      let events = try parser.read(Array(bytes[..<cut])) + parser.read(Array(bytes[cut...]))
      #expect(
        events == [
          ServerSentEvent(name: "add", data: "one\n two\n", lastID: "7"),
          ServerSentEvent(name: "message", data: "[\"é\"]", lastID: "7"),
        ])
      #expect(parser.retryMilliseconds == 250)
    }
  }

  @Test("an event larger than allowed is refused")
  func bound() {
    var parser = ServerSentEventParser(eventBytesMax: 100)
    #expect(throws: ServerSentEventTooLarge(limitBytes: 100)) {
      try parser.read(Array("data: \(String(repeating: "x", count: 200))".utf8))
    }
  }
}
