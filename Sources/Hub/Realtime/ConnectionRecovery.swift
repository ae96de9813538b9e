import Bytes
import EventLoop
import HTTPWire
import JSON
import Security
import SocketIOServer

/// Who is given Socket.IO's connection state recovery. Clients that are given it get the offset of each
/// event as one more argument, which listeners of a fixed number of arguments do not expect.
package enum ConnectionRecovery: String, Sendable, CaseIterable {
  case off
  /// Clients whose handshake has `recovery`: true in `auth`, or 1 in the query.
  case asked
  /// Every client of Socket.IO 3 or later.
  case on
}

/// What a client comes back with as its `pid`: who it was, sealed, so that any node knows it again and
/// nothing is kept for those who never return. A credential, as good as the token it was made for and no
/// longer.
struct RecoveryTicket: Equatable {
  /// The id of the socket.
  let socketID: String
  let principal: Principal

  private static let context = Array("connection recovery".utf8)
  /// Longer ones are not ours.
  private static let textBytesMax = 8_192

  func sealed(by keys: KeyRing) -> String {
    let members: JSONValue = [
      "sid": .string(socketID), "tenant": .string(principal.tenant), "user": .string(principal.user),
      "email": principal.email.map { .string($0) } ?? .null,
      "roles": .array(principal.roles.map { .string($0) }),
      "expires": .integer(principal.expires.microseconds),
    ]
    return Base64.encode(keys.seal(members.encoded(), context: Self.context), .url)
  }

  init(socketID: String, principal: Principal) {
    self.socketID = socketID
    self.principal = principal
  }

  /// nil: not sealed by the hub, or over.
  init?(opening text: String, by keys: KeyRing, now: Timestamp) {
    guard text.utf8.count <= Self.textBytesMax, let blob = Base64.decode(text, .url),
      let plain = try? keys.open(blob, context: Self.context), let members = try? JSONValue(parsing: plain),
      let socketID = members["sid"]?.string, let tenant = members["tenant"]?.string,
      let user = members["user"]?.string, let expires = members["expires"]?.integer,
      let roles = members["roles"]?.array
    else { return nil }
    self.socketID = socketID
    principal = Principal(
      tenant: tenant, user: user, email: members["email"]?.string, roles: roles.compactMap(\.string),
      expires: Timestamp(microseconds: expires))
    guard principal.expires > now else { return nil }
  }
}

/// What a client's CONNECT says beside its token.
struct ConnectRequest {
  let token: String?
  let lastSeq: Int64?
  /// nil: the client was not given one, or its text is not one of the hub's.
  let ticket: (text: String, opened: RecoveryTicket)?
  /// The place in the log that goes with the ticket.
  let offset: Int64?
  /// Whether the client is to be given a ticket.
  let isRecoverable: Bool

  init(
    _ socket: SocketIOSocket, auth: [UInt8], recovery: ConnectionRecovery, keys: KeyRing, now: Timestamp
  ) {
    let fields = auth.isEmpty ? nil : try? JSONValue(parsing: auth)
    let query = socket.handshake.query
    token = fields?["token"]?.string ?? HandshakeToken.find(socket.handshake)
    lastSeq = fields?["lastSeq"]?.integer ?? query["lastSeq"].flatMap { Int64($0) }
    let pid = fields?["pid"]?.string
    let asks = fields?["recovery"]?.bool ?? (query["recovery"] == "1") || pid != nil
    isRecoverable =
      switch recovery {
      case .off: false
      case .asked: socket.canRecover && asks
      case .on: socket.canRecover
      }
    offset = fields?["offset"]?.string.flatMap { Int64($0) }
    ticket =
      isRecoverable
      ? pid.flatMap { text in RecoveryTicket(opening: text, by: keys, now: now).map { (text, $0) } } : nil
  }
}

extension RealtimeGateway {
  private func read(_ socket: SocketIOSocket, _ auth: [UInt8]) -> ConnectRequest {
    ConnectRequest(
      socket, auth: auth, recovery: dependencies.configuration.recovery, keys: dependencies.keys,
      now: dependencies.clock.now())
  }

  /// Takes a Socket.IO client in. nil: it comes back with a ticket, and the log is to be asked first.
  ///
  /// Not asynchronous, because the connection's task would keep the memory of its frame.
  func admit(_ socket: SocketIOSocket, auth: [UInt8]) -> SocketIOAdmission? {
    let request = read(socket, auth)
    return request.ticket == nil || request.offset == nil ? admit(socket, request, missedAfter: nil) : nil
  }

  /// Takes a client with a ticket in: where its place in the log is still there, it goes on as the socket
  /// that it was.
  func admitReturning(_ socket: SocketIOSocket, auth: [UInt8]) async -> SocketIOAdmission {
    let request = read(socket, auth)
    guard let (text, ticket) = request.ticket, let offset = request.offset else {
      return admit(socket, request, missedAfter: nil)
    }
    let named = principal(request)
    // A token is newer than the ticket, and decides who it is.
    guard request.token == nil || named?.key == ticket.principal.key else {
      return admit(socket, request, missedAfter: nil)
    }
    supersede(ticket.socketID)
    let session = opened(ticket.socketID, .socketIO(socket))
    session.hasOffsets = true
    guard await reopen(session, named ?? ticket.principal, after: offset) else {
      forget(session)
      // What it missed cannot be given; it is told so when it has authenticated.
      return admit(socket, request, missedAfter: offset)
    }
    dependencies.metrics.recovered()
    return .recovered(id: ticket.socketID, pid: text)
  }

  private func principal(_ request: ConnectRequest) -> Principal? {
    request.token.flatMap { try? dependencies.tokens.verify($0, now: dependencies.clock.now()) }
  }

  /// - Parameter offset: the place that a client which is not recovered had.
  private func admit(
    _ socket: SocketIOSocket, _ request: ConnectRequest, missedAfter offset: Int64?
  ) -> SocketIOAdmission {
    let session = opened(socket.id, .socketIO(socket))
    guard let token = request.token else { return .accept }
    authenticate(later: socket, token: token, lastSeq: request.lastSeq ?? offset)
    guard request.isRecoverable, let named = principal(request) else { return .accept }
    session.hasOffsets = true
    return .recoverable(
      pid: RecoveryTicket(socketID: socket.id, principal: named).sealed(by: dependencies.keys))
  }
}
