import Testing

@testable import SocketIOWire

@Suite("EngineIOPacket and EngineIOPayload")
struct EngineIOPacketTests {
  struct Case: CustomTestStringConvertible {
    let text: String
    let packets: [EngineIOPacket]
    var testDescription: String { text.debugDescription }
  }

  private func decode(
    _ text: String, _ revision: EngineIORevision = .v4, packetsMax: Int = 10
  ) throws -> [EngineIOPacket] {
    try EngineIOPayload.decode(Array(text.utf8), revision: revision, packetsMax: packetsMax)
  }

  @Test(
    "Payloads of protocol 4 go both ways",
    arguments: [
      Case(text: "4hello", packets: [.message(Array("hello".utf8))]),
      Case(text: "4", packets: [.message([])]),
      Case(
        text: "2probe\u{1e}3\u{1e}5\u{1e}6\u{1e}1",
        packets: [.ping(Array("probe".utf8)), .pong([]), .upgrade, .noop, .close]),
      Case(text: "4hé\u{1e}bAQIDBA==", packets: [.message(Array("hé".utf8)), .binary([1, 2, 3, 4])]),
      Case(text: "0{}", packets: [.open(Array("{}".utf8))]),
    ])
  func payloadsV4(_ sample: Case) throws {
    #expect(try decode(sample.text) == sample.packets)
    #expect(EngineIOPayload.encode(sample.packets, revision: .v4) == Array(sample.text.utf8))
  }

  @Test(
    "Payloads of protocol 3 go both ways: lengths count UTF-16 units",
    arguments: [
      Case(text: "6:4hello2:4€", packets: [.message(Array("hello".utf8)), .message(Array("€".utf8))]),
      Case(text: "2:4€10:b4AQIDBA==", packets: [.message(Array("€".utf8)), .binary([1, 2, 3, 4])]),
      Case(text: "3:4👋1:2", packets: [.message(Array("👋".utf8)), .ping([])]),
    ])
  func payloadsV3(_ sample: Case) throws {
    #expect(try decode(sample.text, .v3) == sample.packets)
    #expect(EngineIOPayload.encode(sample.packets, revision: .v3) == Array(sample.text.utf8))
  }

  @Test("Payloads of protocol 3 go both ways in binary form, and each cut of one is refused")
  func payloadsOfBytes() throws {
    let packets: [EngineIOPacket] = [
      .message(Array("a👋".utf8)), .binary([]), .binary([UInt8](repeating: 255, count: 12)), .noop,
    ]
    let bytes = EngineIOPayload.encode(packets, .binary, revision: .v3)
    #expect(bytes.starts(with: [0, 6, 255, UInt8(ascii: "4"), UInt8(ascii: "a"), 0xf0]))
    #expect(try EngineIOPayload.decode(bytes, .binary, revision: .v3, packetsMax: 4) == packets)
    #expect(throws: EngineIOParseError.tooManyPackets(limit: 3)) {
      try EngineIOPayload.decode(bytes, .binary, revision: .v3, packetsMax: 3)
    }
    for cut in bytes.indices {
      let part = Array(bytes[..<cut])
      let decoded = try? EngineIOPayload.decode(part, .binary, revision: .v3, packetsMax: 4)
      // A cut between packets leaves whole ones.
      if let decoded { #expect(decoded == Array(packets.prefix(decoded.count)) && decoded.count < 4) }
    }
    for garbage: [UInt8] in [
      [2], [0, 255], [0, 10, 255], [1, 2, 255, 5, 5], [0] + [UInt8](repeating: 9, count: 12),
    ] {
      #expect(throws: EngineIOParseError.self) {
        try EngineIOPayload.decode(bytes + garbage, .binary, revision: .v3, packetsMax: 10)
      }
    }
  }

  @Test("Text that clients may count otherwise goes by byte lengths")
  func betterInBytes() {
    #expect(EngineIOPacket.message(Array("👋".utf8)).isBetterInBytes)
    #expect(EngineIOPacket.binary([]).isBetterInBytes)
    #expect(!EngineIOPacket.message(Array("Grüße €".utf8)).isBetterInBytes)
    #expect(!EngineIOPacket.noop.isBetterInBytes)
  }

  @Test("What is not a payload is refused")
  func refusals() {
    #expect(throws: EngineIOParseError.emptyPacket) { try decode("") }
    #expect(throws: EngineIOParseError.unknownType(UInt8(ascii: "a"))) { try decode("abc") }
    #expect(throws: EngineIOParseError.emptyPacket) { try decode("4a\u{1e}") }
    #expect(throws: EngineIOParseError.emptyPacket) { try decode("\u{1e}4a") }
    #expect(throws: EngineIOParseError.unknownType(UInt8(ascii: "7"))) { try decode("7") }
    #expect(throws: EngineIOParseError.badBase64) { try decode("b*") }
    #expect(throws: EngineIOParseError.unexpectedContent) { try decode("5x") }
    #expect(throws: EngineIOParseError.tooManyPackets(limit: 2)) {
      try decode("2\u{1e}2\u{1e}2", packetsMax: 2)
    }
    for bad in ["4hello", ":4", "0:", "3:4a", "2:4👋", "9999999999:4", "b4", "1:"] {
      #expect(throws: EngineIOParseError.self) { try decode(bad, .v3) }
    }
  }

  @Test("Over a WebSocket binary has its own frame, or is base64 in a text")
  func webSocketForms() throws {
    #expect(try EngineIOPacket(binary: [1, 2], revision: .v4) == .binary([1, 2]))
    #expect(try EngineIOPacket(binary: [4, 1, 2], revision: .v3) == .binary([1, 2]))
    #expect(throws: EngineIOParseError.unknownType(1)) { try EngineIOPacket(binary: [1, 2], revision: .v3) }
    #expect(try EngineIOPacket(text: Array("bAQ==".utf8), revision: .v4) == .binary([1]))
    #expect(try EngineIOPacket(text: Array("b4AQ==".utf8), revision: .v3) == .binary([1]))
    #expect(throws: EngineIOParseError.badBase64) {
      try EngineIOPacket(text: Array("bA".utf8), revision: .v4)
    }
  }
}
