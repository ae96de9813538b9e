import EventLoop
import HTTPServer
import SocketIOServer
import SocketIOWire

/// The Socket.IO side, as its protocol's test suite and stock clients want it.
///
/// Namespaces `/` and `/custom`; on connection each emits `auth` with what the client sent. The events are in
/// `event`. `/denied` refuses with data, any other namespace is none.
final class SocketIOEcho: SocketIOApplication {
  private static let answerTimeout = Duration.seconds(10)

  func connect(_ socket: SocketIOSocket, auth: [UInt8]) async -> SocketIOAdmission {
    switch socket.namespace {
    case "/", "/custom":
      socket.emit(event: "auth", json: auth.isEmpty ? Array("{}".utf8) : auth)
      return .accept
    case "/denied": return .refuse(message: "not allowed", json: Array(#"{"code":42}"#.utf8))
    default: return .refuse(message: "Invalid namespace")
    }
  }

  func event(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], acknowledge: (@Sendable ([UInt8]) -> Void)?
  ) async {
    var answer: (@Sendable (SocketIOAnswer) -> Void)?
    if let acknowledge {
      answer = { acknowledge([UInt8(ascii: "[")] + Self.joined($0.arguments) + [UInt8(ascii: "]")]) }
    }
    await binaryEvent(socket, name: name, arguments: arguments, attachments: [], acknowledge: answer)
  }

  func binaryEvent(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]], attachments: [[UInt8]],
    acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
  ) async {
    switch name {
    case "message":
      socket.emit(
        SocketIOFrame(
          event: "message-back", json: Self.joined(arguments), attachments: attachments,
          namespace: socket.namespace))
    case "message-with-ack":
      acknowledge?(SocketIOAnswer(arguments: arguments, attachments: attachments))
    case "ask-me": ask(socket, arguments, attachments, acknowledge)
    case "join":
      if let room = arguments.first.flatMap(Self.text) { socket.join(room) }
      acknowledge?(SocketIOAnswer(arguments: [], attachments: []))
    case "to-room":
      guard let room = arguments.first.flatMap(Self.text) else { return }
      socket.emit(
        toRoom: room,
        SocketIOFrame(
          event: "room-event", json: Self.joined(arguments.dropFirst()), attachments: attachments,
          namespace: socket.namespace))
    case "bye": socket.disconnect()
    default: break
    }
  }

  func disconnected(_ socket: SocketIOSocket, reason: SocketIODisconnectReason) async {}

  /// In a task of its own: the client's answer is read only when the call for its event has returned.
  private func ask(
    _ socket: SocketIOSocket, _ arguments: [[UInt8]], _ attachments: [[UInt8]],
    _ acknowledge: (@Sendable (SocketIOAnswer) -> Void)?
  ) {
    socket.loop.spawn { shard in
      shard.assertIsolated()
      guard
        let answer = try? await socket.request(
          event: "question", json: Self.joined(arguments), attachments: attachments,
          timeout: Self.answerTimeout)
      else { return }
      let list = [UInt8(ascii: "[")] + Self.joined(answer.arguments) + [UInt8(ascii: "]")]
      acknowledge?(SocketIOAnswer(arguments: [list], attachments: answer.attachments))
    }
  }

  private static func joined(_ arguments: some Sequence<[UInt8]>) -> [UInt8] {
    Array(arguments.joined(separator: [UInt8(ascii: ",")]))
  }

  /// A room's name: a JSON text as it is written, quotes and all, is as good a name as any.
  private static func text(_ argument: [UInt8]) -> String? {
    argument.first == UInt8(ascii: "\"") ? String(decoding: argument, as: UTF8.self) : nil
  }
}
