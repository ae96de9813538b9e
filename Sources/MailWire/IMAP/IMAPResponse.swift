package import Bytes

/// The five words that begin a status (RFC 9051 section 7.1).
package enum IMAPCondition: String, Sendable, Equatable {
  case ok = "OK"
  case no = "NO"
  case bad = "BAD"
  case bye = "BYE"
  case preauth = "PREAUTH"

  init?(bytes: some Collection<UInt8>) {
    self.init(rawValue: String(decoding: bytes, as: UTF8.self).uppercased())
  }
}

/// What stands in brackets before a status text. Servers invent codes; those come as `other`.
package enum IMAPResponseCode: Sendable, Equatable {
  case alert
  case capability(IMAPCapabilities)
  case uidValidity(UInt32)
  case uidNext(UInt32)
  case highestModSeq(UInt64)
  /// The mailbox keeps no mod-sequences.
  case noModSeq
  case unseen(UInt32)
  case permanentFlags([String])
  case readOnly
  case readWrite
  case tryCreate
  /// RFC 4315: where an appended message stands.
  case appendUID(uidValidity: UInt32, uids: IMAPNumberSet)
  case copyUID(uidValidity: UInt32, source: IMAPNumberSet, destination: IMAPNumberSet)
  case authenticationFailed
  case authorizationFailed
  case expired
  case privacyRequired
  case contactAdmin
  case unavailable
  case inUse
  case limit
  case overQuota
  case serverBug
  case noPermission
  case nonExistent
  case alreadyExists
  case other(String)
}

/// A condition with its code and its text for people.
package struct IMAPStatus: Sendable, Equatable {
  package var condition: IMAPCondition
  package var code: IMAPResponseCode?
  package var text: String

  package init(_ condition: IMAPCondition, code: IMAPResponseCode? = nil, text: String = "") {
    self.condition = condition
    self.code = code
    self.text = text
  }
}

/// What a server offers, in upper case.
package struct IMAPCapabilities: Sendable, Equatable {
  package var names: Set<String>

  package init(_ names: Set<String> = []) {
    self.names = names
  }

  package func contains(_ name: String) -> Bool { names.contains(name) }

  package var condStore: Bool { contains("CONDSTORE") || contains("QRESYNC") }
  package var extendedSearch: Bool { contains("ESEARCH") || contains("IMAP4REV2") }
  package var idle: Bool { contains("IDLE") || contains("IMAP4REV2") }
  package var enable: Bool { contains("ENABLE") || contains("IMAP4REV2") }
  /// The first answer may stand in the AUTHENTICATE line itself.
  package var initialResponse: Bool { contains("SASL-IR") || contains("IMAP4REV2") }

  /// The largest literal that may be sent without waiting for leave; nil for none.
  package var literalWithoutLeaveBytesMax: Int? {
    if contains("LITERAL+") { return .max }
    return contains("LITERAL-") || contains("IMAP4REV2") ? 4_096 : nil
  }

  /// A server of revision 2 alone has mailbox names in UTF-8.
  package var namesAreUTF8: Bool { contains("IMAP4REV2") && !contains("IMAP4REV1") }
}

/// One mailbox of a LIST answer.
package struct IMAPMailbox: Sendable, Equatable {
  /// The name as people know it.
  package var name: String
  /// As the server writes it: `\Sent`, `\Noselect`.
  package var attributes: [String]
  /// Between the levels of a name; nil when there are none.
  package var delimiter: String?

  package func has(_ attribute: String) -> Bool {
    attributes.contains { $0.lowercased() == attribute.lowercased() }
  }
}

/// What a FETCH answer says of one message. Only what was asked for, or what changed, is there.
package struct IMAPFetch: Sendable, Equatable {
  /// One `BODY[...]` item.
  package struct Section: Sendable, Equatable {
    /// What stood in the brackets: empty for the whole message, `HEADER`.
    package var name: String
    /// The first byte's place, for a partial answer.
    package var origin: UInt64?
    /// nil: the server has none (`NIL`).
    package var bytes: [UInt8]?
  }

  package var sequence: UInt32
  package var uid: UInt32?
  package var flags: [String]?
  package var internalDate: Timestamp?
  package var size: UInt64?
  package var modSeq: UInt64?
  package var sections: [Section] = []
}

/// One answer of a server (RFC 9051 section 7).
package enum IMAPResponse: Sendable, Equatable {
  /// A status without a tag: the greeting, news, BYE.
  case status(IMAPStatus)
  /// The end of a command.
  case completion(tag: String, IMAPStatus)
  /// `+`: the server waits for us.
  case continuation(String)
  case capability(IMAPCapabilities)
  case enabled(Set<String>)
  case mailbox(IMAPMailbox)
  case mailboxStatus(name: String, values: [String: UInt64])
  /// SEARCH and ESEARCH alike.
  case found(IMAPNumberSet, modSeq: UInt64?)
  case flags([String])
  case exists(UInt32)
  case recent(UInt32)
  /// By sequence number.
  case expunge(UInt32)
  /// By UID (RFC 7162); `earlier` tells of the past and moves no sequence number.
  case vanished(IMAPNumberSet, earlier: Bool)
  case fetch(IMAPFetch)
  /// Well formed, and nothing that a client here asks for.
  case other(String)
}
