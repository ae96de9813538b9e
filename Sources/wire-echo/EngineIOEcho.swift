import SocketIOServer
import SocketIOWire

/// Engine.IO alone: each message comes back as it is.
final class EngineIOEcho: EngineIOHandler {
  private unowned let client: EngineIOClient

  init(_ client: EngineIOClient) {
    self.client = client
  }

  func opened() async {}

  func receive(_ packet: EngineIOPacket) async -> Bool {
    client.send(packet)
    return true
  }

  func settle() async {}
  func ended(_ reason: SocketIODisconnectReason) {}
  var deadlineMilliseconds: Int64? { nil }
  func isOverdue(nowMilliseconds: Int64) -> Bool { false }
}
