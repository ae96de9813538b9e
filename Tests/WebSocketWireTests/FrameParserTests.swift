import Bytes
import Testing

@testable import WebSocketWire

@Suite("FrameParser")
struct FrameParserTests {
  private static let key: UInt32 = 0x37fa_213d

  /// The opcode and payload of each frame in `bytes`, fed in the given cuts.
  private func frames(_ parts: [[UInt8]], role: WebSocketRole = .server) throws -> [String] {
    var parser = FrameParser(role: role)
    var buffer = ByteBuffer()
    var found: [String] = []
    var current = ""
    for part in parts {
      buffer.append(contentsOf: part)
      reading: while true {
        switch try parser.read(&buffer) {
        case .needMoreData: break reading
        case .frameBegan(let header): current = "\(header.isFinal ? "F" : "-")\(header.opcode):"
        case .payloadPart(let bytes): current += String(decoding: bytes, as: UTF8.self)
        case .frameEnded: found.append(current)
        }
      }
    }
    return found
  }

  @Test("The examples of RFC 6455 section 5.7 are read")
  func examples() throws {
    #expect(
      try frames([[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]]) == ["Ftext:Hello"])
    #expect(try frames([[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]], role: .client) == ["Ftext:Hello"])
    #expect(
      try frames([[0x01, 0x03, 0x48, 0x65, 0x6c], [0x80, 0x02, 0x6c, 0x6f]], role: .client)
        == ["-text:Hel", "Fcontinuation:lo"])
    #expect(try frames([[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]], role: .client) == ["Fping:Hello"])
  }

  @Test("Every cut gives the same frames", arguments: [0, 1, 5, 125, 126, 127, 300])
  func cuts(count: Int) throws {
    let text = Array(repeating: UInt8(ascii: "x"), count: count)
    let bytes =
      FrameWriter.frame(.text, text, maskKey: Self.key)
      + FrameWriter.frame(.ping, Array("p".utf8), maskKey: 1)
      + FrameWriter.frame(.binary, text, isFinal: false, maskKey: 0)
    let whole = try frames([bytes])
    #expect(whole.count == 3)
    #expect(whole.first == "Ftext:" + String(decoding: text, as: UTF8.self))
    for cut in 1..<bytes.count {
      #expect(try frames([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole)
    }
    #expect(try frames(bytes.map { [$0] }) == whole)
  }

  @Test("The three forms of length are written and read", arguments: [125, 126, 65_535, 65_536, 200_000])
  func lengths(count: Int) throws {
    let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    for key in [nil, Self.key] as [UInt32?] {
      var buffer = ByteBuffer(FrameWriter.frame(.binary, payload, maskKey: key))
      let header = count < 126 ? 2 : count < 65_536 ? 4 : 10
      #expect(buffer.count == header + (key == nil ? 0 : 4) + count)
      var parser = FrameParser(role: key == nil ? .client : .server)
      #expect(
        try parser.read(&buffer)
          == .frameBegan(WebSocketFrameHeader(isFinal: true, opcode: .binary, payloadBytes: count)))
      #expect(try parser.read(&buffer) == .payloadPart(payload))
      #expect(try parser.read(&buffer) == .frameEnded)
      #expect(try parser.read(&buffer) == .needMoreData)
    }
  }

  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let fault: WebSocketFault
  }

  @Test(
    "Frames against the rules are refused",
    arguments: [
      Refusal(testDescription: "RSV1", bytes: [0xc1, 0x80], fault: .reservedBitSet),
      Refusal(testDescription: "RSV2", bytes: [0xa1, 0x80], fault: .reservedBitSet),
      Refusal(testDescription: "RSV3", bytes: [0x91, 0x80], fault: .reservedBitSet),
      Refusal(testDescription: "opcode 3", bytes: [0x83, 0x80], fault: .unknownOpcode(3)),
      Refusal(testDescription: "opcode 11", bytes: [0x8b, 0x80], fault: .unknownOpcode(11)),
      Refusal(testDescription: "no mask", bytes: [0x81, 0x00], fault: .unmasked),
      Refusal(testDescription: "split ping", bytes: [0x09, 0x80], fault: .controlFragmented),
      Refusal(testDescription: "long ping", bytes: [0x89, 0xfe], fault: .controlTooLong(limitBytes: 125)),
      Refusal(
        testDescription: "long form of 125", bytes: [0x82, 0xfe, 0, 125, 1, 2, 3, 4], fault: .badLength),
      Refusal(
        testDescription: "longest form of 65535",
        bytes: [0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4],
        fault: .badLength),
      Refusal(
        testDescription: "top bit", bytes: [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        fault: .badLength),
    ])
  func refusals(_ refusal: Refusal) {
    #expect(throws: refusal.fault) { try frames([refusal.bytes]) }
  }

  @Test("A client refuses masked frames")
  func maskedServer() {
    #expect(throws: WebSocketFault.masked) { try frames([[0x81, 0x80]], role: .client) }
  }
}
