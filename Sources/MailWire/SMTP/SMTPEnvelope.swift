/// From whom a message goes to whom, as the servers see it; the headers are another matter.
package struct SMTPEnvelope: Sendable, Equatable {
  /// Empty for a message that must not be answered automatically.
  package var sender: String
  package var recipients: [String]
  /// Asks for a report when it cannot be delivered or is late, where the server offers that (RFC 3461).
  package var wantsFailureReports = false

  package init(sender: String, recipients: [String]) {
    self.sender = sender
    self.recipients = recipients
  }

  /// Addresses outside ASCII need SMTPUTF8 (RFC 6531).
  var needsUTF8: Bool { !([sender] + recipients).allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } } }

  /// The first address that cannot be said; nil when all can.
  var unsayable: String? {
    if !sender.isEmpty, !MailAddress.isSayable(sender) { return sender }
    return recipients.first { !MailAddress.isSayable($0) }
  }
}

/// What a server offers (EHLO), in upper case.
package struct SMTPExtensions: Sendable, Equatable {
  package var names: Set<String> = []
  package var mechanisms: Set<String> = []
  /// nil: it states no limit.
  package var sizeMax: Int?

  package init() {}

  /// From the answer to EHLO: its first line is the greeting.
  init(_ reply: SMTPReply) {
    for line in reply.lines.dropFirst() {
      let words = line.uppercased().split { $0 == " " || $0 == "=" }.map(String.init)
      guard let name = words.first else { continue }
      names.insert(name)
      if name == "AUTH" { mechanisms.formUnion(words.dropFirst()) }
      if name == "SIZE", words.count > 1, let size = Int(words[1]), size > 0 { sizeMax = size }
    }
  }
}
