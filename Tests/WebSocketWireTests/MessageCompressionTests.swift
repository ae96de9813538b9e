import Bytes
import Testing

@testable import WebSocketWire

@Suite("Compressed messages")
struct MessageCompressionTests {
  private typealias Action = WebSocketStateMachine.Action

  /// The first action on a compressed message of these payloads, one a fragment.
  private func action(
    _ fragments: [[UInt8]], binary: Bool = false, inflater: MessageInflater = MessageInflater(),
    limits: WebSocketLimits = WebSocketLimits()
  ) -> WebSocketStateMachine.Action {
    var machine = WebSocketStateMachine(role: .server, limits: limits, inflater: inflater)
    var bytes: [UInt8] = []
    for (index, fragment) in fragments.enumerated() {
      let opcode: WebSocketOpcode = index > 0 ? .continuation : binary ? .binary : .text
      FrameWriter.append(
        opcode, fragment, isFinal: index == fragments.count - 1, isCompressed: index == 0, maskKey: 1,
        to: &bytes)
    }
    var buffer = ByteBuffer(bytes)
    return machine.read(&buffer)
  }

  private func text(_ text: String) -> WebSocketStateMachine.Action { .deliver(.text(Array(text.utf8))) }

  private static let badData = Action.fail(.badCompression, close: WebSocketClose(.invalidPayload))

  /// Text that repeats itself, and bytes that do not.
  private static func sample(_ count: Int, _ seed: Int) -> [UInt8] {
    var random = UInt64(seed + 1)
    return (0..<count).map { index in
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return index % 3_000 < 2_000 ? UInt8(index % 40 + 40) : UInt8(truncatingIfNeeded: random >> 40)
    }
  }

