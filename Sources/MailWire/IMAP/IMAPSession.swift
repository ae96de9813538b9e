/// A client's side of one IMAP session: from the greeting to the login, then one command at a time.
///
/// Pure: responses go in, actions come out. The driver writes what it is told to, hands on what is
/// delivered, and closes when it is told that the session failed.
package struct IMAPSession: Sendable {
  package enum Action: Sendable, Equatable {
    case write([UInt8])
    /// Run the handshake, then call `tlsStarted`. Bytes that came before it are an attack.
    case startTLS
    /// Logged in: commands may begin.
    case established
    /// Something that the server tells: the answer's data, or news.
    case deliver(IMAPResponse)
    /// The server waits until `finishIdle`.
    case idling
    /// The command ended.
    case completed(IMAPStatus)
    /// Close the connection; nothing follows.
    case failed(IMAPFailure)
  }

  /// What we wait for.
  enum State: Sendable, Equatable {
    case greeting
    /// The answer to a step of the set-up.
    case setUp(Step, tag: String)
    case tls
    case ready
    /// The rest of a command waits for the server's leave, or its completion is awaited.
    case command(IMAPCommand, tag: String, pieces: [[UInt8]])
    case idle(tag: String)
    /// DONE is said.
    case leavingIdle(tag: String)
    case ended
  }

  enum Step: Sendable, Equatable {
    case capability
    case startTLS
    /// The first answer goes with the server's leave when it is not sent yet.
    case authenticate(isAnswered: Bool)
    case login(pieces: [[UInt8]])
    case capabilityAfterLogin
    case enable
  }

  let security: MailSecurity
  let credentials: MailCredentials
  var state = State.greeting
  var isSecure: Bool
  private var lastTag = 0
  package internal(set) var capabilities = IMAPCapabilities()
  package internal(set) var selection: IMAPSelection?
  /// VANISHED stands for EXPUNGE (RFC 7162).
  package internal(set) var hasQResync = false

  package init(security: MailSecurity, credentials: MailCredentials) {
    self.security = security
    self.credentials = credentials
    isSecure = security == .implicitTLS
  }

  package var isReady: Bool { state == .ready }

  mutating func nextTag() -> String {
    lastTag += 1
    return "A\(lastTag)"
  }

  // MARK: Events

  /// Begins a command.
  /// - Precondition: `isReady`; anything else is our bug.
  package mutating func begin(_ command: IMAPCommand) -> [Action] {
    precondition(state == .ready, "an IMAP command was begun while another one is open")
    let tag = nextTag()
    if case .select(let mailbox, _) = command { selection = IMAPSelection(mailbox: mailbox) }
    var pieces = IMAPCommandWriter.encode(
      command, tag: tag, capabilities: capabilities, hasQResync: hasQResync
    ).pieces
    let first = pieces.removeFirst()
    state = .command(command, tag: tag, pieces: pieces)
    return [.write(first)]
  }

  /// Ends an IDLE; its completion follows. Nothing to do when none is on.
  package mutating func finishIdle() -> [Action] {
    guard case .idle(let tag) = state else { return [] }
    state = .leavingIdle(tag: tag)
    return [.write(Array("DONE\r\n".utf8))]
  }

  /// The server closed the connection.
  package mutating func ended() -> [Action] {
    guard state != .ended else { return [] }
    if case .command(.logout, _, _) = state {
      state = .ended
      return [.completed(IMAPStatus(.bye))]
    }
    return fail(.connection("the server closed the connection"))
  }

  package mutating func received(_ response: IMAPResponse) -> [Action] {
    switch state {
    case .greeting: return greeted(response)
    case .setUp(let step, let tag): return setUp(step, tag, response)
    case .command(let command, let tag, let pieces): return answered(command, tag, pieces, response)
    case .idle(let tag), .leavingIdle(let tag): return idled(tag, response)
    case .ready: return told(response)
    case .tls: return fail(.unexpected("a response before the TLS handshake"))
    case .ended: return []
    }
  }

  // MARK: Commands

  private mutating func answered(
    _ command: IMAPCommand, _ tag: String, _ pieces: [[UInt8]], _ response: IMAPResponse
  ) -> [Action] {
    switch response {
    case .continuation:
      if command == .idle {
        state = .idle(tag: tag)
        return [.idling]
      }
      guard let next = pieces.first else { return fail(.unexpected("a continuation")) }
      state = .command(command, tag: tag, pieces: Array(pieces.dropFirst()))
      return [.write(next)]
    case .completion(let answeredTag, let status):
      guard answeredTag == tag else { return fail(.unexpected("the tag \(answeredTag)")) }
      return completed(command, status, response)
    default:
      if command == .logout, case .status(let status) = response, status.condition == .bye { return [] }
      return told(response)
    }
  }

  private mutating func completed(
    _ command: IMAPCommand, _ status: IMAPStatus, _ response: IMAPResponse
  ) -> [Action] {
    state = command == .logout ? .ended : .ready
    if case .select = command, status.condition != .ok { selection = nil }
    selection?.apply(response)
    return [.completed(status)]
  }

  private mutating func idled(_ tag: String, _ response: IMAPResponse) -> [Action] {
    guard case .completion(let answered, let status) = response else {
      if case .continuation = response { return [] }
      return told(response)
    }
    guard answered == tag else { return fail(.unexpected("the tag \(answered)")) }
    state = .ready
    return [.completed(status)]
  }

  /// Data, or news that no command asked for.
  private mutating func told(_ response: IMAPResponse) -> [Action] {
    switch response {
    case .status(let status) where status.condition == .bye: return fail(.unavailable(status.text))
    case .completion(let tag, _): return fail(.unexpected("the tag \(tag)"))
    case .continuation: return fail(.unexpected("a continuation"))
    case .capability(let new): capabilities = new
    case .status(let status):
      if case .capability(let new)? = status.code { capabilities = new }
    default: break
    }
    selection?.apply(response)
    return [.deliver(response)]
  }

  mutating func fail(_ failure: IMAPFailure) -> [Action] {
    state = .ended
    return [.failed(failure)]
  }
}
