package import EventLoop
import MailClient
import MailWire
import Platforms

/// How mail servers are reached: whom is trusted, on which loop.
package struct MailboxConnector: Sendable {
  /// Bytes of mail that one connection holds ahead; a larger mail is held alone.
  private static let bytesAhead = 8 << 20

  package let tls: TLSContext
  package let loop: EventLoop
  package let blocking: BlockingPool

  package init(tls: TLSContext, loop: EventLoop, blocking: BlockingPool) {
    self.tls = tls
    self.loop = loop
    self.blocking = blocking
  }

  /// Call on the loop.
  func connect(
    _ access: MailboxAccess, mailsAtOnce: Int = 20
  ) async throws(IMAPFailure) -> IMAPClient {
    var configuration = IMAPConfiguration(server: server(access.incoming), credentials: access.credentials)
    configuration.pageMailsMax = mailsAtOnce
    configuration.pageBytesMax = Self.bytesAhead
    return try await IMAPClient.connect(configuration, on: loop, blocking: blocking)
  }

  func server(_ server: MailboxAccess.Server) -> MailServer {
    MailServer(host: server.host, port: server.port, security: server.security, tls: tls)
  }
}

/// What failures of mail servers mean for the hub.
enum MailFaults {
  private static let login =
    "check the user name and the password; where a second factor is asked for, give an app password"

  static func failure(_ failure: IMAPFailure, hasToken: Bool) -> APIFailure {
    switch failure {
    case .credentials(let words):
      APIFailure(
        "the IMAP server refused the login: \(words)", hasToken ? .renewToken : .credentials(action: login))
    case .unavailable(let words): later("the IMAP server cannot now: \(words)")
    case .unsupported(let words):
      APIFailure(
        "the IMAP server cannot do what is needed: \(words)",
        .credentials(action: "check imapSecurity, imapPort and how the account logs in"))
    case .refused(let status): later("the IMAP server refused: \(status.text)")
    case .uidValidityChanged: later("the mailbox was made anew")
    case .malformed(let error): later("the IMAP server does not speak IMAP: \(error)")
    case .unexpected(let words): later("the IMAP server is at odds with IMAP: \(words)")
    case .connection(let words): later("the IMAP server cannot be reached: \(words)")
    case .timedOut: later("the IMAP server does not answer")
    case .cancelled: later("it was stopped")
    }
  }

  static func failure(_ failure: SMTPFailure, hasToken: Bool) -> APIFailure {
    switch failure {
    case .notSent(let words): later("the SMTP server cannot be reached: \(words)")
    case .temporary(let refusal): later("the SMTP server said: \(words(refusal))")
    case .permanent(let refusal): APIFailure("the SMTP server said: \(words(refusal))")
    case .credentials(let refusal):
      APIFailure(
        "the SMTP server refused the login: \(words(refusal))",
        hasToken ? .renewToken : .credentials(action: login))
    case .unknown(let words): APIFailure("the SMTP server did not answer: \(words)", .unknown)
    }
  }

  private static func later(_ reason: String) -> APIFailure { APIFailure(reason, .later(seconds: nil)) }

  private static func words(_ refusal: SMTPRefusal) -> String {
    let about = refusal.recipient.map { " (\($0))" } ?? ""
    return "\(refusal.reply.code) \(refusal.reply.text)\(about)"
  }
}