  @Test("The examples of RFC 7692 section 7.2.3 are inflated")
  func examples() {
    let hello: [UInt8] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
    #expect(action([hello]) == text("Hello"))
    #expect(action([Array(hello[..<3]), Array(hello[3...])]) == text("Hello"))
    let stored: [UInt8] = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]
    #expect(action([stored]) == text("Hello"))
    let lastBlock: [UInt8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]
    #expect(action([lastBlock]) == text("Hello"))
    let twoBlocks: [UInt8] = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]
    #expect(action([twoBlocks]) == text("Hello"))
    #expect(action([[0x00]]) == text(""))
    // Even nothing has a byte: the tail that is cut off (section 7.2.1) leaves the block's first bits.
    #expect(action([[], []]) == Self.badData)
  }

  @Test("With a kept context the second message refers to the first")
  func takeoverExample() throws {
    let inflater = MessageInflater(keepsContext: true)
    #expect(action([[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]], inflater: inflater) == text("Hello"))
    #expect(action([[0xf2, 0x00, 0x11, 0x00, 0x00]], inflater: inflater) == text("Hello"))
    #expect(action([[0xf2, 0x00, 0x11, 0x00, 0x00]]) == Self.badData)
  }

  @Test("Blocks behind a last block go on, in the same message and in the next, with what was said before")
  func behindTheLastBlock() {
    let last: [UInt8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
    let again: [UInt8] = [0xf2, 0x00, 0x11, 0x00, 0x00]
    #expect(action([last]) == text("Hello"))
    #expect(action([last + again]) == text("HelloHello"))
    let inflater = MessageInflater(keepsContext: true)
    #expect(action([last], inflater: inflater) == text("Hello"))
    #expect(action([again], inflater: inflater) == text("Hello"))
  }

  @Test(
    "What is compressed comes back, with each window, with a context and without",
    arguments: [8, 9, 12, 15], [true, false])
  func roundTrip(windowBits: Int, keepsContext: Bool) throws {
    let deflater = MessageDeflater(windowBits: windowBits, keepsContext: keepsContext)
    let inflater = MessageInflater(windowBits: windowBits, keepsContext: keepsContext)
    for count in [3_000, 0, 1, 70_000, 126, 3_000] {
      let message = Self.sample(count, count)
      guard let payload = deflater.compress(message) else {
        #expect(!keepsContext, "a kept context has seen \(count) bytes that are not sent")
        continue
      }
      let halves = [Array(payload[..<(payload.count / 2)]), Array(payload[(payload.count / 2)...])]
      #expect(action(halves, binary: true, inflater: inflater) == .deliver(.binary(message)))
    }
  }

  @Test("A kept context makes what was said before cheap")
  func contextIsWorthIt() throws {
    let message = Self.sample(3_000, 1)
    let kept = MessageDeflater(keepsContext: true)
    let first = try #require(kept.compress(message))
    let second = try #require(kept.compress(message))
    #expect(second.count < first.count / 10)
    let fresh = MessageDeflater()
    #expect(fresh.compress(message) == fresh.compress(message))
  }

  @Test("What does not get shorter is left as it is")
  func incompressible() {
    #expect(MessageDeflater().compress([1, 2, 3]) == nil)
    #expect(MessageDeflater.independent([]) == nil)
  }

  @Test("A bomb ends at the limit, with a context too, and a message of just the limit passes")
  func bomb() throws {
    let payload = try #require(MessageDeflater().compress([UInt8](repeating: 0, count: 5_000_000)))
    #expect(payload.count < 10_000)
    let limits = WebSocketLimits(messageBytesMax: 10_000)
    let refused = Action.fail(.messageTooLarge(limitBytes: 10_000), close: WebSocketClose(.messageTooBig))
    #expect(action([payload], binary: true, limits: limits) == refused)
    let inflater = MessageInflater(keepsContext: true)
    #expect(action([payload], binary: true, inflater: inflater, limits: limits) == refused)
    // Not to be compressed, so that the payload is longer than the message.
    let noise = (0..<10_000).map { _ in UInt8.random(in: 0...255) }
    let longer = try #require(MessageDeflater(keepsContext: true).compress(noise))
    #expect(longer.count > noise.count)
    #expect(action([longer], binary: true, limits: limits) == .deliver(.binary(noise)))
  }

  @Test("A message that ends inside a block is refused, wherever it is cut")
  func truncated() throws {
    let message = Self.sample(600, 3)
    let payload = try #require(MessageDeflater().compress(message))
    for cut in 1..<payload.count {
      #expect(action([Array(payload[..<cut])], binary: true) == Self.badData, "cut at \(cut)")
    }
  }

  @Test("Text is checked as it is inflated, before its message ends")
  func earlyText() throws {
    let payload = try #require(MessageDeflater(keepsContext: true).compress([0x6f, 0xff, 0x6b]))
    var machine = WebSocketStateMachine(role: .server, inflater: MessageInflater())
    var buffer = ByteBuffer(
      FrameWriter.frame(.text, payload + [0, 0, 0xff, 0xff], isFinal: false, isCompressed: true, maskKey: 1))
    #expect(machine.read(&buffer) == .fail(.invalidUTF8, close: WebSocketClose(.invalidPayload)))
  }

  @Test("Every cut of a compressed conversation gives the same actions")
  func cuts() throws {
    let deflater = MessageDeflater(keepsContext: true)
    var bytes: [UInt8] = []
    for seed in [1, 1, 2] {
      let payload = try #require(deflater.compress(Self.sample(100, seed)))
      FrameWriter.append(
        .binary, Array(payload[..<5]), isFinal: false, isCompressed: true, maskKey: 0x0102_0304, to: &bytes)
      FrameWriter.append(.ping, [1], maskKey: 7, to: &bytes)
      FrameWriter.append(.continuation, Array(payload[5...]), maskKey: 0x0a0b_0c0d, to: &bytes)
    }
    let actions = { (parts: [ArraySlice<UInt8>]) in
      var machine = WebSocketStateMachine(role: .server, inflater: MessageInflater(keepsContext: true))
      var buffer = ByteBuffer()
      var found: [WebSocketStateMachine.Action] = []
      for part in parts {
        buffer.append(contentsOf: part)
        while true {
          let action = machine.read(&buffer)
          if action == .needMoreData || action == .ignoreRest { break }
          found.append(action)
        }
      }
      return found
    }
    let whole = actions([bytes[...]])
    #expect(whole.count == 6)
    #expect(whole.last == .deliver(.binary(Self.sample(100, 2))))
    #expect(actions(bytes.indices.map { bytes[$0...$0] }) == whole)
    for cut in bytes.indices { #expect(actions([bytes[..<cut], bytes[cut...]]) == whole) }
  }
}
