import JSON
import SocketIOWire
import WebSocketWire

/// An event written once, for any number of clients.
///
/// It is kept as the WebSocket frame that most of them get; its bytes are shared by all sockets. The
/// text that a polling client gets is the end of the same bytes.
package struct SocketIOFrame: Sendable {
  package let namespace: String
  /// A whole unmasked text frame: header, `4`, packet.
  package let webSocketBytes: [UInt8]
  /// Binary messages that follow it.
  package let attachments: [[UInt8]]
  private let packetOffset: Int

  /// - Parameters:
  ///   - json: the event's arguments as JSON texts joined by commas; empty for none.
  ///   - attachments: what the arguments name by placeholders (`{"_placeholder":true,"num":0}`).
  package init(event: String, json: [UInt8], attachments: [[UInt8]] = [], namespace: String = "/") {
    self.init(event: event, json: json, attachments: attachments, namespace: namespace, answerID: nil)
  }

  /// - Parameter answerID: asks the client for an answer under this number.
  init(event: String, json: [UInt8], attachments: [[UInt8]], namespace: String, answerID: UInt64?) {
    var payload: [UInt8] = [UInt8(ascii: "[")]
    payload.reserveCapacity(json.count + event.utf8.count + 6)
    JSONText.append(event, to: &payload)
    if !json.isEmpty {
      payload.append(UInt8(ascii: ","))
      payload.append(contentsOf: json)
    }
    payload.append(UInt8(ascii: "]"))
    self.init(
      SocketIOPacket(
        attachments.isEmpty ? .event : .binaryEvent, namespace: namespace, acknowledgementID: answerID,
        attachmentCount: attachments.count, payload: payload),
      attachments: attachments)
  }

  init(_ packet: SocketIOPacket, attachments: [[UInt8]] = []) {
    self.attachments = attachments
    namespace = packet.namespace
    var text: [UInt8] = [UInt8(ascii: "4")]
    text.reserveCapacity(packet.payload.count + packet.namespace.utf8.count + 32)
    packet.append(to: &text)
    webSocketBytes = FrameWriter.frame(.text, text)
    packetOffset = webSocketBytes.count - text.count + 1
  }

  /// The same frame in memory of its own.
  package func copied() -> SocketIOFrame { SocketIOFrame(copying: self) }

  private init(copying other: SocketIOFrame) {
    namespace = other.namespace
    // By way of the memory: an array made of an array shares it.
    let copy = { (bytes: [UInt8]) in bytes.withUnsafeBufferPointer { Array($0) } }
    webSocketBytes = copy(other.webSocketBytes)
    attachments = other.attachments.map(copy)
    packetOffset = other.packetOffset
  }

  /// The Socket.IO packet without what carries it.
  package var packetBytes: [UInt8] { Array(webSocketBytes[packetOffset...]) }
}
