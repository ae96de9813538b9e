/// What a frame is: opcode, header, and why a frame is refused (RFC 6455 section 5.2).
///
/// The names are those of the specification. A frame's payload is not part of these values: the
/// parser hands it out as it arrives.

/// The kind of a frame (RFC 6455 section 11.8).
package enum WebSocketOpcode: UInt8, Sendable {
  case continuation = 0x0
  case text = 0x1
  case binary = 0x2
  case close = 0x8
  case ping = 0x9
  case pong = 0xa

  /// Control frames may come between the fragments of a message; they are short and never
  /// fragmented (RFC 6455 section 5.5).
  package var isControl: Bool { rawValue & 0x8 != 0 }
}

/// Which side of the connection we are. A client masks what it sends, a server does not
/// (RFC 6455 section 5.1).
package enum WebSocketRole: Sendable {
  case server
  case client
}

/// The first bytes of a frame, checked.
package struct WebSocketFrameHeader: Sendable, Equatable {
  /// The last frame of its message.
  package let isFinal: Bool
  /// RSV1: the message is compressed (RFC 7692 section 6). Only ever true where that was negotiated.
  package let isCompressed: Bool
  package let opcode: WebSocketOpcode
  /// Bytes of payload that follow.
  package let payloadBytes: Int

  package init(isFinal: Bool, isCompressed: Bool = false, opcode: WebSocketOpcode, payloadBytes: Int) {
    self.isFinal = isFinal
    self.isCompressed = isCompressed
    self.opcode = opcode
    self.payloadBytes = payloadBytes
  }
}

/// What the peer did wrong. Every one ends the connection; `closeCode` is what to tell the peer.
package enum WebSocketFault: Error, Sendable, Equatable {
  /// A reserved bit is set that no extension gave a meaning (RFC 6455 section 5.2).
  case reservedBitSet
  case unknownOpcode(UInt8)
  /// A client's frame came without a mask (RFC 6455 section 5.1).
  case unmasked
  /// A server's frame came with a mask (RFC 6455 section 5.1).
  case masked
  /// The length is not in its shortest form, or has its top bit set (RFC 6455 section 5.2).
  case badLength
  case controlFragmented
  case controlTooLong(limitBytes: Int)
  /// A continuation came where no message is open.
  case continuationWithoutMessage
  /// A new message began where one is open.
  case messageInsideMessage
  case messageTooLarge(limitBytes: Int)
  case tooManyFragments(limit: Int)
  /// Text, or the reason of a close, is not UTF-8.
  case invalidUTF8
  /// A close payload of one byte, or a code that may not be sent (RFC 6455 section 7.4).
  case badClosePayload
  /// The compressed payload of a message cannot be inflated.
  case badCompression

  package var closeCode: WebSocketCloseCode {
    switch self {
    case .messageTooLarge: .messageTooBig
    case .tooManyFragments: .policyViolation
    case .invalidUTF8, .badCompression: .invalidPayload
    case .reservedBitSet, .unknownOpcode, .unmasked, .masked, .badLength, .controlFragmented,
      .controlTooLong, .continuationWithoutMessage, .messageInsideMessage, .badClosePayload:
      .protocolError
    }
  }
}
