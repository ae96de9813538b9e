import Bytes
import WebSocketWire

/// WebSocket frames and messages, and their compression.
enum WebSocketFuzz {
  private static let limits = WebSocketLimits(messageBytesMax: 200, fragmentsMax: 5)

  /// What the frame parser makes of pieces, payload parts joined.
  private struct Frames: Equatable {
    struct Frame: Equatable {
      let header: WebSocketFrameHeader
      var payload: [UInt8] = []
      var isWhole = false
    }

    var frames: [Frame] = []
    var fault: WebSocketFault?

    init(_ pieces: [[UInt8]], _ role: WebSocketRole, allowsCompression: Bool) {
      var parser = FrameParser(role: role, allowsCompression: allowsCompression)
      var buffer = ByteBuffer()
      do throws(WebSocketFault) {
        for piece in pieces {
          buffer.append(contentsOf: piece)
          while note(try parser.read(&buffer)) {}
        }
      } catch {
        fault = error
      }
    }

    private mutating func note(_ event: FrameParser.Event) -> Bool {
      switch event {
      case .needMoreData: return false
      case .frameBegan(let header): frames.append(Frame(header: header))
      case .payloadPart(let part): frames[frames.count - 1].payload += part
      case .frameEnded: frames[frames.count - 1].isWhole = true
      }
      return true
    }
  }

  /// What comes of a connection up to its end.
  private static func actions(
    _ pieces: [[UInt8]], _ role: WebSocketRole, _ limits: WebSocketLimits, inflater: MessageInflater? = nil
  ) -> [WebSocketStateMachine.Action] {
    var machine = WebSocketStateMachine(role: role, limits: limits, inflater: inflater)
    var buffer = ByteBuffer()
    var actions: [WebSocketStateMachine.Action] = []
    for piece in pieces {
      buffer.append(contentsOf: piece)
      while true {
        let action = machine.read(&buffer)
        if action == .needMoreData || action == .ignoreRest { break }
        actions.append(action)
      }
    }
    return actions
  }

  // MARK: Frames

  /// The first byte says which side we are and whether compression was agreed on; the rest is what came.
  static func frames(_ input: [UInt8], _ cutting: Cutting) throws(FuzzFinding) {
    guard let flags = input.first else { return }
    let role: WebSocketRole = flags & 1 == 0 ? .server : .client
    let bytes = Array(input.dropFirst())
    let read = try cutting.same(bytes) { Frames($0, role, allowsCompression: flags & 2 != 0) }
    if role == .client { try expectSameWhenWritten(read, bytes) }
    let actions = try cutting.same(bytes) { Self.actions($0, role, limits) }
    for (index, action) in actions.enumerated() {
      switch action {
      case .deliver(let message): try expectMessage(message)
      case .sendPong(let payload), .pongReceived(let payload):
        try expect(payload.count <= FrameParser.controlBytesMax, "a ping of \(payload.count) bytes")
      case .answerClose, .closeTransport, .fail:
        try expect(index == actions.count - 1, "something behind the end: \(actions)")
      case .needMoreData, .ignoreRest: break
      }
    }
  }

  /// Without masks there is one way to write a frame.
  private static func expectSameWhenWritten(_ read: Frames, _ bytes: [UInt8]) throws(FuzzFinding) {
    let written = read.frames.filter(\.isWhole).flatMap {
      FrameWriter.frame(
        $0.header.opcode, $0.payload, isFinal: $0.header.isFinal, isCompressed: $0.header.isCompressed)
    }
    try expect(bytes.starts(with: written), "written otherwise: \(written)")
  }

  private static func expectMessage(_ message: WebSocketMessage) throws(FuzzFinding) {
    try expect(message.bytes.count <= limits.messageBytesMax, "a message of \(message.bytes.count) bytes")
    if case .text(let text) = message {
      try expect(String(validating: text, as: UTF8.self) != nil, "text that is not UTF-8: \(text)")
    }
    let written = FrameWriter.frame(message.opcode, message.bytes, maskKey: 0xa1b2_c3d4)
    try expect(actions([written], .server, limits) == [.deliver(message)], "written otherwise: \(written)")
  }

  // MARK: Compression

  /// The first byte says what was agreed on, the second how many bytes belong to the first message; the
  /// others are the second. As compressed payloads they come from a hostile peer, as plain text they
  /// are messages of ours.
  static func deflate(_ input: [UInt8], _ cutting: Cutting) throws(FuzzFinding) {
    guard input.count >= 2 else { return }
    let keepsContext = input[0] & 1 != 0
    let windowBits = 8 + Int(input[0] >> 1 & 7)
    let opcode: WebSocketOpcode = input[0] & 0x10 == 0 ? .text : .binary
    let rest = input.dropFirst(2)
    let messages = [Array(rest.prefix(Int(input[1]))), Array(rest.dropFirst(Int(input[1])))]
    let read = { (pieces: [[UInt8]]) in
      let inflater = MessageInflater(windowBits: windowBits, keepsContext: keepsContext)
      return actions(pieces, .server, limits, inflater: inflater)
    }
    let whole = try cutting.same(messages.flatMap { frames(opcode, [$0]) }, read)
    for case .deliver(let message) in whole { try expectMessage(message) }
    var places = Places(of: input)
    let fragments = messages.flatMap { frames(opcode, places.pieces($0, atMost: limits.fragmentsMax)) }
    let fragmented = read([fragments])
    // A fault may be found in another order, but the same messages come before it.
    let delivered = { (actions: [WebSocketStateMachine.Action]) in
      actions.filter { if case .deliver = $0 { true } else { false } }
    }
    try expect(delivered(fragmented) == delivered(whole), "in fragments \(fragmented) instead of \(whole)")
    try expectInflated(messages, windowBits, keepsContext)
  }

  private static func frames(_ opcode: WebSocketOpcode, _ fragments: [[UInt8]]) -> [UInt8] {
    fragments.enumerated().flatMap { index, fragment in
      FrameWriter.frame(
        index == 0 ? opcode : .continuation, fragment, isFinal: index == fragments.count - 1,
        isCompressed: index == 0, maskKey: 0x0102_0304)
    }
  }

  private static func expectInflated(
    _ messages: [[UInt8]], _ windowBits: Int, _ keepsContext: Bool
  ) throws(FuzzFinding) {
    let limits = WebSocketLimits(messageBytesMax: 1_000)
    let deflater = MessageDeflater(windowBits: windowBits, keepsContext: keepsContext)
    let inflater = MessageInflater(windowBits: windowBits, keepsContext: keepsContext)
    for message in messages {
      guard let payload = deflater.compress(message) else {
        try expect(!keepsContext, "a kept context has seen what is not sent")
        continue
      }
      let actions = Self.actions([frames(.binary, [payload])], .server, limits, inflater: inflater)
      try expect(actions == [.deliver(.binary(message))], "inflated to \(actions)")
    }
  }

  /// The value of `Sec-WebSocket-Extensions`.
  static func offer(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    let offers = input.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    for policy in [PerMessageDeflate.Policy.asOffered, .frugal] {
      guard let agreed = PerMessageDeflate.negotiate(offers: offers, policy: policy) else { continue }
      for bits in [agreed.serverMaxWindowBits, agreed.clientMaxWindowBits] {
        try expect((8...15).contains(bits ?? 15), "a window of \(bits ?? 0) bits")
      }
      try expect(
        PerMessageDeflate.negotiate(offers: [agreed.response], policy: policy) == agreed,
        "our own answer is understood otherwise: \(agreed.response)")
    }
  }
}
