import Bytes
import EventLoop
import HTTPServer
import SocketIOServer
import WebSocketWire

/// The other end of a realtime session: a Socket.IO client or one on the plain endpoint.
enum RealtimeClient {
  case socketIO(SocketIOSocket)
  case plain(WebSocketConnection)

  /// Bytes that the client has not taken yet.
  var queuedBytes: Int {
    switch self {
    case .socketIO(let socket): socket.queuedBytes
    case .plain(let connection): connection.queuedBytes
    }
  }

  func isSocket(_ socket: SocketIOSocket) -> Bool {
    if case .socketIO(let own) = self { own === socket } else { false }
  }

  /// - Parameter hasOffset: adds the event's number as one more argument, for a Socket.IO client.
  func send(_ routed: RoutedEvent, hasOffset: Bool) {
    switch self {
    case .socketIO(let socket): socket.emit(hasOffset ? routed.frameWithOffset : routed.frame)
    case .plain(let connection): connection.send(routed.plain)
    }
  }

  func send(_ event: UserEvent, hasOffset: Bool) {
    switch self {
    case .socketIO(let socket): socket.emit(event.socketIOFrame(hasOffset: hasOffset))
    case .plain(let connection): connection.send(.text(event.plainFrame()))
    }
  }

  /// - Parameter offset: one more argument for a Socket.IO client.
  func send(_ type: String, _ payload: [UInt8], offset: Int64? = nil) {
    switch self {
    case .socketIO(let socket):
      socket.emit(SocketIOFrame(event: type, json: UserEvent.arguments(payload, offset: offset)))
    case .plain(let connection): connection.send(.text(PlainFrame.encode(type: type, data: payload)))
    }
  }

  /// Ends the session; what is queued still leaves.
  func disconnect(_ code: WebSocketCloseCode, _ reason: String) {
    switch self {
    case .socketIO(let socket): socket.disconnect(close: true)
    case .plain(let connection): connection.close(WebSocketClose(code, reason))
    }
  }
}

/// One realtime client of one shard. Owned by the shard's gateway and never leaves its isolation.
final class RealtimeSession: RoomMember {
  enum State {
    /// Waiting for `authenticate` until the deadline.
    case anonymous(deadline: LoopInstant)
    /// The token is being checked or the place in the log looked up.
    case opening(Principal)
    case open(Principal)
    case closed
  }

  let id: String
  let client: RealtimeClient
  var state: State
  var cursor = EventCursor()
  /// Where the client wants to go on, while its place is looked up.
  var resumeAfter: Int64?
  /// The client takes the number of each event as one more argument, to come back with.
  var hasOffsets = false
  var placeInRoom: Int?
  /// Set while a task reads the log for this session.
  var isReadingLog = false
  private var allowance: Double
  private var refilledAt: LoopInstant

  init(id: String, client: RealtimeClient, deadline: LoopInstant, now: LoopInstant, burst: Int) {
    self.id = id
    self.client = client
    state = .anonymous(deadline: deadline)
    allowance = Double(burst)
    refilledAt = now
  }

  var principal: Principal? {
    switch state {
    case .opening(let principal), .open(let principal): principal
    case .anonymous, .closed: nil
    }
  }

  var isOpen: Bool {
    if case .open = state { true } else { false }
  }

  var isClosed: Bool {
    if case .closed = state { true } else { false }
  }

  func send(_ routed: RoutedEvent) { client.send(routed, hasOffset: hasOffsets) }

  func send(_ event: UserEvent) { client.send(event, hasOffset: hasOffsets) }

  /// An event that is not in the log. A client that comes back after it goes on at the session's place.
  func send(_ type: String, _ payload: [UInt8]) {
    client.send(type, payload, offset: hasOffsets ? cursor.position : nil)
  }

  /// Takes one client event out of the allowance (a token bucket). - Returns: false when it is empty.
  func takeAllowance(now: LoopInstant, perSecond: Int) -> Bool {
    let elapsed = (now - refilledAt).inSeconds
    allowance = min(Double(2 * perSecond), allowance + elapsed * Double(perSecond))
    refilledAt = now
    guard allowance >= 1 else { return false }
    allowance -= 1
    return true
  }
}
