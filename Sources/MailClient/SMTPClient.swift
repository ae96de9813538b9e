package import EventLoop
package import MailWire

/// Sends messages, each on a connection of its own. A value: any task on the loop may use it.
package struct SMTPClient: Sendable {
  package struct Configuration: Sendable {
    package var server: MailServer
    package var credentials: MailCredentials?
    /// What we call ourselves.
    package var clientName: String
    package var replyTimeout: Duration = .seconds(120)
    /// For the answer to the message's end: RFC 5321 section 4.5.3.2.6 asks for ten minutes, because
    /// whoever gives up sooner sends mail twice.
    package var verdictTimeout: Duration = .seconds(600)
    /// For all of it but that answer.
    package var sendTimeout: Duration = .seconds(900)

    package init(server: MailServer, credentials: MailCredentials?, clientName: String) {
      self.server = server
      self.credentials = credentials
      self.clientName = clientName
    }
  }

  /// What went, and the server's last word about it.
  package struct SentMail: Sendable, Equatable {
    /// For the mailbox of sent mail, see `IMAPClient.append`.
    package var message: WrittenMail
    package var reply: SMTPReply
  }

  package let configuration: Configuration
  package let loop: EventLoop
  private let blocking: BlockingPool

  package init(_ configuration: Configuration, on loop: EventLoop, blocking: BlockingPool) {
    self.configuration = configuration
    self.loop = loop
    self.blocking = blocking
  }

  /// Writes a draft and sends it.
  /// - Parameters:
  ///   - token: random letters and digits.
  ///   - unseen: gets it too, and no header says so.
  /// - Throws: `.permanent` too when an address or the id of the draft is none.
  package func send(
    _ draft: MailDraft, token: String, unseen: [String] = []
  ) async throws(SMTPFailure) -> SentMail {
    let message: WrittenMail
    do throws(MailDraftError) {
      message = try MailWriter.write(draft, token: token)
    } catch {
      throw .permanent(SMTPRefusal(.unsayable, SMTPReply(554, ["5.6.0 \(error)"])))
    }
    var envelope = draft.envelope
    envelope.recipients += unseen
    return SentMail(message: message, reply: try await send(message, to: envelope))
  }

  /// Sends a message to all of its recipients, or to none. Call on the loop.
  /// - Returns: the server's last word; it answers for the message from then on.
  /// - Throws: what tells whether another try is safe, see `SMTPFailure`.
  package func send(_ message: WrittenMail, to envelope: SMTPEnvelope) async throws(SMTPFailure) -> SMTPReply
  {
    let deadline = loop.now + configuration.sendTimeout
    let connection: MailConnection
    do throws(SocketError) {
      connection = try await MailConnection.open(
        configuration.server, on: loop, blocking: blocking,
        deadline: loop.now + configuration.server.connectTimeout)
    } catch {
      throw .notSent("\(error)")
    }
    let dialogue = SMTPDialogue(configuration, connection, message, envelope, deadline: deadline)
    return try await dialogue.run()
  }
}

/// One session's run.
private final class SMTPDialogue {
  private let configuration: SMTPClient.Configuration
  private let connection: MailConnection
  private let message: [UInt8]
  private let deadline: LoopInstant
  private var session: SMTPSession
  private var parser = SMTPReplyParser()

  init(
    _ configuration: SMTPClient.Configuration, _ connection: MailConnection, _ message: WrittenMail,
    _ envelope: SMTPEnvelope, deadline: LoopInstant
  ) {
    self.configuration = configuration
    self.connection = connection
    self.message = message.bytes
    self.deadline = deadline
    session = SMTPSession(
      SMTPSessionConfiguration(
        security: configuration.server.security, credentials: configuration.credentials,
        clientName: configuration.clientName),
      envelope: envelope, messageBytes: message.bytes.count, is8Bit: message.is8Bit)
  }

  func run() async throws(SMTPFailure) -> SMTPReply {
    var actions: [SMTPSession.Action] = []
    do throws(SMTPFailure) {
      while true {
        if let reply = try await perform(actions) {
          connection.closeAfterFlush()
          return reply
        }
        actions = await next()
      }
    } catch {
      connection.close()
      throw error
    }
  }

  /// - Returns: the reply by which the server took the message.
  private func perform(_ actions: [SMTPSession.Action]) async throws(SMTPFailure) -> SMTPReply? {
    var accepted: SMTPReply?
    for action in actions {
      switch action {
      case .accepted(let reply): accepted = reply
      case .failed(let failure): throw failure
      case .close: break
      case .write, .startTLS, .writeMessage:
        do throws(SocketError) {
          try await transmit(action)
        } catch {
          // Once the server has the message, a lost goodbye is nothing.
          if let accepted { return accepted }
          return try await perform(session.ended(reason(error)))
        }
        if action == .startTLS { return try await perform(session.tlsStarted()) }
      }
    }
    return accepted
  }

  private func transmit(_ action: SMTPSession.Action) async throws(SocketError) {
    switch action {
    case .write(let bytes): try await connection.write(bytes, deadline: deadline)
    case .startTLS: try await connection.startTLS(deadline: deadline)
    case .writeMessage: try await writeMessage()
    case .accepted, .failed, .close: break
    }
  }

  /// The end goes out when all before it is with the kernel, so that a connection that breaks on the way is
  /// known to have delivered nothing.
  private func writeMessage() async throws(SocketError) {
    var stuffing = DotStuffing()
    for start in stride(from: 0, to: message.count, by: 65_536) {
      let piece = stuffing.write(message[start..<min(start + 65_536, message.count)])
      try await connection.write(piece, deadline: deadline)
      try await connection.drain(below: 262_144, deadline: deadline)
    }
    try await connection.drain(below: 0, deadline: deadline)
    session.messageEnds()
    try await connection.write(stuffing.finish(), deadline: deadline)
  }

  private func next() async -> [SMTPSession.Action] {
    let loop = connection.loop
    let limit =
      session.isInDoubt
      ? loop.now + configuration.verdictTimeout : min(deadline, loop.now + configuration.replyTimeout)
    while true {
      do throws(SMTPParseError) {
        if case .reply(let reply) = try parser.read(&connection.buffer) { return session.received(reply) }
      } catch {
        return session.ended("the server does not speak SMTP: \(error)")
      }
      do throws(SocketError) {
        if try await connection.read(deadline: limit) == false {
          return session.ended("the server closed the connection")
        }
      } catch {
        return session.ended(reason(error))
      }
    }
  }

  private func reason(_ error: SocketError) -> String {
    Task.isCancelled ? "cancelled" : "\(error)"
  }
}
