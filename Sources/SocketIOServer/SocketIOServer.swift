package import EventLoop
package import HTTPServer
package import HTTPWire
import SocketIOWire

/// Socket.IO on one event loop: namespaces and rooms on the sessions of an `EngineIOServer`.
///
/// Loop-confined, one per loop.
package final class SocketIOServer: @unchecked Sendable {
  // Safe because: confined to its loop; the package's entrances assert it.

  package let loop: EventLoop
  let application: any SocketIOApplication
  private let engine: EngineIOServer
  private var rooms = RoomIndex()

  package init(
    loop: EventLoop, configuration: SocketIOConfiguration, application: any SocketIOApplication
  ) {
    self.loop = loop
    self.application = application
    let owner = Owner()
    engine = EngineIOServer(loop: loop, configuration: configuration) { client in
      // The server outlives its sessions.
      guard let server = owner.server else { preconditionFailure("a session of a server that is gone") }
      return SocketIOClient(client, server: server)
    }
    owner.server = self
  }

  /// Breaks the circle of a server whose engine makes clients of the server.
  private final class Owner {
    weak var server: SocketIOServer?
  }

  package var configuration: SocketIOConfiguration { engine.configuration }

  /// Sessions that are open.
  package var connectionCount: Int { engine.connectionCount }

  var nowMilliseconds: Int64 { engine.nowMilliseconds }

  /// Answers a request under `configuration.path`; see `EngineIOServer.handle`.
  package func handle(_ request: HTTPRequest) async -> HTTPAnswer { await engine.handle(request) }

  /// See `EngineIOServer.close`.
  package func close(
    reason: SocketIODisconnectReason = .serverShutdown, within duration: Duration = .seconds(2)
  ) async {
    await engine.close(reason: reason, within: duration)
  }

  // MARK: Rooms

  /// Sends a frame to everybody in a room of the frame's namespace, on this loop.
  /// - Parameters:
  ///   - except: one that does not get it.
  ///   - exceptRooms: whoever is in one of these does not get it.
  ///   - isVolatile: only those get it who can take it at once; see `SocketIOSocket.emitVolatile`.
  package func emit(
    to room: String, _ frame: SocketIOFrame, except: SocketIOSocket? = nil, exceptRooms: [String] = [],
    isVolatile: Bool = false
  ) {
    loop.assertInLoop()
    for socket in rooms.members(of: room, in: frame.namespace) where socket !== except {
      guard exceptRooms.isEmpty || exceptRooms.allSatisfy({ !socket.rooms.contains($0) }) else { continue }
      if isVolatile { socket.emitVolatile(frame) } else { socket.emit(frame) }
    }
  }

  /// The sockets in a room, on this loop.
  package func sockets(in room: String, namespace: String = "/") -> [SocketIOSocket] {
    loop.assertInLoop()
    return rooms.members(of: room, in: namespace)
  }

  func join(_ socket: SocketIOSocket, _ room: String) -> Bool {
    loop.assertInLoop()
    if case .disconnected = socket.state { return false }
    if socket.rooms.contains(room) { return true }
    guard socket.rooms.count < configuration.roomsPerSocketMax else { return false }
    socket.rooms.append(room)
    rooms.insert(socket, into: room)
    return true
  }

  func leave(_ socket: SocketIOSocket, _ room: String) {
    loop.assertInLoop()
    guard let index = socket.rooms.firstIndex(of: room) else { return }
    socket.rooms.remove(at: index)
    rooms.remove(socket, from: room)
  }

  func leaveAll(_ socket: SocketIOSocket) {
    for room in socket.rooms { rooms.remove(socket, from: room) }
    socket.rooms = []
  }
}
