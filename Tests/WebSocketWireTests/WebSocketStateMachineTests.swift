import Bytes
import Testing

@testable import WebSocketWire

@Suite("WebSocketStateMachine")
struct WebSocketStateMachineTests {
  private typealias Action = WebSocketStateMachine.Action

  private func frame(
    _ opcode: WebSocketOpcode, _ text: String = "", final: Bool = true
  ) -> [UInt8] {
    FrameWriter.frame(opcode, Array(text.utf8), isFinal: final, maskKey: 0x0102_0304)
  }

  /// All actions up to the end of the bytes, or up to the action that ends the connection.
  private func actions(
    _ parts: [[UInt8]], machine: inout WebSocketStateMachine
  ) -> [WebSocketStateMachine.Action] {
    var buffer = ByteBuffer()
    var actions: [Action] = []
    for part in parts {
      buffer.append(contentsOf: part)
      reading: while true {
        let action = machine.read(&buffer)
        switch action {
        case .needMoreData, .ignoreRest: break reading
        case .deliver, .sendPong, .pongReceived, .answerClose, .closeTransport, .fail: actions.append(action)
        }
      }
    }
    return actions
  }

  private func actions(
    _ bytes: [UInt8], limits: WebSocketLimits = WebSocketLimits()
  ) -> [WebSocketStateMachine.Action] {
    var machine = WebSocketStateMachine(role: .server, limits: limits)
    let whole = actions([bytes], machine: &machine)
    var slow = WebSocketStateMachine(role: .server, limits: limits)
    #expect(actions(bytes.map { [$0] }, machine: &slow) == whole, "byte by byte is the same")
    return whole
  }

