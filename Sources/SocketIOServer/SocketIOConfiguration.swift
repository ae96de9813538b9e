import Bytes
package import HTTPServer
package import HTTPWire
package import SocketIOWire

/// What a Socket.IO server needs to know before it starts. Every number has its unit in its name or
/// type.
package struct SocketIOConfiguration: Sendable {
  /// The path it serves, with its slashes.
  package var path = "/socket.io/"
  package var pingInterval = Duration.seconds(25)
  package var pingTimeout = Duration.seconds(20)
  /// The most bytes of one polling body or WebSocket message from a client. HTTP refuses longer
  /// bodies with 413 before they are read.
  package var payloadBytesMax = 1_000_000
  /// How long a client may stay without joining a namespace.
  package var connectTimeout = Duration.seconds(45)
  /// How long an upgrade to WebSocket may take.
  package var upgradeTimeout = Duration.seconds(10)
  /// The most unsent bytes of one client; beyond it, it is disconnected as slow.
  package var queueBytesMax = 1 << 20
  /// The most sessions; beyond it a handshake gets 503.
  package var sessionsMax = 100_000
  /// The most rooms that one socket may be in.
  package var roomsPerSocketMax = 64
  package var packetLimits = SocketIOLimits()
  /// The most packets in one POST.
  package var postPacketsMax = 1_000
  /// Compresses WebSocket messages that the client offers to (RFC 7692). It saves bandwidth and
  /// costs processor time; off, as in the original.
  package var allowsCompression = false
  /// Whether clients of Engine.IO 3 (Socket.IO 2, python-socketio 4) are served. Then a handshake that
  /// names no revision is one of theirs.
  package var allowsRevision3 = true
  /// A cookie with the session's id, for load balancers that keep a client on its node by one. nil: none.
  package var cookie: SocketIOCookie?
  /// Answers to polls from this size on are compressed for clients that take gzip; nil: never.
  package var gzipBytesMin: Int? = 1_024
  /// Which pages may use the server. Requests without an Origin, and from the server's own, always
  /// may.
  package var allowedOrigins = OriginRule.list([])
  /// Which shard this is; written into each session id.
  package var homeShard: UInt8 = 0
  /// Hands a request on to the shard whose session it is about, and brings back the whole answer; nil when
  /// there is no such shard. nil: the sessions of other shards are unknown.
  package var forward: (@Sendable (UInt8, HTTPRequest) async -> HTTPAnswer?)?
  /// As many unpredictable bytes as asked for: session and socket ids are made of them.
  package var randomBytes: @Sendable (Int) -> [UInt8] = { count in
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
  }
  package var observer: (any SocketIOObserver)?

  package init() {}

  var engine: EngineIOConfiguration {
    EngineIOConfiguration(
      pingIntervalMilliseconds: pingInterval.milliseconds, pingTimeoutMilliseconds: pingTimeout.milliseconds,
      payloadBytesMax: payloadBytesMax)
  }

  /// A session id: 22 letters whose first byte is the shard.
  func newSessionID() -> String { Base64.encode([homeShard] + randomBytes(15), .url) }

  /// A socket id: 20 letters, not to be told from the session id.
  func newSocketID() -> String { Base64.encode(randomBytes(15), .url) }

  /// The shard that a session id names. nil: no id of ours.
  static func shard(ofSession id: String) -> UInt8? {
    guard id.utf8.count == 22 else { return nil }
    return Base64.decode(id, .url)?.first
  }
}

/// The cookie of a session.
package struct SocketIOCookie: Sendable, Equatable {
  package var name = "io"
  package var path = "/"
  /// `Strict`, `Lax` or `None`; with `None` browsers want HTTPS.
  package var sameSite = "Lax"
  package var isSecure = false

  package init() {}

  /// The value of a Set-Cookie field (RFC 6265).
  func field(sessionID: String) -> String {
    "\(name)=\(sessionID); Path=\(path); HttpOnly; SameSite=\(sameSite)\(isSecure ? "; Secure" : "")"
  }
}

extension Duration {
  /// Whole milliseconds.
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
  }
}

/// Told what happens, for metrics. Called on the loop; must not block.
package protocol SocketIOObserver: Sendable {
  func sessionOpened(_ transport: EngineIOSession.Transport)
  func sessionUpgraded()
  func sessionEnded(_ reason: SocketIODisconnectReason)
  /// A client's event was taken; `bytes` is its payload.
  func eventReceived(bytes: Int)
  /// A frame was handed to one client's transport.
  func frameSent(bytes: Int)
}

extension SocketIOObserver {
  package func sessionOpened(_ transport: EngineIOSession.Transport) {}
  package func sessionUpgraded() {}
  package func sessionEnded(_ reason: SocketIODisconnectReason) {}
  package func eventReceived(bytes: Int) {}
  package func frameSent(bytes: Int) {}
}
