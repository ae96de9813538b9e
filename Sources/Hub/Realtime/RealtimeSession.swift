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

  func send(_ routed: RoutedEvent) {
    switch self {
    case .socketIO(let socket): socket.emit(routed.frame)
    case .plain(let connection): connection.send(routed.plain)
    }
  }

  func send(_ event: UserEvent) {
    switch self {
    case .socketIO(let socket): socket.emit(event.socketIOFrame())
    case .plain(let connection): connection.send(.text(event.plainFrame()))
    }
  }

  func send(_ type: String, _ payload: [UInt8]) {
    switch self {
    case .socketIO(let socket): socket.emit(SocketIOFrame(event: type, json: payload))
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
final class RealtimeSession {
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
