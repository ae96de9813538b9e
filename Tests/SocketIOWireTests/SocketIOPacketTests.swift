import Testing

@testable import SocketIOWire

@Suite("SocketIOPacket")
struct SocketIOPacketTests {
  struct Case: CustomTestStringConvertible {
    let text: String
    let packet: SocketIOPacket
    var testDescription: String { text }

    init(_ text: String, _ packet: SocketIOPacket) {
      self.text = text
      self.packet = packet
    }
  }

  private static func json(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test(
    "Packets go both ways",
    arguments: [
      Case("0", SocketIOPacket(.connect)),
      Case(#"0{"token":"1"}"#, SocketIOPacket(.connect, payload: json(#"{"token":"1"}"#))),
      Case("0/admin,", SocketIOPacket(.connect, namespace: "/admin")),
      Case(#"0/admin,{"a":1}"#, SocketIOPacket(.connect, namespace: "/admin", payload: json(#"{"a":1}"#))),
      Case("1", SocketIOPacket(.disconnect)),
      Case("1/admin,", SocketIOPacket(.disconnect, namespace: "/admin")),
      Case(#"2["hey",1]"#, SocketIOPacket(.event, payload: json(#"["hey",1]"#))),
      Case(
        #"2/n,17["hey"]"#,
        SocketIOPacket(.event, namespace: "/n", acknowledgementID: 17, payload: json(#"["hey"]"#))),
      Case("3456[]", SocketIOPacket(.acknowledgement, acknowledgementID: 456, payload: json("[]"))),
      Case(
        #"4/x,{"message":"no"}"#,
        SocketIOPacket(.connectError, namespace: "/x", payload: json(#"{"message":"no"}"#))),
      Case(
        #"52-7["b",{"_placeholder":true,"num":0}]"#,
        SocketIOPacket(
          .binaryEvent, acknowledgementID: 7, attachmentCount: 2,
          payload: json(#"["b",{"_placeholder":true,"num":0}]"#))),
      Case(
        "61-/n,3[{}]",
        SocketIOPacket(
          .binaryAcknowledgement, namespace: "/n", acknowledgementID: 3, attachmentCount: 1,
          payload: json("[{}]"))),
    ])
  func roundTrips(_ sample: Case) throws {
    #expect(try SocketIOPacket(parsing: Array(sample.text.utf8)) == sample.packet)
    #expect(String(decoding: sample.packet.encoded(), as: UTF8.self) == sample.text)
  }

  @Test("A namespace may end the packet, and loses a query")
  func namespaceForms() throws {
    #expect(
      try SocketIOPacket(parsing: Array("0/admin".utf8)) == SocketIOPacket(.connect, namespace: "/admin"))
    for query in ["a=b", "\u{59e}a", ""] {
      let packet = try SocketIOPacket(parsing: Array("0/admin?\(query),".utf8))
      #expect(packet.namespace == "/admin" && packet.namespaceQuery == query)
    }
  }

  @Test(
    "What is not a packet is refused",
    arguments: [
      ("", SocketIOParseError.empty), ("abc", .unknownType(UInt8(ascii: "a"))),
      ("7", .unknownType(UInt8(ascii: "7"))),
      ("2", .badPayload), ("2{}", .badPayload), ("2[", .badPayload), (#"2abc["x"]"#, .badPayload),
      ("1{}", .badPayload),
      ("0[]", .badPayload), ("05", .badAcknowledgementID), ("3[]", .badAcknowledgementID), ("4", .badPayload),
      ("29999999999999999999[\"x\"]", .badAcknowledgementID), (#"5["x"]"#, .badAttachmentCount),
      (#"51["x"]"#, .badAttachmentCount), (#"5-["x"]"#, .badAttachmentCount),
      (#"511-["x"]"#, .tooManyAttachments(limit: 10)), (#"51.5-["x"]"#, .badAttachmentCount),
    ])
  func refusals(text: String, error: SocketIOParseError) {
    #expect(throws: error) { try SocketIOPacket(parsing: Array(text.utf8)) }
  }

  @Test("A namespace has its limit, and is UTF-8")
  func namespaceLimits() throws {
    #expect(throws: SocketIOParseError.namespaceTooLong(limitBytes: 256)) {
      try SocketIOPacket(parsing: Array("0/\(String(repeating: "x", count: 256)),".utf8))
    }
    #expect(throws: SocketIOParseError.badNamespace) {
      try SocketIOPacket(parsing: [UInt8(ascii: "0"), UInt8(ascii: "/"), 0xff])
    }
    // The query has a limit of its own.
    let token = String(repeating: "x", count: 8_190)
    let packet = try SocketIOPacket(parsing: Array("0/a?t=\(token),".utf8))
    #expect(packet.namespace == "/a" && packet.namespaceQuery == "t=\(token)")
    #expect(throws: SocketIOParseError.namespaceTooLong(limitBytes: 8_192)) {
      try SocketIOPacket(parsing: Array("0/a?t=\(token)x,".utf8))
    }
  }

  @Test("Every cut and every changed byte is read or refused, never a trap")
  func garbage() {
    let whole = Array(#"52-/name,7["b",{"_placeholder":true,"num":0}]"#.utf8)
    for cut in 0..<whole.count { _ = try? SocketIOPacket(parsing: Array(whole[..<cut])) }
    for index in whole.indices {
      for byte in [0, 0x1e, 0x2c, 0x2d, 0x2f, 0x30, 0x39, 0x5b, 0x7b, 0xff] as [UInt8] {
        var changed = whole
        changed[index] = byte
        _ = try? SocketIOPacket(parsing: changed)
      }
    }
  }

  @Test("Attachments come back to their packet, and only in their place")
  func assembling() throws {
    var assembler = SocketIOAssembler()
    let plain = try #require(try assembler.text(Array(#"2["a"]"#.utf8)))
    #expect(plain.attachments == [])
    let first = try assembler.text(Array(#"52-["b"]"#.utf8))
    #expect(first == nil)
    let second = try assembler.binary([1])
    #expect(second == nil)
    let whole = try #require(try assembler.binary([2]))
    #expect(whole.attachments == [[1], [2]])
    #expect(whole.packet.kind == .binaryEvent)
    #expect(throws: SocketIOParseError.attachmentOutOfPlace) { try assembler.binary([3]) }
    _ = try assembler.text(Array(#"51-["b"]"#.utf8))
    #expect(throws: SocketIOParseError.attachmentOutOfPlace) { try assembler.text(Array(#"2["a"]"#.utf8)) }
    var none = SocketIOAssembler()
    let empty = try none.text(Array(#"50-["b"]"#.utf8))
    #expect(empty?.packet.kind == .binaryEvent)
  }
}

@Suite("RawJSONArray")
struct RawJSONArrayTests {
  @Test(
    "Elements are cut at the commas of the array itself",
    arguments: [
      ("[]", []), (" [ ] ", []), ("[1]", ["1"]),
      (#"["a",1,"2",{"3":[true,false]}]"#, [#""a""#, "1", #""2""#, #"{"3":[true,false]}"#]),
      (#"[ "a,]" , "b\"," ]"#, [#""a,]""#, #""b\",""#]),
      (#"["\\",[[],[1,2]],null]"#, [#""\\""#, "[[],[1,2]]", "null"]),
    ] as [(String, [String])])
  func cuts(text: String, elements: [String]) {
    let found = RawJSONArray.elements(of: Array(text.utf8))
    #expect(found?.map { String(decoding: $0, as: UTF8.self) } == elements)
  }

  @Test(
    "What is not an array gives nil",
    arguments: ["", "[", "]", "{}", "[1", "1]", "[,]", "[1,]", "[]]", "[[]", #"["]"#])
  func refusals(text: String) {
    #expect(RawJSONArray.elements(of: Array(text.utf8)) == nil)
  }
}
