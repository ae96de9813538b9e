// From the greeting to the login.
extension IMAPSession {
  /// The handshake is done. What was said before it is forgotten (RFC 9051 section 6.2.1).
  package mutating func tlsStarted() -> [Action] {
    guard state == .tls else { return [] }
    isSecure = true
    capabilities = IMAPCapabilities()
    return ask(.capability, "CAPABILITY")
  }

  mutating func greeted(_ response: IMAPResponse) -> [Action] {
    guard case .status(let status) = response else { return fail(.unexpected("no greeting")) }
    if case .capability(let offered)? = status.code { capabilities = offered }
    switch status.condition {
    case .ok:
      return capabilities.names.isEmpty ? ask(.capability, "CAPABILITY") : logIn()
    case .preauth:
      // Somebody in between may say so to have TLS left out.
      guard security != .startTLS else { return fail(.unsupported("PREAUTH where STARTTLS is wanted")) }
      return ask(.capabilityAfterLogin, "CAPABILITY")
    case .bye: return fail(.unavailable(status.text))
    case .no, .bad: return fail(.unexpected("the greeting \(status.condition.rawValue)"))
    }
  }

  mutating func setUp(_ step: Step, _ tag: String, _ response: IMAPResponse) -> [Action] {
    switch response {
    case .continuation(let text): return goOn(step, tag, text)
    case .completion(let answered, let status):
      guard answered == tag else { return fail(.unexpected("the tag \(answered)")) }
      if case .capability(let offered)? = status.code { capabilities = offered }
      return ended(step, status)
    case .capability(let offered):
      capabilities = offered
      return []
    case .enabled(let names):
      hasQResync = names.contains("QRESYNC")
      return []
    case .status(let status):
      if status.condition == .bye { return fail(.unavailable(status.text)) }
      return []
    default: return []
    }
  }

  private mutating func ask(_ step: Step, _ words: String) -> [Action] {
    let tag = nextTag()
    state = .setUp(step, tag: tag)
    return [.write(Array("\(tag) \(words)\r\n".utf8))]
  }

  /// The server gives its leave.
  private mutating func goOn(_ step: Step, _ tag: String, _ text: String) -> [Action] {
    switch step {
    case .authenticate(isAnswered: false):
      state = .setUp(.authenticate(isAnswered: true), tag: tag)
      return [.write(Array("\(credentials.initialResponse)\r\n".utf8))]
    case .authenticate(isAnswered: true):
      // XOAUTH2 tells what is wrong with the token here and waits for an empty line before it says NO.
      return [.write(Array("\r\n".utf8))]
    case .login(let pieces):
      guard let next = pieces.first else { return fail(.unexpected("a continuation")) }
      state = .setUp(.login(pieces: Array(pieces.dropFirst())), tag: tag)
      return [.write(next)]
    case .capability, .startTLS, .capabilityAfterLogin, .enable: return fail(.unexpected("a continuation"))
    }
  }

  private mutating func ended(_ step: Step, _ status: IMAPStatus) -> [Action] {
    switch step {
    case .capability:
      guard status.condition == .ok else { return fail(.unexpected("CAPABILITY was refused")) }
      return logIn()
    case .startTLS:
      guard status.condition == .ok else { return fail(.unsupported("STARTTLS: \(status.text)")) }
      state = .tls
      return [.startTLS]
    case .authenticate, .login:
      guard status.condition == .ok else {
        return fail(status.condition == .bad ? .unexpected("login: \(status.text)") : .login(status))
      }
      // What the server offers after the login is told in its answer, or has to be asked for.
      if case .capability? = status.code { return enable() }
      return ask(.capabilityAfterLogin, "CAPABILITY")
    case .capabilityAfterLogin: return enable()
    case .enable:
      state = .ready
      return [.established]
    }
  }

  private mutating func logIn() -> [Action] {
    if security == .startTLS && !isSecure {
      guard capabilities.contains("STARTTLS") else { return fail(.unsupported("no STARTTLS")) }
      return ask(.startTLS, "STARTTLS")
    }
    guard credentials.isSayable else { return fail(.credentials("a control character in the credentials")) }
    if capabilities.contains("AUTH=\(credentials.mechanism)") { return authenticate() }
    guard !credentials.isToken else { return fail(.unsupported("no AUTH=XOAUTH2")) }
    guard !capabilities.contains("LOGINDISABLED") else { return fail(.unsupported("no way to log in")) }
    let tag = nextTag()
    var writer = IMAPCommandWriter(tag: tag, capabilities: capabilities)
    writer.word(" LOGIN ")
    writer.string(credentials.user)
    writer.word(" ")
    writer.string(credentials.secret)
    var pieces = writer.finish().pieces
    let first = pieces.removeFirst()
    state = .setUp(.login(pieces: pieces), tag: tag)
    return [.write(first)]
  }

  private mutating func authenticate() -> [Action] {
    guard capabilities.initialResponse else {
      return ask(.authenticate(isAnswered: false), "AUTHENTICATE \(credentials.mechanism)")
    }
    return ask(
      .authenticate(isAnswered: true), "AUTHENTICATE \(credentials.mechanism) \(credentials.initialResponse)")
  }

  /// Asks for what has to be switched on: VANISHED and mod-sequences.
  private mutating func enable() -> [Action] {
    let wanted = ["QRESYNC", "CONDSTORE"].first { capabilities.contains($0) }
    guard capabilities.enable, let wanted else {
      state = .ready
      return [.established]
    }
    return ask(.enable, "ENABLE \(wanted)")
  }
}
