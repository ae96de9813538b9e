/// A client's side of one SMTP session that sends one message: greeting, EHLO, STARTTLS, login, envelope,
/// DATA, QUIT.
///
/// Pure: replies go in, actions come out. The message goes to all of its recipients or to none: when one is
/// refused nothing is sent, so that a second try can never reach somebody twice.
package struct SMTPSession: Sendable {
  package enum Action: Sendable, Equatable {
    case write([UInt8])
    /// Run the handshake, then call `tlsStarted`. Bytes that came before it are an attack.
    case startTLS
    /// Write the message, call `messageEnds`, and write what that returns.
    case writeMessage
    /// The server has the message and answers for it. Nothing that follows changes that.
    case accepted(SMTPReply)
    case failed(SMTPFailure)
    /// QUIT is answered or needless.
    case close
  }

  /// What we wait for.
  enum State: Sendable, Equatable {
    case greeting
    case hello
    case plainHello
    case startTLS
    case tls
    case login(answers: [String])
    case sender
    case recipient(Int)
    case data
    /// The message is being written.
    case writing
    /// The end is written: from here on silence means that nobody knows.
    case verdict
    case quit
    case ended
  }

  let configuration: SMTPSessionConfiguration
  let envelope: SMTPEnvelope
  /// The message, for SIZE and 8BITMIME.
  let messageBytes: Int
  let is8Bit: Bool
  var state = State.greeting
  var isSecure: Bool
  package internal(set) var extensions = SMTPExtensions()

  /// - Parameter is8Bit: the message has bytes above 127.
  package init(
    _ configuration: SMTPSessionConfiguration, envelope: SMTPEnvelope, messageBytes: Int, is8Bit: Bool
  ) {
    self.configuration = configuration
    self.envelope = envelope
    self.messageBytes = messageBytes
    self.is8Bit = is8Bit
    isSecure = configuration.security == .implicitTLS
  }

  /// The end is written and no answer has come.
  package var isInDoubt: Bool { state == .verdict }

  // MARK: Events

  package mutating func received(_ reply: SMTPReply) -> [Action] {
    switch state {
    case .greeting: return reply.code == 220 ? hello() : refused(.greeting, reply)
    case .hello, .plainHello: return helloAnswered(reply)
    case .startTLS:
      guard reply.code == 220 else { return refused(.startTLS, reply) }
      state = .tls
      return [.startTLS]
    case .login(let answers): return loginAnswered(reply, answers)
    case .sender: return reply.isPositive ? recipient(0) : refused(.sender, reply)
    case .recipient(let index):
      guard reply.isPositive else { return refused(.recipient, reply, envelope.recipients[index]) }
      return recipient(index + 1)
    case .data:
      guard reply.code == 354 else { return refused(.data, reply) }
      state = .writing
      return [.writeMessage]
    case .writing: return refused(.message, reply)
    case .verdict:
      guard reply.isPositive else { return refused(.message, reply) }
      state = .quit
      return [.accepted(reply), .write(Array("QUIT\r\n".utf8))]
    case .quit:
      state = .ended
      return [.close]
    case .tls: return fail(.notSent("a reply before the TLS handshake"))
    case .ended: return []
    }
  }

  /// The handshake is done; what was said before it is forgotten (RFC 3207 section 4.2).
  package mutating func tlsStarted() -> [Action] {
    guard state == .tls else { return [] }
    isSecure = true
    extensions = SMTPExtensions()
    return hello()
  }

  /// The message is written but for its end. Call before the first byte of the end is handed on.
  package mutating func messageEnds() {
    if state == .writing { state = .verdict }
  }

  /// The connection is gone, or gave no answer in time.
  package mutating func ended(_ reason: String) -> [Action] {
    switch state {
    case .ended: return []
    case .quit:
      state = .ended
      return [.close]
    case .verdict: return fail(.unknown(reason))
    default: return fail(.notSent(reason))
    }
  }

  // MARK: Steps

  private mutating func hello() -> [Action] {
    state = .hello
    return say("EHLO \(configuration.clientName)")
  }

  private mutating func helloAnswered(_ reply: SMTPReply) -> [Action] {
    guard reply.isPositive else {
      // A server of the oldest kind; it has neither TLS nor a login.
      let mayBePlain = state == .hello && configuration.security == .none && configuration.credentials == nil
      guard mayBePlain, [500, 502].contains(reply.code) else { return refused(.hello, reply) }
      state = .plainHello
      return say("HELO \(configuration.clientName)")
    }
    extensions = state == .hello ? SMTPExtensions(reply) : SMTPExtensions()
    if configuration.security == .startTLS && !isSecure {
      guard extensions.names.contains("STARTTLS") else {
        return fail(.notSent("the server offers no STARTTLS"))
      }
      state = .startTLS
      return say("STARTTLS")
    }
    return logIn()
  }

  mutating func sender() -> [Action] {
    if let refusal = unsayable() { return fail(.permanent(refusal)) }
    var line = "MAIL FROM:<\(envelope.sender)>"
    if extensions.names.contains("SIZE") { line += " SIZE=\(messageBytes)" }
    if is8Bit { line += " BODY=8BITMIME" }
    if envelope.needsUTF8 { line += " SMTPUTF8" }
    if envelope.wantsFailureReports, extensions.names.contains("DSN") { line += " RET=HDRS" }
    state = .sender
    return say(line)
  }

  private mutating func recipient(_ index: Int) -> [Action] {
    guard index < envelope.recipients.count else {
      state = .data
      return say("DATA")
    }
    let reports =
      envelope.wantsFailureReports && extensions.names.contains("DSN") ? " NOTIFY=FAILURE,DELAY" : ""
    state = .recipient(index)
    return say("RCPT TO:<\(envelope.recipients[index])>\(reports)")
  }

  /// What this server would not take, found before it is said.
  private func unsayable() -> SMTPRefusal? {
    func refusal(_ code: Int, _ text: String) -> SMTPRefusal {
      SMTPRefusal(.unsayable, SMTPReply(code, [text]))
    }
    if envelope.recipients.isEmpty { return refusal(554, "5.5.1 there is no recipient") }
    if let address = envelope.unsayable {
      return refusal(553, "5.1.3 not an address: \(address.debugDescription)")
    }
    if let most = extensions.sizeMax, messageBytes > most {
      return refusal(552, "5.3.4 the message has \(messageBytes) bytes, the server takes \(most)")
    }
    if is8Bit, !extensions.names.contains("8BITMIME") {
      return refusal(554, "5.6.3 the message has 8-bit text, the server takes 7-bit only")
    }
    if envelope.needsUTF8, !extensions.names.contains("SMTPUTF8") {
      return refusal(553, "5.6.7 the server takes ASCII addresses only")
    }
    return nil
  }

  func say(_ line: String) -> [Action] { [.write(Array("\(line)\r\n".utf8))] }

  mutating func refused(_ step: SMTPRefusal.Step, _ reply: SMTPReply, _ recipient: String? = nil) -> [Action]
  {
    fail(.of(SMTPRefusal(step, reply, recipient: recipient)))
  }

  mutating func fail(_ failure: SMTPFailure) -> [Action] {
    state = .ended
    return [.failed(failure)]
  }
}
