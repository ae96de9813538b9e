import Synchronization
package import WebSocketWire

/// A message for any number of connections of a server: its frame is written once, and compressed at
/// most once, when the first connection comes that wants it so. The bytes are shared by all of them.
package final class SharedMessage: Sendable {
  private enum Compressed {
    case notTried
    /// It is no shorter for it.
    case none
    case frame([UInt8])
  }

  /// The whole frame, not compressed.
  package let frame: [UInt8]
  private let opcode: WebSocketOpcode
  private let payloadOffset: Int
  private let compressed = Mutex(Compressed.notTried)

  package init(_ message: WebSocketMessage) {
    opcode = message.opcode
    frame = FrameWriter.frame(opcode, message.bytes)
    payloadOffset = frame.count - message.bytes.count
  }

  /// What to send to a connection where `agreed` was negotiated.
  func frame(for agreed: PerMessageDeflate?) -> [UInt8] {
    guard let agreed, agreed.takesSharedFrames, frame.count - payloadOffset >= agreed.messageBytesMin else {
      return frame
    }
    return compressed.withLock { compressed in
      if case .notTried = compressed {
        let payload = MessageDeflater.independent(Array(frame[payloadOffset...]))
        compressed = payload.map { .frame(FrameWriter.frame(opcode, $0, isCompressed: true)) } ?? .none
      }
      if case .frame(let bytes) = compressed { return bytes }
      return frame
    }
  }
}
