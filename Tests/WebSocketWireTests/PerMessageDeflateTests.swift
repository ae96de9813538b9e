import Bytes
import Testing

@testable import WebSocketWire

@Suite("PerMessageDeflate")
struct PerMessageDeflateTests {
  private func action(
    _ bytes: [UInt8], limits: WebSocketLimits = WebSocketLimits()
  ) -> WebSocketStateMachine.Action {
    var machine = WebSocketStateMachine(role: .server, limits: limits, inflater: MessageInflater())
    var buffer = ByteBuffer(bytes)
    return machine.read(&buffer)
  }

  @Test("Offers and answers")
  func negotiation() throws {
    let base = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    #expect(PerMessageDeflate.negotiate(offers: ["permessage-deflate"])?.response == base)
    #expect(
      PerMessageDeflate.negotiate(offers: ["x-other, permessage-deflate; client_max_window_bits"])?.response
        == base)
    let small = try #require(
      PerMessageDeflate.negotiate(offers: ["permessage-deflate; server_max_window_bits=\"10\""]))
    #expect(small.sendWindowBits == 10)
    #expect(small.response == base + "; server_max_window_bits=10")
    for bad in [
      "", "permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits",
      "permessage-deflate; server_max_window_bits=16", "permessage-deflate; client_max_window_bits=010",
      "permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover=1",
      "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    ] {
      #expect(PerMessageDeflate.negotiate(offers: [bad]) == nil, "\(bad)")
    }
  }

  @Test("The example of RFC 7692 section 7.2.3.1 is inflated, whole and in fragments")
  func example() {
    let hello: [UInt8] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
    let expected = WebSocketStateMachine.Action.deliver(.text(Array("Hello".utf8)))
    #expect(action(FrameWriter.frame(.text, hello, isCompressed: true, maskKey: 1)) == expected)
    let split =
      FrameWriter.frame(.text, hello[..<3], isFinal: false, isCompressed: true, maskKey: 1)
      + FrameWriter.frame(.continuation, hello[3...], maskKey: 1)
    #expect(action(split) == expected)
    #expect(
      action(FrameWriter.frame(.text, Array("raw".utf8), maskKey: 1)) == .deliver(.text(Array("raw".utf8))))
  }

  @Test("What is compressed comes back", arguments: [0, 1, 1000, 100_000])
  func roundTrip(count: Int) throws {
    let deflate = try #require(PerMessageDeflate.negotiate(offers: ["permessage-deflate"]))
    let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }
    let payload = try #require(deflate.compress(message))
    #expect(
      action(FrameWriter.frame(.binary, payload, isCompressed: true, maskKey: 1))
        == .deliver(.binary(message)))
  }

  @Test("A bomb ends at the limit, and nonsense is refused")
  func bomb() throws {
    let deflate = try #require(PerMessageDeflate.negotiate(offers: ["permessage-deflate"]))
    let payload = try #require(deflate.compress([UInt8](repeating: 0, count: 5_000_000)))
    #expect(payload.count < 10_000)
    #expect(
      action(
        FrameWriter.frame(.binary, payload, isCompressed: true, maskKey: 1),
        limits: WebSocketLimits(messageBytesMax: 10_000))
        == .fail(.messageTooLarge(limitBytes: 10_000), close: WebSocketClose(.messageTooBig)))
    #expect(
      action(FrameWriter.frame(.binary, [0xff, 0xff, 0xff], isCompressed: true, maskKey: 1))
        == .fail(.badCompression, close: WebSocketClose(.invalidPayload)))
  }
}
