import Bytes

/// What a session needs to know beside the message.
package struct SMTPSessionConfiguration: Sendable {
  package var security: MailSecurity
  /// nil: the server asks for none.
  package var credentials: MailCredentials?
  /// What we call ourselves in EHLO: a host name, or an address as `[127.0.0.1]`.
  package var clientName: String

  package init(security: MailSecurity, credentials: MailCredentials?, clientName: String) {
    self.security = security
    self.credentials = credentials
    // It may hold no space and no line end, whoever configured it.
    self.clientName = clientName.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-.[]:".contains($0)) }
    if self.clientName.isEmpty { self.clientName = "localhost" }
  }
}

// AUTH (RFC 4954): PLAIN, LOGIN and XOAUTH2.
extension SMTPSession {
  mutating func logIn() -> [Action] {
    guard let credentials = configuration.credentials else { return sender() }
    guard credentials.isSayable else {
      return fail(
        .credentials(SMTPRefusal(.unsayable, SMTPReply(535, ["a control character in the credentials"]))))
    }
    if extensions.mechanisms.contains(credentials.mechanism) {
      state = .login(answers: [])
      return say("AUTH \(credentials.mechanism) \(credentials.initialResponse)")
    }
    if !credentials.isToken, extensions.mechanisms.contains("LOGIN") {
      state = .login(answers: [credentials.user, credentials.secret])
      return say("AUTH LOGIN")
    }
    let reply = SMTPReply(504, ["the server offers no AUTH \(credentials.mechanism)"])
    return fail(.credentials(SMTPRefusal(.unsayable, reply)))
  }

  mutating func loginAnswered(_ reply: SMTPReply, _ answers: [String]) -> [Action] {
    if reply.code == 334 {
      // XOAUTH2 tells what is wrong with the token here and waits for an empty line before its refusal.
      guard let next = answers.first else { return say("") }
      state = .login(answers: Array(answers.dropFirst()))
      return say(Base64.encode(Array(next.utf8)))
    }
    guard reply.isPositive else { return refused(.login, reply) }
    return sender()
  }
}
