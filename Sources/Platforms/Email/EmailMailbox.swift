import MailWire

/// The credentials of a mailbox account: where its servers are, and how to log in.
struct EmailMailbox {
  static let nameField = "name"
  static let imapHostField = "imapHost"
  static let imapPortField = "imapPort"
  static let imapSecurityField = "imapSecurity"
  static let smtpHostField = "smtpHost"
  static let smtpPortField = "smtpPort"
  static let smtpSecurityField = "smtpSecurity"
  static let userField = "username"
  static let passwordField = "password"
  static let mailboxField = "mailbox"
  static let sentField = "sentMailbox"
  static let sentCopyField = "sentCopy"
  static let tokenURLField = "tokenURL"
  static let clientField = "clientId"
  static let clientSecretField = "clientSecret"
  static let refreshField = "refreshToken"

  static let credentials: [CredentialField] = [
    CredentialField(
      EmailAccount.addressField,
      "The account's own mail address; several as a list. Mail is sent from the first.", isSecret: false,
      isRequired: true, isGenerated: false),
    optional(nameField, "The name that goes with the address."),
    CredentialField(
      imapHostField, "The IMAP server.", isSecret: false, isRequired: true, isGenerated: false),
    optional(imapPortField, "Its port; 993, or 143 with starttls."),
    optional(imapSecurityField, "tls, starttls, or none for a server on the same machine; tls."),
    optional(smtpHostField, "The SMTP server; needed to send."),
    optional(smtpPortField, "Its port; 465, or 587 with starttls."),
    optional(
      smtpSecurityField, "tls, starttls, or none for a server on the same machine, without a login; tls."),
    optional(userField, "Who logs in; the first address."),
    optional(passwordField, "The password; an app password where there is a second factor.", isSecret: true),
    optional(mailboxField, "The mailbox that is read; INBOX."),
    optional(sentField, "The mailbox of sent mail: what others send for the account is read from it."),
    optional(
      sentCopyField,
      "append: the hub puts what it sends into sentMailbox; server (default): the server does."),
    optional(tokenURLField, "Where OAuth 2.0 access tokens are had, instead of a password."),
    optional(clientField, "The OAuth client's id."),
    optional(clientSecretField, "The OAuth client's secret.", isSecret: true),
    optional(refreshField, "The OAuth refresh token, with the scopes of IMAP and SMTP.", isSecret: true),
  ]

  private static func optional(
    _ name: String, _ explanation: String, isSecret: Bool = false
  ) -> CredentialField {
    CredentialField(name, explanation, isSecret: isSecret, isRequired: false, isGenerated: false)
  }

  let secrets: AccountSecrets

  /// The address that mail is sent from.
  var address: String? { secrets.first(EmailAccount.addressField) }

  var hasGrant: Bool { secrets.first(Self.refreshField) != nil }

  func access(token: String?) -> MailboxAccess? {
    guard let address, case .success(let incoming) = incoming(), case .success(let outgoing) = outgoing()
    else { return nil }
    let user = secrets.first(Self.userField) ?? address
    let credentials: MailCredentials
    if hasGrant {
      guard let token else { return nil }
      credentials = MailCredentials(user: user, accessToken: token)
    } else {
      guard let password = secrets.first(Self.passwordField) else { return nil }
      credentials = MailCredentials(user: user, password: password)
    }
    return MailboxAccess(
      incoming: incoming, outgoing: outgoing, credentials: credentials, hasToken: hasGrant,
      inbox: secrets.first(Self.mailboxField) ?? "INBOX", sent: secrets.first(Self.sentField),
      savesSent: secrets.first(Self.sentCopyField) == "append")
  }

  // MARK: Faults

  /// Words for people.
  private struct Fault: Error {
    let text: String
  }

  /// What is wrong; nil: nothing.
  var fault: String? {
    guard let address else { return "\(EmailAccount.addressField) is missing" }
    for address in secrets[EmailAccount.addressField] where !MailAddress.isSayable(address) {
      return "\(EmailAccount.addressField) is no mail address"
    }
    if !hasGrant, secrets.first(Self.passwordField) == nil {
      return "\(Self.passwordField) or \(Self.refreshField) is missing"
    }
    if hasGrant, secrets.first(Self.tokenURLField) == nil || secrets.first(Self.clientField) == nil {
      return "\(Self.refreshField) needs \(Self.tokenURLField) and \(Self.clientField)"
    }
    if let copy = secrets.first(Self.sentCopyField) {
      guard ["append", "server"].contains(copy) else { return "\(Self.sentCopyField) is append or server" }
      if copy == "append", secrets.first(Self.sentField) == nil {
        return "\(Self.sentCopyField) needs \(Self.sentField)"
      }
    }
    if case .failure(let fault) = incoming() { return fault.text }
    if case .failure(let fault) = outgoing() { return fault.text }
    return address.isEmpty ? "\(EmailAccount.addressField) is empty" : nil
  }

  private func incoming() -> Result<MailboxAccess.Server, Fault> {
    server(
      Self.imapHostField, Self.imapPortField, Self.imapSecurityField, implicit: 993, plain: 143
    ).flatMap { $0.map { .success($0) } ?? .failure(Fault(text: "\(Self.imapHostField) is missing")) }
  }

  private func outgoing() -> Result<MailboxAccess.Server?, Fault> {
    server(Self.smtpHostField, Self.smtpPortField, Self.smtpSecurityField, implicit: 465, plain: 587)
  }

  private func server(
    _ hostField: String, _ portField: String, _ securityField: String, implicit: UInt16, plain: UInt16
  ) -> Result<MailboxAccess.Server?, Fault> {
    guard let host = secrets.first(hostField) else { return .success(nil) }
    let security: MailSecurity
    switch secrets.first(securityField) ?? "tls" {
    case "tls": security = .implicitTLS
    case "starttls": security = .startTLS
    case "none":
      guard Self.isLoopback(host) else {
        return .failure(Fault(text: "\(securityField) may be none only for a server on the same machine"))
      }
      security = .none
    default: return .failure(Fault(text: "\(securityField) is tls, starttls or none"))
    }
    var port = security == .implicitTLS ? implicit : plain
    if let text = secrets.first(portField) {
      guard let number = UInt16(text), number > 0 else {
        return .failure(Fault(text: "\(portField) is no port"))
      }
      port = number
    }
    return .success(MailboxAccess.Server(host: host, port: port, security: security))
  }

  private static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }
}
