import SocketIOWire
import Testing

/// Payloads and packets that are cut, or go on in a way that nobody meant.
@Suite("Garbage in Engine.IO and Socket.IO") struct GarbageTests {
  struct Payload: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let revision: EngineIORevision
    let form: EngineIOPayload.Form
    /// What no payload goes on with.
    let garbage: [UInt8]
    let errors: [EngineIOParseError]

    func decode(_ body: [UInt8]) throws(EngineIOParseError) -> [EngineIOPacket] {
      try EngineIOPayload.decode(body, form, revision: revision, packetsMax: 100)
    }
  }

  private static let x = UInt8(ascii: "x")

  static let payloads = [
    Payload(
      testDescription: "revision 4", revision: .v4, form: .text, garbage: [0x1e, x],
      errors: [.emptyPacket, .unknownType(x), .badBase64, .badUTF8]),
    Payload(
      testDescription: "revision 3 as text", revision: .v3, form: .text,
      garbage: [UInt8](repeating: x, count: 20), errors: [.badLength, .unknownType(x), .badBase64, .badUTF8]),
    Payload(
      testDescription: "revision 3 as bytes", revision: .v3, form: .binary,
      garbage: [UInt8](repeating: 0xff, count: 20), errors: [.badLength, .unknownType(0xff), .badUTF8]),
  ]

  static let packets: [EngineIOPacket] = [
    .message(Array("a€".utf8)), .binary([1, 2, 3, 4, 5]), .ping(Array("probe".utf8)),
    .message(Array("👋".utf8)), .noop,
  ]

  @Test("garbage behind every beginning of a payload ends in the error that names it", arguments: payloads)
  func behindPayloads(payload: Payload) {
    let body = EngineIOPayload.encode(Self.packets, payload.form, revision: payload.revision)
    for count in 0...body.count {
      do throws(EngineIOParseError) {
        let packets = try payload.decode(Array(body[..<count]) + payload.garbage)
        Issue.record("\(count) bytes: \(packets)")
      } catch {
        #expect(payload.errors.contains(error), "\(count) bytes: \(error)")
      }
    }
  }

  @Test("text that is not UTF-8 is refused", arguments: payloads)
  func notText(payload: Payload) {
    let packets: [EngineIOPacket] = [.message([0x61, 0xe2, 0x82])]
    let body = EngineIOPayload.encode(packets, payload.form, revision: payload.revision)
    #expect(throws: EngineIOParseError.badUTF8) { try payload.decode(body) }
  }

  @Test("a payload that is cut is refused, or is its first packets", arguments: payloads)
  func cutPayloads(payload: Payload) throws {
    let body = EngineIOPayload.encode(Self.packets, payload.form, revision: payload.revision)
    #expect(try payload.decode(body) == Self.packets)
    for count in body.indices {
      guard let packets = try? payload.decode(Array(body[..<count])) else { continue }
      // In revision 4 nothing says how long a packet is: the last one may be the beginning of it.
      let isCounted = payload.revision == .v3
      let whole = packets.dropLast(isCounted ? 0 : 1)
      #expect(Array(Self.packets.prefix(whole.count)) == Array(whole), "\(count) bytes")
      #expect(packets.count <= Self.packets.count && packets != Self.packets, "\(count) bytes")
    }
  }

  @Test(
    "garbage behind every beginning of a Socket.IO packet ends in the error that names it",
    arguments: [
      #"0/admin?a=b,{"t":"1"}"#, #"2/n,17["hey",{"a":1}]"#, #"52-/n,7["b",{"_placeholder":true}]"#, "1/n,",
    ])
  func behindPackets(text: String) {
    let named: [SocketIOParseError] = [
      .unknownType(0xff), .badAttachmentCount, .badNamespace, .badPayload, .badAcknowledgementID,
    ]
    let bytes = Array(text.utf8)
    for count in 0...bytes.count where !(text.hasPrefix("0") && bytes[..<count].contains(UInt8(ascii: "{"))) {
      do throws(SocketIOParseError) {
        let packet = try SocketIOPacket(parsing: Array(bytes[..<count]) + [0xff])
        Issue.record("\(count) bytes: \(packet)")
      } catch {
        #expect(named.contains(error), "\(count) bytes: \(error)")
      }
    }
  }

  @Test("a packet with attachments: every order of messages but the right one is refused")
  func attachments() throws {
    let head = Array(#"52-["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#.utf8)
    for text in 0..<3 {
      var assembler = SocketIOAssembler()
      #expect(throws: SocketIOParseError.attachmentOutOfPlace) {
        if text == 0 { _ = try assembler.binary([1]) }
        _ = try assembler.text(head)
        for _ in 1..<max(text, 1) { _ = try assembler.binary([1]) }
        _ = try assembler.text(head)
      }
    }
    var assembler = SocketIOAssembler()
    let steps = [try assembler.text(head), try assembler.binary([1]), try assembler.binary([2])]
    #expect(steps.map { $0 == nil } == [true, true, false])
    #expect(throws: SocketIOParseError.attachmentOutOfPlace) { try assembler.binary([3]) }
  }
}
