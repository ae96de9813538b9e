package import Bytes

/// A whole message. Text is valid UTF-8.
package enum WebSocketMessage: Sendable, Equatable {
  case text([UInt8])
  case binary([UInt8])

  package var bytes: [UInt8] {
    switch self {
    case .text(let bytes), .binary(let bytes): bytes
    }
  }

  /// Of the message's first frame.
  package var opcode: WebSocketOpcode {
    switch self {
    case .text: .text
    case .binary: .binary
    }
  }
}

/// What a peer's message may be at most; beyond either the connection fails with a close code.
package struct WebSocketLimits: Sendable, Equatable {
  /// The longest message, in bytes, after inflating. Beyond it: 1009.
  package var messageBytesMax: Int
  /// The most frames that one message may come in, empty ones included. Beyond it: 1008.
  package var fragmentsMax: Int

  package init(messageBytesMax: Int = 1_000_000, fragmentsMax: Int = 1024) {
    self.messageBytesMax = messageBytesMax
    self.fragmentsMax = fragmentsMax
  }
}

/// A WebSocket from open to closed: messages out of frames, and the closing handshake
/// (RFC 6455 sections 5.4 to 7).
///
/// Bytes go in, one action at a time comes out. Two things move independently and have an enum each:
/// the message that is being read, and how far closing has come. Invariants: a message is delivered
/// only whole, within the limits, and text only as valid UTF-8, which is checked as it arrives; at
/// most one close frame is ever asked for; after `answerClose`, `closeTransport` or `fail` nothing more is
/// delivered. Not copyable: whoever asks whether it is open does not copy the message that is being read.
package struct WebSocketStateMachine: ~Copyable {
  package enum Action: Sendable, Equatable {
    /// Read from the transport and come again.
    case needMoreData
    case deliver(WebSocketMessage)
    /// Send a pong with this payload (RFC 6455 section 5.5.3).
    case sendPong([UInt8])
    case pongReceived([UInt8])
    /// The peer closes: send `reply`, then end the transport (a server at once, a client when the
    /// server has ended it).
    case answerClose(received: WebSocketClose, reply: WebSocketClose)
    /// Our own close was answered: end the transport.
    case closeTransport(received: WebSocketClose)
    /// The peer broke the rules: send `close` when there is one, then end the transport.
    case fail(WebSocketFault, close: WebSocketClose?)
    /// Closing is done; whatever else arrived was dropped.
    case ignoreRest
  }

  private enum Reading {
    case betweenMessages
    case inMessage(PartialMessage)
  }

  /// The control frame whose payload is arriving, beside the message it may interrupt.
  private enum Frame {
    case none
    case data(isFinal: Bool)
    case control(WebSocketOpcode, payload: [UInt8])
  }

  private enum Closing {
    case open
    case closeSent
    case closed
  }

  private let limits: WebSocketLimits
  private let inflater: MessageInflater?
  private var parser: FrameParser
  private var reading = Reading.betweenMessages
  private var frame = Frame.none
  private var closing = Closing.open

  /// `inflater` is set where permessage-deflate was negotiated.
  package init(
    role: WebSocketRole, limits: WebSocketLimits = WebSocketLimits(), inflater: MessageInflater? = nil
  ) {
    self.limits = limits
    self.inflater = inflater
    parser = FrameParser(role: role, allowsCompression: inflater != nil)
  }

  /// Whether data may still be sent.
  package var isOpen: Bool { closing == .open }

  /// Begins the closing handshake. true: send that close frame now, and no frame after it. false: a
  /// close was sent before.
  package mutating func close() -> Bool {
    guard closing == .open else { return false }
    closing = .closeSent
    return true
  }

  /// The next thing to do for the bytes in `buffer`. Call again until it is not an action on a frame:
  /// `needMoreData` or one of the three ends.
  package mutating func read(_ buffer: inout ByteBuffer) -> Action {
    if closing == .closed {
      buffer.consume(buffer.count)
      return .ignoreRest
    }
    do throws(WebSocketFault) {
      while true {
        switch try parser.read(&buffer) {
        case .needMoreData: return .needMoreData
        case .frameBegan(let header):
          if let message = try wholeMessage(header, &buffer) { return .deliver(message) }
          try begin(header)
        case .payloadPart(let part): try take(part)
        case .frameEnded:
          if let action = try endFrame() { return action }
        }
      }
    } catch {
      let close = closing == .open ? WebSocketClose(error.closeCode) : nil
      closing = .closed
      return .fail(error, close: close)
    }
  }

  /// The usual message, which needs nothing remembered: one plain frame that has arrived to its end.
  private mutating func wholeMessage(
    _ header: WebSocketFrameHeader, _ buffer: inout ByteBuffer
  ) throws(WebSocketFault) -> WebSocketMessage? {
    guard case .betweenMessages = reading, closing == .open, header.isFinal, !header.isCompressed,
      header.opcode == .text || header.opcode == .binary, limits.fragmentsMax > 0,
      header.payloadBytes <= limits.messageBytesMax, header.payloadBytes <= buffer.count
    else { return nil }
    let payload = parser.readPayload(&buffer)
    guard header.opcode == .text else { return .binary(payload) }
    var validator = UTF8Validator()
    guard validator.accept(payload), validator.isComplete else { throw .invalidUTF8 }
    return .text(payload)
  }

  private mutating func begin(_ header: WebSocketFrameHeader) throws(WebSocketFault) {
    if header.opcode.isControl {
      frame = .control(header.opcode, payload: [])
      return
    }
    frame = .data(isFinal: header.isFinal)
    var message: PartialMessage
    switch (reading, header.opcode) {
    case (.betweenMessages, .continuation): throw .continuationWithoutMessage
    case (.betweenMessages, _):
      message = PartialMessage(isText: header.opcode == .text, isCompressed: header.isCompressed)
    case (.inMessage(let open), .continuation):
      message = open
      message.fragmentCount += 1
    case (.inMessage, _): throw .messageInsideMessage
    }
    guard message.fragmentCount <= limits.fragmentsMax else {
      throw .tooManyFragments(limit: limits.fragmentsMax)
    }
    // Refused by its announcement, before a byte of it is read. Compressed, a message may be a little
    // longer than it is.
    let wireBytesMax = limits.messageBytesMax + (message.isCompressed ? limits.messageBytesMax / 256 + 64 : 0)
    guard header.payloadBytes <= wireBytesMax - message.wireBytes else {
      throw .messageTooLarge(limitBytes: limits.messageBytesMax)
    }
    message.wireBytes += header.payloadBytes
    reading = .inMessage(message)
  }

  private mutating func take(_ part: [UInt8]) throws(WebSocketFault) {
    switch frame {
    case .control(let opcode, var payload):
      // Emptied first, so that the append below does not copy.
      frame = .none
      payload.append(contentsOf: part)
      frame = .control(opcode, payload: payload)
    case .data:
      guard case .inMessage(var message) = reading else { return }
      reading = .betweenMessages
      try append(part, to: &message)
      reading = .inMessage(message)
    case .none:
      break
    }
  }

  private func append(_ part: [UInt8], to message: inout PartialMessage) throws(WebSocketFault) {
    if message.isCompressed, let inflater {
      let room = limits.messageBytesMax - message.bytes.count
      try message.append(inflater.inflate(part, bytesMax: room, limitBytes: limits.messageBytesMax))
    } else {
      try message.append(part)
    }
  }

  private mutating func endFrame() throws(WebSocketFault) -> Action? {
    let ended = frame
    frame = .none
    switch ended {
    case .none: return nil
    case .control(let opcode, let payload): return try endControl(opcode, payload)
    case .data(isFinal: false): return nil
    case .data(isFinal: true):
      guard case .inMessage(var message) = reading else { return nil }
      reading = .betweenMessages
      if message.isCompressed, let inflater {
        let room = limits.messageBytesMax - message.bytes.count
        try message.append(inflater.finishMessage(bytesMax: room, limitBytes: limits.messageBytesMax))
      }
      let whole = try message.whole()
      // Behind our own close the peer's data is read, so that its close is found, and dropped.
      return closing == .open ? .deliver(whole) : nil
    }
  }

  private mutating func endControl(_ opcode: WebSocketOpcode, _ payload: [UInt8]) throws(WebSocketFault)
    -> Action?
  {
    switch opcode {
    case .ping: return closing == .open ? .sendPong(payload) : nil
    case .pong: return .pongReceived(payload)
    case .close:
      let received = try WebSocketClose(payload: payload)
      let wasOpen = closing == .open
      closing = .closed
      // RFC 6455 section 5.5.1: the reply echoes the code.
      return wasOpen
        ? .answerClose(received: received, reply: WebSocketClose(received.code))
        : .closeTransport(received: received)
    case .continuation, .text, .binary: return nil
    }
  }
}

/// A message whose frames are still arriving.
private struct PartialMessage {
  let isText: Bool
  let isCompressed: Bool
  var fragmentCount = 1
  /// Payload bytes announced by its frames so far.
  var wireBytes = 0
  private(set) var bytes: [UInt8] = []
  private var validator = UTF8Validator()

  init(isText: Bool, isCompressed: Bool) {
    self.isText = isText
    self.isCompressed = isCompressed
  }

  mutating func append(_ part: [UInt8]) throws(WebSocketFault) {
    if isText {
      guard validator.accept(part) else { throw .invalidUTF8 }
    }
    // The usual message comes in one part, which then is the message without a copy.
    if bytes.isEmpty { bytes = part } else { bytes.append(contentsOf: part) }
  }

  mutating func append(_ inflated: MessageInflater.Inflated) throws(WebSocketFault) {
    try append(inflated.bytes)
    if let fault = inflated.fault { throw fault }
  }

  func whole() throws(WebSocketFault) -> WebSocketMessage {
    guard isText else { return .binary(bytes) }
    guard validator.isComplete else { throw .invalidUTF8 }
    return .text(bytes)
  }
}
