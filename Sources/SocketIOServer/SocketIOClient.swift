import EventLoop
import HTTPWire
import JSON
import SocketIOWire
import WebSocketWire

/// One client's sockets: Socket.IO on the messages of an Engine.IO session.
///
/// Loop-confined. A session that ends while the application is being asked tells it afterwards.
final class SocketIOClient: EngineIOHandler, @unchecked Sendable {
  // Safe because: confined to the server's loop, which the server asserts at each entrance.

  // The engine lets go of its handler when the session ends: until then the two hold each other.
  private let engine: EngineIOClient
  private let server: SocketIOServer
  private var assembler: SocketIOAssembler
  private var sockets: [SocketIOSocket] = []
  /// Milliseconds; nil while the client is in a namespace.
  private(set) var deadlineMilliseconds: Int64?
  private var notices: [(SocketIOSocket, SocketIODisconnectReason)] = []

  init(_ engine: EngineIOClient, server: SocketIOServer) {
    self.engine = engine
    self.server = server
    assembler = SocketIOAssembler(limits: server.configuration.packetLimits)
    beginDeadline()
  }

  private func beginDeadline() {
    deadlineMilliseconds = server.nowMilliseconds + server.configuration.connectTimeout.milliseconds
  }

  var queuedBytes: Int { engine.queuedBytes }
  var isWritable: Bool { engine.isWritable }
  var transport: EngineIOSession.Transport { engine.session.transport }
  var handshake: SocketIOHandshake { engine.handshake }
  var canRecover: Bool { engine.revision == .v4 }

  // MARK: The session

  /// Clients of revision 3 are in `/` from the start.
  func opened() async {
    guard engine.revision == .v3 else { return }
    await connect("/", auth: [])
  }

  func receive(_ packet: EngineIOPacket) async -> Bool {
    do throws(SocketIOParseError) {
      let whole: SocketIOAssembler.Assembled?
      switch packet {
      case .message(let text): whole = try assembler.text(text)
      case .binary(let bytes): whole = try assembler.binary(bytes)
      case .open, .close, .ping, .pong, .upgrade, .noop: whole = nil
      }
      if let whole { try await handle(whole) }
      return true
    } catch {
      return false
    }
  }

  func settle() async {
    while !notices.isEmpty {
      let (socket, reason) = notices.removeFirst()
      await server.application.disconnected(socket, reason: reason)
    }
  }

  func ended(_ reason: SocketIODisconnectReason) { leaveAll(reason) }

  func isOverdue(nowMilliseconds: Int64) -> Bool {
    guard let deadlineMilliseconds else { return false }
    return nowMilliseconds >= deadlineMilliseconds && sockets.isEmpty
  }

  // MARK: Packets

  private func handle(_ whole: SocketIOAssembler.Assembled) async throws(SocketIOParseError) {
    let packet = whole.packet
    let socket = sockets.first { $0.namespace == packet.namespace }
    switch packet.kind {
    case .connect:
      // A second connect would leave it open which of the two is meant from here on. Clients of
      // revision 3 are in `/` already and may say so.
      if engine.revision == .v3 && packet.namespace == "/" { return }
      guard socket == nil else { throw .badPayload }
      if engine.revision == .v3 {
        await connect(packet.namespace, auth: Self.auth(ofQuery: packet.namespaceQuery))
      } else {
        if !packet.payload.isEmpty, parse(packet.payload)?.object == nil { throw .badPayload }
        await connect(packet.namespace, auth: packet.payload)
      }
    case .disconnect:
      if let socket { leave(socket, .clientDisconnect) }
    case .event, .binaryEvent:
      guard let socket, socket.isConnected else { throw .badNamespace }
      try await event(whole, socket)
    case .acknowledgement, .binaryAcknowledgement:
      guard let socket else { throw .badNamespace }
      guard let id = packet.acknowledgementID, let elements = RawJSONArray.elements(of: packet.payload),
        let payload = parse(packet.payload), Self.names(payload, whole.attachments)
      else { throw .badPayload }
      // One that nobody waits for any more came too late.
      socket.acknowledged(id, SocketIOAnswer(arguments: elements, attachments: whole.attachments))
    case .connectError: throw .badPayload
    }
  }

  /// Clients of revision 3 say who they are in the query of the namespace.
  private static func auth(ofQuery query: String) -> [UInt8] {
    guard !query.isEmpty, let items = try? URLQuery(query).items else { return [] }
    let members = items.map { ($0.name, JSONValue.string($0.value)) }
    return JSONValue.object(Dictionary(members, uniquingKeysWith: { first, _ in first })).encoded()
  }

  private func connect(_ namespace: String, auth: [UInt8]) async {
    let socket = SocketIOSocket(
      id: server.configuration.newSocketID(), namespace: namespace, client: self, server: server)
    sockets.append(socket)
    switch await server.application.connect(socket, auth: auth) {
    case .accept: accept(socket, pid: nil)
    case .recoverable(let pid): accept(socket, pid: pid)
    case .recovered(let id, let pid):
      socket.id = id
      accept(socket, pid: pid)
    case .refuse(let message, let json):
      sockets.removeAll { $0 === socket }
      server.leaveAll(socket)
      socket.leave()
      send(SocketIOFrame(refusal(message, json, socket.namespace)))
    }
  }

