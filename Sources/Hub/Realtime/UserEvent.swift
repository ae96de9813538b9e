package import Bytes
import JSON
package import SocketIOServer

/// One row of a user's event log, ready to be sent: what is pushed carries `seq` and `timestamp`.
///
/// The row's `data` is a JSON object without them, as the REST listing shows it; for a push they are
/// put in front here, in one place, so that the live push and the resume send the same bytes.
package struct UserEvent: Sendable {
  package let user: UserKey
  package let seq: Int64
  package let type: String
  package let at: Timestamp
  package let conversationID: UUIDv7?
  package let messageID: UUIDv7?
  /// The JSON object of the log, without `seq` and `timestamp`.
  package let data: [UInt8]

  package init(
    user: UserKey, seq: Int64, type: String, at: Timestamp, conversationID: UUIDv7? = nil,
    messageID: UUIDv7? = nil, data: [UInt8]
  ) {
    self.user = user
    self.seq = seq
    self.type = type
    self.at = at
    self.conversationID = conversationID
    self.messageID = messageID
    self.data = data
  }

  /// The JSON object that clients get: the log's with `seq` and `timestamp` in front.
  package var payload: [UInt8] { Self.payload(seq: seq, at: at, data: data) }

  /// The Socket.IO packet of this event; made once for all of a user's devices.
  /// - Parameter hasOffset: with the number as a second argument, a string: connection state recovery.
  package func socketIOFrame(hasOffset: Bool = false) -> SocketIOFrame {
    SocketIOFrame(event: type, json: Self.arguments(payload, offset: hasOffset ? seq : nil))
  }

  /// The arguments of an event, joined by commas.
  static func arguments(_ payload: [UInt8], offset: Int64?) -> [UInt8] {
    guard let offset else { return payload }
    return payload + Array(",\"\(offset)\"".utf8)
  }

  /// The frame of the plain WebSocket endpoint: `{"type":...,"data":...}`.
  package func plainFrame() -> [UInt8] {
    PlainFrame.encode(type: type, data: payload)
  }

  private static func payload(seq: Int64, at: Timestamp, data: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(data.count + 64)
    bytes.append(contentsOf: "{\"seq\":\(seq),\"timestamp\":\"\(at.rfc3339)\"".utf8)
    if data.count > 2 {
      bytes.append(UInt8(ascii: ","))
      bytes.append(contentsOf: data.dropFirst())
    } else {
      bytes.append(UInt8(ascii: "}"))
    }
    return bytes
  }
}

/// Frames of the plain WebSocket endpoint.
package enum PlainFrame {
  package static func encode(type: String, data: [UInt8]) -> [UInt8] {
    var bytes = Array("{\"type\":".utf8)
    JSONText.append(type, to: &bytes)
    bytes.append(contentsOf: ",\"data\":".utf8)
    bytes.append(contentsOf: data)
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }
}