  @Test("A message in one frame, in several, and with a ping between them")
  func messages() {
    #expect(actions(frame(.text, "hé")) == [.deliver(.text(Array("hé".utf8)))])
    #expect(actions(frame(.binary)) == [.deliver(.binary([]))])
    let split =
      frame(.text, "one ", final: false) + frame(.ping, "?") + frame(.continuation, "", final: false)
      + frame(.continuation, "two") + frame(.pong, "!")
    #expect(
      actions(split) == [
        .sendPong(Array("?".utf8)), .deliver(.text(Array("one two".utf8))), .pongReceived(Array("!".utf8)),
      ])
  }

  @Test("Every cut point of a conversation gives the same actions")
  func cutPoints() {
    let bytes =
      frame(.text, "a👋", final: false) + frame(.ping) + frame(.continuation, "b") + frame(.binary, "xyz")
      + FrameWriter.close(WebSocketClose(.goingAway, "bye"), maskKey: 7)
    let whole = actions(bytes)
    #expect(whole.count == 4)
    for cut in 0...bytes.count {
      var machine = WebSocketStateMachine(role: .server)
      #expect(actions([Array(bytes[..<cut]), Array(bytes[cut...])], machine: &machine) == whole)
    }
  }

  @Test("A character cut by a fragment is whole again; a bad byte fails before its frame ends")
  func textAcrossFragments() {
    let wave = Array("👋".utf8)
    let split =
      FrameWriter.frame(.text, Array(wave[..<2]), isFinal: false, maskKey: 1)
      + FrameWriter.frame(.continuation, Array(wave[2...]), maskKey: 1)
    #expect(actions(split) == [.deliver(.text(wave))])
    let unfinished = FrameWriter.frame(.text, Array(wave[..<3]), maskKey: 1)
    #expect(actions(unfinished) == [.fail(.invalidUTF8, close: WebSocketClose(.invalidPayload))])

    var machine = WebSocketStateMachine(role: .server)
    let early = FrameWriter.frame(.text, Array("ok".utf8) + [0xff] + Array("never sent".utf8), maskKey: 1)
    #expect(
      actions([Array(early[..<9])], machine: &machine)
        == [.fail(.invalidUTF8, close: WebSocketClose(.invalidPayload))])
  }

  @Test("Fragments out of place are refused")
  func fragmentFaults() {
    let protocolError = WebSocketClose(.protocolError)
    #expect(actions(frame(.continuation, "x")) == [.fail(.continuationWithoutMessage, close: protocolError)])
    #expect(
      actions(frame(.text, "x", final: false) + frame(.text, "y"))
        == [.fail(.messageInsideMessage, close: protocolError)])
  }

  @Test("A message over its limit fails at the header that says so")
  func limits() {
    let limits = WebSocketLimits(messageBytesMax: 4, fragmentsMax: 3)
    #expect(actions(frame(.text, "four"), limits: limits) == [.deliver(.text(Array("four".utf8)))])
    let tooBig = Action.fail(.messageTooLarge(limitBytes: 4), close: WebSocketClose(.messageTooBig))
    #expect(actions(frame(.text, "fives"), limits: limits) == [tooBig])
    #expect(
      actions(frame(.text, "abc", final: false) + frame(.continuation, "de"), limits: limits) == [tooBig])
    var announced = WebSocketStateMachine(role: .server, limits: limits)
    #expect(actions([[0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]], machine: &announced) == [tooBig])
    let empty = frame(.continuation, "", final: false)
    #expect(
      actions(frame(.text, "", final: false) + empty + empty + empty, limits: limits)
        == [.fail(.tooManyFragments(limit: 3), close: WebSocketClose(.policyViolation))])
  }

  @Test("The peer's close is answered with its code, and nothing after it is heard")
  func peerCloses() {
    let close = FrameWriter.close(WebSocketClose(.goingAway, "bye"), maskKey: 9)
    #expect(
      actions(close + frame(.text, "late"))
        == [.answerClose(received: WebSocketClose(.goingAway, "bye"), reply: WebSocketClose(.goingAway))])
    #expect(
      actions(frame(.close))
        == [.answerClose(received: WebSocketClose(.noStatus), reply: WebSocketClose(.noStatus))])
    #expect(FrameWriter.close(WebSocketClose(.noStatus)) == [0x88, 0])
  }

  @Test("Our close: data is dropped, the answer ends the transport, and no second close is sent")
  func weClose() {
    var machine = WebSocketStateMachine(role: .server)
    let closes = [machine.close(), machine.close()]
    #expect(closes == [true, false])
    // The macro would copy it.
    let isOpen = machine.isOpen
    #expect(!isOpen)
    let rest = frame(.text, "late") + frame(.ping) + FrameWriter.close(WebSocketClose(.normal), maskKey: 9)
    #expect(actions([rest], machine: &machine) == [.closeTransport(received: WebSocketClose(.normal))])

    var faulty = WebSocketStateMachine(role: .server)
    _ = faulty.close()
    #expect(actions([[0x83, 0x80]], machine: &faulty) == [.fail(.unknownOpcode(3), close: nil)])
  }

  @Test(
    "Codes that may be sent", arguments: [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
  func goodCodes(code: UInt16) throws {
    let close = try WebSocketClose(payload: [UInt8(code >> 8), UInt8(code & 0xff)])
    #expect(close.code.rawValue == code)
    #expect(close.payload == [UInt8(code >> 8), UInt8(code & 0xff)])
  }

  @Test(
    "Codes that may not be sent", arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535])
  func badCodes(code: UInt16) {
    let bytes = FrameWriter.frame(.close, [UInt8(code >> 8), UInt8(code & 0xff)], maskKey: 1)
    #expect(actions(bytes) == [.fail(.badClosePayload, close: WebSocketClose(.protocolError))])
  }

  @Test("A close of one byte, or with a reason that is not UTF-8, is refused")
  func badClosePayloads() {
    #expect(
      actions(FrameWriter.frame(.close, [3], maskKey: 1))
        == [.fail(.badClosePayload, close: WebSocketClose(.protocolError))])
    #expect(
      actions(FrameWriter.frame(.close, [3, 232, 0xff], maskKey: 1))
        == [.fail(.invalidUTF8, close: WebSocketClose(.invalidPayload))])
  }

  @Test("A long reason is cut at a character")
  func longReason() {
    let close = WebSocketClose(.normal, String(repeating: "é", count: 100))
    #expect(close.reason.utf8.count == 122)
    #expect(FrameWriter.close(close).count == 2 + 2 + 122)
  }

  @Test("Garbage behind every prefix of a conversation ends in the fault that RFC 6455 names")
  func garbageBehindPrefixes() {
    let bytes =
      FrameWriter.frame(.text, Array("a👋".utf8), isFinal: false, maskKey: 0) + frame(.ping, "p")
      + FrameWriter.frame(.continuation, [UInt8](repeating: 98, count: 200), maskKey: 0)
      + FrameWriter.frame(.binary, [UInt8](repeating: 7, count: 300), maskKey: 5)
    let garbage = [UInt8](repeating: 0xff, count: 600)
    // Reserved bits where a frame begins, a length that has its top bit set, text that is no UTF-8, a
    // new message inside another.
    let named: [WebSocketFault] = [
      .reservedBitSet, .badLength, .invalidUTF8, .controlTooLong(limitBytes: 125),
      .messageTooLarge(limitBytes: 1_000),
    ]
    for cut in 0...bytes.count {
      var machine = WebSocketStateMachine(role: .server, limits: WebSocketLimits(messageBytesMax: 1_000))
      let last = actions([Array(bytes[..<cut]) + garbage], machine: &machine).last
      guard case .fail(let fault, let close) = last else {
        Issue.record("cut at \(cut): \(String(describing: last))")
        continue
      }
      #expect(named.contains(fault), "cut at \(cut)")
      #expect(close == WebSocketClose(fault.closeCode))
      var rest = ByteBuffer(bytes)
      #expect(machine.read(&rest) == .ignoreRest)
      #expect(rest.isEmpty)
    }
  }

  @Test("Garbage never traps")
  func garbage() {
    var random = UInt64(42)
    for _ in 0..<2000 {
      var bytes: [UInt8] = []
      for _ in 0..<24 {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes.append(UInt8(truncatingIfNeeded: random >> 33))
      }
      bytes[0] |= 0x80
      var machine = WebSocketStateMachine(role: .server, limits: WebSocketLimits(messageBytesMax: 64))
      _ = actions([bytes], machine: &machine)
    }
  }
}
