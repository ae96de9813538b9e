/// Why a session, or one command of it, came to nothing.
package enum IMAPFailure: Error, Sendable, Equatable {
  /// The server knows neither the user nor the secret: asking again with the same is useless.
  case credentials(String)
  /// The server is there and cannot now: too many connections, maintenance, a BYE.
  case unavailable(String)
  /// The server does not offer what is needed: STARTTLS, or a way to log in that we have.
  case unsupported(String)
  /// One command was refused; the session goes on.
  case refused(IMAPStatus)
  /// The mailbox was made anew: what is known of its messages is void.
  case uidValidityChanged(now: UInt32)
  /// The server does not speak the protocol.
  case malformed(IMAPParseError)
  case unexpected(String)
  /// The connection ended, or could not be made.
  case connection(String)
  case timedOut
  case cancelled
}

extension IMAPFailure {
  /// What a refused login means. Servers that only count connections or are in trouble say so in a code,
  /// or at least in their words.
  static func login(_ status: IMAPStatus) -> IMAPFailure {
    switch status.code {
    case .unavailable, .inUse, .limit, .serverBug, .overQuota: return .unavailable(status.text)
    default: break
    }
    let text = status.text.lowercased()
    let isLoad = ["too many", "try again later", "temporar"].contains { text.contains($0) }
    return status.code != .authenticationFailed && isLoad
      ? .unavailable(status.text) : .credentials(status.text)
  }
}
