package import EventLoop
package import MailWire

/// Where a mail server is, and how it is spoken to.
package struct MailServer: Sendable {
  /// A name or a numeric address.
  package var host: String
  package var port: UInt16
  package var security: MailSecurity
  /// Whom to trust; needed unless `security` is `.none`.
  package var tls: TLSContext?
  /// The name that the certificate must be for; `host` when nil.
  package var certificateName: String?
  /// For the connection, the handshake and the login together.
  package var connectTimeout: Duration = .seconds(30)

  package init(host: String, port: UInt16, security: MailSecurity, tls: TLSContext?) {
    self.host = host
    self.port = port
    self.security = security
    self.tls = tls
  }
}
