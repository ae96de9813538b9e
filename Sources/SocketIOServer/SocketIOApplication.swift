import SocketIOWire

/// What runs behind a Socket.IO server.
///
/// Everything is called on the server's loop. The calls about one socket come one after the other,
/// each awaited before the next: `connect`, any number of `event`, `disconnected`. While a call is awaited
/// nothing more is read from that client, which is its back-pressure.
package protocol SocketIOApplication: Sendable {
  /// A client asks to join `socket.namespace`. `auth` is the JSON object it sent, or empty. What is
  /// emitted to the socket in here reaches the client after the answer that it is connected.
  func connect(_ socket: SocketIOSocket, auth: [UInt8]) async -> SocketIOAdmission

  /// A client's event. Each argument is one JSON text. `acknowledge` is set when the client wants an
  /// answer: call it at most once, from any thread, with a JSON array of the answer's arguments.
  func event(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]],
    acknowledge: (@Sendable ([UInt8]) -> Void)?
  ) async

  /// An event, with binary attachments or none, which the arguments name by placeholders
  /// (`{"_placeholder":true,"num":0}`); the answer may have some too. For applications that take binary.
  func binaryEvent(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], attachments: [[UInt8]],
    acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
  ) async

  /// The socket left its namespace. Called once for each that was accepted, and nothing after it.
  func disconnected(_ socket: SocketIOSocket, reason: SocketIODisconnectReason) async
}

extension SocketIOApplication {
  /// Unless the application takes binary, such an event is one with placeholders.
  package func binaryEvent(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], attachments: [[UInt8]],
    acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
  ) async {
    guard let acknowledge else {
      return await event(socket, name: name, arguments: arguments, acknowledge: nil)
    }
    let answer: @Sendable ([UInt8]) -> Void = { json in
      acknowledge(SocketIOAnswer(arguments: RawJSONArray.elements(of: json) ?? [], attachments: []))
    }
    await event(socket, name: name, arguments: arguments, acknowledge: answer)
  }
}

/// What a client answered to an event.
package struct SocketIOAnswer: Sendable, Equatable {
  /// Each is one JSON text.
  package let arguments: [[UInt8]]
  /// What the arguments name by placeholders.
  package let attachments: [[UInt8]]

  package init(arguments: [[UInt8]], attachments: [[UInt8]]) {
    self.arguments = arguments
    self.attachments = attachments
  }
}

/// Why there is no answer.
package enum SocketIOAnswerError: Error, Sendable, Equatable {
  case timedOut
  case disconnected
  /// The client owes too many answers already.
  case tooMany
}

/// The answer to a client that asks to join a namespace.
package enum SocketIOAdmission: Sendable, Equatable {
  case accept
  /// As `accept`; the client may come back with this secret and its last offset, and be taken for the
  /// same (connection state recovery). Clients of revision 3 are not told.
  case recoverable(pid: String)
  /// The client has come back and is what it was: it gets the id and the secret that it had.
  case recovered(id: String, pid: String)
  /// The client gets a `connect_error` with the message; `json` is its `data`, one JSON text.
  case refuse(message: String, json: [UInt8]? = nil)
}

/// Why a socket left. The texts are those of the original, where it has one.
package enum SocketIODisconnectReason: String, Sendable {
  case clientDisconnect = "client namespace disconnect"
  case serverDisconnect = "server namespace disconnect"
  case transportClose = "transport close"
  case transportError = "transport error"
  case pingTimeout = "ping timeout"
  case parseError = "parse error"
  case serverShutdown = "server shutting down"
  /// Never joined a namespace.
  case connectTimeout = "connect timeout"
  /// Did not read what was sent to it.
  case slow = "slow client"
}
