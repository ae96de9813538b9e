/// A server's "no", and to what.
package struct SMTPRefusal: Sendable, Equatable {
  /// The step that was refused.
  package enum Step: String, Sendable, Equatable {
    case greeting, hello, startTLS, login, sender, recipient, data, message
    /// Refused before it was said: the server would not take it.
    case unsayable
  }

  package var step: Step
  package var reply: SMTPReply
  /// The recipient it is about.
  package var recipient: String?

  package init(_ step: Step, _ reply: SMTPReply, recipient: String? = nil) {
    self.step = step
    self.reply = reply
    self.recipient = recipient
  }
}

/// Why a message was not sent, or may not have been. What to do follows from the case alone.
package enum SMTPFailure: Error, Sendable, Equatable {
  /// No server has the message; sending again is safe. The connection could not be made, or it broke before
  /// the message's end was written.
  case notSent(String)
  /// The server said "later" (4yz); sending again is safe.
  case temporary(SMTPRefusal)
  /// The server said "never" (5yz): the same message will be refused again.
  case permanent(SMTPRefusal)
  /// The login was refused; nothing was sent.
  case credentials(SMTPRefusal)
  /// The message's end was written and no answer came: it may be on its way or not. Sending again may
  /// deliver it twice.
  case unknown(String)

  /// Sorts a refusal (RFC 5321 section 4.2.1, RFC 4954 section 6, RFC 3463).
  static func of(_ refusal: SMTPRefusal) -> SMTPFailure {
    let reply = refusal.reply
    // A service that closes says so whatever was asked.
    if reply.code == 421 { return .temporary(refusal) }
    if reply.code == 530 { return .credentials(refusal) }
    if refusal.step == .login {
      if [534, 535, 538, 432].contains(reply.code) { return .credentials(refusal) }
      if let code = reply.enhancedCode, code.statusClass == 5, code.subject == 7 {
        return .credentials(refusal)
      }
    }
    // RFC 5321 section 4.5.3.1.10: here 552 means "too many recipients", and is a "later".
    if refusal.step == .recipient, reply.code == 552, reply.enhancedCode == nil { return .temporary(refusal) }
    return (400..<500).contains(reply.code) ? .temporary(refusal) : .permanent(refusal)
  }
}