  private func accept(_ socket: SocketIOSocket, pid: String?) {
    guard case .connecting(let frames) = socket.state else {
      // It went away, or was disconnected, while the application was asked.
      notices.append((socket, engine.endReason ?? .serverDisconnect))
      return
    }
    deadlineMilliseconds = nil
    engine.trimHandshake()
    socket.state = .connected
    var payload: [UInt8] = []
    if engine.revision == .v4 {
      payload = Array("{\"sid\":\"\(socket.id)\"".utf8)
      if let pid {
        payload.append(contentsOf: ",\"pid\":".utf8)
        JSONText.append(pid, to: &payload)
      }
      payload.append(UInt8(ascii: "}"))
    }
    send(SocketIOFrame(SocketIOPacket(.connect, namespace: socket.namespace, payload: payload)))
    for frame in frames { send(frame) }
  }

  private func refusal(_ message: String, _ json: [UInt8]?, _ namespace: String) -> SocketIOPacket {
    if engine.revision == .v3 {
      // The packet is called ERROR there, and says one thing.
      var text: [UInt8] = []
      JSONText.append(message, to: &text)
      return SocketIOPacket(.connectError, namespace: namespace, payload: json ?? text)
    }
    var payload = Array("{\"message\":".utf8)
    JSONText.append(message, to: &payload)
    if let json {
      payload.append(contentsOf: ",\"data\":".utf8)
      payload.append(contentsOf: json)
    }
    payload.append(UInt8(ascii: "}"))
    return SocketIOPacket(.connectError, namespace: namespace, payload: payload)
  }

  /// Names that the client's library keeps for itself.
  private static let reservedEvents: Set<String> = [
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
  ]

  private func event(
    _ whole: SocketIOAssembler.Assembled, _ socket: SocketIOSocket
  ) async throws(SocketIOParseError) {
    let packet = whole.packet
    guard let payload = parse(packet.payload), let name = payload.array?.first?.string,
      !Self.reservedEvents.contains(name), Self.names(payload, whole.attachments),
      let elements = RawJSONArray.elements(of: packet.payload)
    else { throw .badPayload }
    server.configuration.observer?.eventReceived(bytes: packet.payload.count)
    let arguments = Array(elements.dropFirst())
    let answer = packet.acknowledgementID.map { acknowledgement(of: $0, socket) }
    if whole.attachments.isEmpty {
      var acknowledge: (@Sendable ([UInt8]) -> Void)?
      if let answer { acknowledge = { answer($0, []) } }
      await server.application.event(socket, name: name, arguments: arguments, acknowledge: acknowledge)
    } else {
      var acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
      if let answer { acknowledge = { answer(Self.list($0.arguments), $0.attachments) } }
      await server.application.binaryEvent(
        socket, name: name, arguments: arguments, attachments: whole.attachments, acknowledge: acknowledge)
    }
  }

  /// Whether each placeholder stands for one of the attachments: a client that is sent another closes its
  /// connection over it. Without attachments nothing is a placeholder.
  private static func names(_ value: JSONValue, _ attachments: [[UInt8]]) -> Bool {
    if attachments.isEmpty { return true }
    if value["_placeholder"]?.bool == true {
      return value["num"]?.integer.map { attachments.indices.contains(Int(clamping: $0)) } ?? false
    }
    let inner = value.array ?? value.object.map { Array($0.values) } ?? []
    return inner.allSatisfy { names($0, attachments) }
  }

  private static func list(_ elements: [[UInt8]]) -> [UInt8] {
    [UInt8(ascii: "[")] + elements.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "]")]
  }

  /// Sends an answer, from any thread: a JSON array and its attachments.
  private func acknowledgement(
    of id: UInt64, _ socket: SocketIOSocket
  ) -> @Sendable ([UInt8], [[UInt8]]) -> Void {
    { [weak self, loop = server.loop] json, attachments in
      let answer = { @Sendable [weak self] in
        guard let self, socket.isConnected else { return }
        let kind: SocketIOPacket.Kind = attachments.isEmpty ? .acknowledgement : .binaryAcknowledgement
        self.send(
          SocketIOFrame(
            SocketIOPacket(
              kind, namespace: socket.namespace, acknowledgementID: id, attachmentCount: attachments.count,
              payload: json), attachments: attachments))
      }
      if loop.inLoop { answer() } else { loop.execute(answer) }
    }
  }

  /// nil: not JSON.
  private func parse(_ text: [UInt8]) -> JSONValue? {
    do {
      return try JSONValue(parsing: text)
    } catch {
      return nil
    }
  }

  // MARK: Sending

  func send(_ frame: SocketIOFrame) {
    engine.send(frame: frame.webSocketBytes, orPacket: .message(frame.packetBytes))
    for attachment in frame.attachments { engine.send(.binary(attachment)) }
  }

  // MARK: Leaving

  func disconnect(_ socket: SocketIOSocket, close: Bool) {
    if case .disconnected = socket.state { return }
    server.loop.assertInLoop()
    for leaving in close ? sockets : [socket] {
      if leaving.isConnected {
        send(SocketIOFrame(SocketIOPacket(.disconnect, namespace: leaving.namespace)))
      }
      leave(leaving, .serverDisconnect)
    }
    if close { engine.end(.serverDisconnect) }
  }

  private func leaveAll(_ reason: SocketIODisconnectReason) {
    for socket in sockets { leave(socket, reason) }
  }

  private func leave(_ socket: SocketIOSocket, _ reason: SocketIODisconnectReason) {
    let wasConnected = socket.isConnected
    socket.leave()
    sockets.removeAll { $0 === socket }
    server.leaveAll(socket)
    if sockets.isEmpty && deadlineMilliseconds == nil { beginDeadline() }
    // One that was never connected is not known to have come; `accept` sees to it.
    guard wasConnected else { return }
    if engine.isHandling {
      notices.append((socket, reason))
    } else {
      let application = server.application
      server.loop.spawn { shard in
        // Named, and without a capture list: otherwise the closure would not stay on the loop.
        shard.assertIsolated()
        await application.disconnected(socket, reason: reason)
      }
    }
  }
}
