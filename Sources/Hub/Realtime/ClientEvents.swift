import Bytes
import EventLoop
import HTTPWire
import JSON
package import SocketIOServer

/// What a client event is answered with: an acknowledgement when one was asked for, otherwise an
/// `error` event for a failure and nothing for a success.
enum ClientReply: Sendable {
  case success([String: JSONValue])
  case failure(code: String, message: String)

  var json: JSONValue {
    switch self {
    case .success(let members):
      .object(members.merging(["ok": true]) { _, new in new })
    case .failure(let code, let message):
      ["ok": false, "error": ["code": .string(code), "message": .string(message)]]
    }
  }
}

/// The events that clients send, over Socket.IO and over the plain endpoint alike.
extension RealtimeGateway: SocketIOApplication {
  package func connect(_ socket: SocketIOSocket, auth: [UInt8]) async -> SocketIOAdmission {
    guard socket.namespace == "/" else { return .refuse(message: "Invalid namespace") }
    if let admission = admit(socket, auth: auth) { return admission }
    let gateway = self
    // In a task of its own, whose memory ends with it.
    return await Task {
      await withTaskExecutorPreference(loop) { await gateway.admitReturning(socket, auth: auth) }
    }.value
  }

  package func event(
    _ socket: SocketIOSocket, name: String, arguments: [[UInt8]],
    acknowledge: (@Sendable ([UInt8]) -> Void)?
  ) async {
    let gateway = self
    // In a task of its own: a task keeps the memory of its deepest frames for life, and the caller's
    // is the connection's, which then waits for hours.
    await Task {
      await withTaskExecutorPreference(loop) {
        await gateway.take(socket, name, arguments, acknowledge)
      }
    }.value
  }

  private func take(
    _ socket: SocketIOSocket, _ name: String, _ arguments: [[UInt8]],
    _ acknowledge: (@Sendable ([UInt8]) -> Void)?
  ) async {
    guard let session = session(of: socket) else { return }
    guard let reply = await handle(session, name, { arguments.first.flatMap { try? JSONValue(parsing: $0) } })
    else {
      acknowledge?(Array("[{\"ok\":true}]".utf8))
      return
    }
    if let acknowledge {
      acknowledge(JSONValue.array([reply.json]).encoded())
    } else if case .failure(let code, let message) = reply {
      sendError(session, code, message)
    }
  }

  package func disconnected(_ socket: SocketIOSocket, reason: SocketIODisconnectReason) async {
    if let session = session(of: socket) { forget(session) }
  }

  /// Once the CONNECT packet has been answered, so that no event can overtake it.
  func authenticate(later socket: SocketIOSocket, token: String, lastSeq: Int64?) {
    let gateway = self
    Task {
      await withTaskExecutorPreference(loop) {
        await gateway.authenticate(socket, token: token, lastSeq: lastSeq)
      }
    }
  }

  private func authenticate(_ socket: SocketIOSocket, token: String, lastSeq: Int64?) async {
    guard let session = session(of: socket) else { return }
    await authenticate(session, token: token, lastSeq: lastSeq)
  }

  /// - Returns: nil when there is nothing to answer.
  /// - Parameter read: reads the argument; not called for an event that is refused unread.
  func handle(_ session: RealtimeSession, _ name: String, _ read: () -> JSONValue?) async -> ClientReply? {
    let perSecond = dependencies.configuration.limits.clientEventsPerSecond
    guard session.takeAllowance(now: loop.now, perSecond: perSecond) else {
      return .failure(code: "rate_limited", message: "too many events; at most \(perSecond) a second")
    }
    if name == "authenticate" {
      let argument = read() ?? .null
      guard let token = argument["token"]?.string else {
        refuse(session, "authenticate takes {token, lastSeq?}", "invalid_token")
        return nil
      }
      await authenticate(session, token: token, lastSeq: argument["lastSeq"]?.integer)
      return nil
    }
    guard session.isOpen, let principal = session.principal else {
      return .failure(code: "not_authenticated", message: "send authenticate {token} first")
    }
    let argument = read() ?? .null
    switch name {
    case "mark_read": return await markRead(principal, argument)
    case "mark_unread": return await markUnread(principal, argument)
    case "typing": return await typing(session, principal, argument)
    case "send_message": return await send(principal, argument)
    default: return .failure(code: "unknown_event", message: "there is no event of this name")
    }
  }

