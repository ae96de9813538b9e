import Synchronization
package import WebSocketWire

/// A message for any number of connections of a server: it is made, and its frame is written, when the
/// first connection wants it, and compressed at most once. The bytes are shared by all of them.
package final class SharedMessage: Sendable {
  private enum State {
    case wanted(@Sendable () -> WebSocketMessage)
    case written(Written)
  }

  private struct Written {
    let opcode: WebSocketOpcode
    let frame: [UInt8]
    let payloadBytes: Int
    var compressed = Compressed.notTried
  }

  private enum Compressed {
    case notTried
    /// The message is no shorter for it.
    case useless
    case frame([UInt8])
  }

  private let state: Mutex<State>

  package init(_ message: @autoclosure @escaping @Sendable () -> WebSocketMessage) {
    state = Mutex(.wanted(message))
  }

  /// What to send to a connection where `agreed` was negotiated.
  package func frame(for agreed: PerMessageDeflate?) -> [UInt8] {
    state.withLock { state in
      var written = Self.written(state)
      defer { state = .written(written) }
      guard let agreed, agreed.takesSharedFrames, written.payloadBytes >= agreed.messageBytesMin else {
        return written.frame
      }
      if case .notTried = written.compressed { written.compressed = Self.compressed(written) }
      if case .frame(let frame) = written.compressed { return frame }
      return written.frame
    }
  }

  private static func written(_ state: State) -> Written {
    switch state {
    case .written(let written): return written
    case .wanted(let make):
      let message = make()
      let frame = FrameWriter.frame(message.opcode, message.bytes)
      return Written(opcode: message.opcode, frame: frame, payloadBytes: message.bytes.count)
    }
  }

  private static func compressed(_ written: Written) -> Compressed {
    let payload = Array(written.frame.suffix(written.payloadBytes))
    guard let compressed = MessageDeflater.independent(payload) else { return .useless }
    return .frame(FrameWriter.frame(written.opcode, compressed, isCompressed: true))
  }
}