  private func markRead(_ principal: Principal, _ argument: JSONValue) async -> ClientReply {
    guard let conversation = argument["conversationId"]?.string.flatMap({ UUIDv7($0) }) else {
      return .failure(code: "invalid_request", message: "mark_read takes {conversationId, upTo?}")
    }
    var upTo: UUIDv7?
    if let text = argument["upTo"], !text.isNull {
      guard let id = text.string.flatMap({ UUIDv7($0) }) else {
        return .failure(code: "invalid_request", message: "upTo is a message id")
      }
      upTo = id
    }
    let reply = await change { store in
      try await store.markRead(principal, conversation: conversation, upTo: upTo)
    }
    if case .success = reply {
      _ = try? await dependencies.outbox.receipt(
        in: conversation, upTo: upTo, by: principal.key, on: .open)
    }
    return reply
  }

  private func markUnread(_ principal: Principal, _ argument: JSONValue) async -> ClientReply {
    guard let conversation = argument["conversationId"]?.string.flatMap({ UUIDv7($0) }),
      let from = argument["from"]?.string.flatMap({ UUIDv7($0) })
    else { return .failure(code: "invalid_request", message: "mark_unread takes {conversationId, from}") }
    return await change { store in
      try await store.markUnread(principal, conversation: conversation, from: from)
    }
  }

  /// As `POST /api/conversations/{id}/messages`; the acknowledgement holds the message's id.
  private func send(_ principal: Principal, _ argument: JSONValue) async -> ClientReply {
    guard let conversation = argument["conversationId"]?.string.flatMap({ UUIDv7($0) }),
      var members = argument.object
    else {
      return .failure(code: "invalid_request", message: "send_message takes {conversationId, text, ...}")
    }
    let given = RequestFields(members)
    members["conversationId"] = nil
    members["idempotencyKey"] = nil
    do {
      let fields = RequestFields(members)
      try fields.allow(only: MessageDraft.members)
      let key = try IdempotencyKey(given.text("idempotencyKey"), for: fields, in: conversation)
      let result = try await dependencies.outbox.send(
        try MessageDraft(fields), in: conversation, by: principal.key, key: key)
      switch result {
      case .made(let id), .repeated(let id): return .success(["messageId": .string("\(id)")])
      }
    } catch let problem as Problem {
      return .failure(code: problem.code, message: problem.detail ?? problem.title)
    } catch HubStoreError.notFound {
      return .failure(code: "not_found", message: "there is no such conversation")
    } catch {
      return .failure(code: "unavailable", message: "the hub cannot reach its database; try again")
    }
  }

  private func change(_ body: (HubStore) async throws -> [UserEvent]) async -> ClientReply {
    do {
      dependencies.relay.publish(try await body(dependencies.store))
      return .success([:])
    } catch HubStoreError.notFound {
      return .failure(code: "not_found", message: "there is no such conversation or message")
    } catch {
      return .failure(code: "unavailable", message: "the hub cannot reach its database; try again")
    }
  }

  /// Tells the user's colleagues and other devices that somebody is writing an answer.
  private func typing(
    _ session: RealtimeSession, _ principal: Principal, _ argument: JSONValue
  ) async -> ClientReply {
    guard let conversation = argument["conversationId"]?.string.flatMap({ UUIDv7($0) }) else {
      return .failure(code: "invalid_request", message: "typing takes {conversationId, isTyping}")
    }
    do {
      let users = try await dependencies.store.viewers(principal, conversation: conversation)
      dependencies.relay.broadcast(
        "typing",
        payload([
          "conversationId": .string("\(conversation)"), "userId": .string(principal.user),
          "isTyping": .bool(argument["isTyping"]?.bool ?? true),
        ]),
        to: users, except: session.id)
      await dependencies.outbox.typing(
        argument["isTyping"]?.bool ?? true, in: conversation, by: principal.key)
      return .success([:])
    } catch HubStoreError.notFound {
      return .failure(code: "not_found", message: "there is no such conversation")
    } catch {
      return .failure(code: "unavailable", message: "the hub cannot reach its database; try again")
    }
  }

  func sendError(_ session: RealtimeSession, _ code: String, _ message: String) {
    session.client.send("error", payload(["error": .string(message), "code": .string(code)]))
  }
}
