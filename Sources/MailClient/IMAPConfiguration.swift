package import Bytes
package import MailWire

/// What one mailbox connection needs, with its limits.
package struct IMAPConfiguration: Sendable {
  package var server: MailServer
  package var credentials: MailCredentials
  /// Between two pieces of an answer.
  package var answerTimeout: Duration = .seconds(60)
  /// For a whole command: a page of mail over a slow line.
  package var commandTimeout: Duration = .seconds(600)
  /// How long one IDLE lasts. Servers may end one after 29 minutes (RFC 2177); shorter finds out sooner
  /// that a connection is dead.
  package var idleRenewal: Duration = .seconds(600)
  /// How often a server without IDLE is asked.
  package var pollInterval: Duration = .seconds(30)
  /// A larger mail is fetched as its header alone.
  package var mailBytesMax = 25 << 20
  package var headerBytesMax = 256 << 10
  /// One page of mail.
  package var pageMailsMax = 50
  package var pageBytesMax = 32 << 20
  /// Messages whose flags one call may tell of.
  package var flagChangesMax = 200_000

  package init(server: MailServer, credentials: MailCredentials) {
    self.server = server
    self.credentials = credentials
  }

  var parserLimits: IMAPLimits {
    var limits = IMAPLimits()
    limits.literalBytesMax = max(mailBytesMax, headerBytesMax) + 1
    limits.literalBytesTotalMax = limits.literalBytesMax + headerBytesMax
    return limits
  }
}

/// Everything up to `uid` is known, as long as the mailbox keeps its `uidValidity`.
package struct MailCursor: Sendable, Equatable {
  package var uidValidity: UInt32
  package var uid: UInt32

  package init(uidValidity: UInt32, uid: UInt32) {
    self.uidValidity = uidValidity
    self.uid = uid
  }
}

/// A mailbox when it was selected.
package struct MailboxState: Sendable, Equatable {
  /// Changes when the mailbox is made anew: what is known of its messages is void then.
  package var uidValidity: UInt32
  /// Every message that comes has this UID or a higher one.
  package var uidNext: UInt32
  /// nil: the server keeps no mod-sequences, see `IMAPClient.flagChanges`.
  package var highestModSeq: UInt64?
  package var exists: UInt32

  /// Before the first message.
  package var start: MailCursor { MailCursor(uidValidity: uidValidity, uid: 0) }
  /// Behind the last message: only what comes from now on.
  package var end: MailCursor { MailCursor(uidValidity: uidValidity, uid: uidNext > 0 ? uidNext - 1 : 0) }
}

/// One message of a mailbox.
package struct FetchedMail: Sendable, Equatable {
  package enum Content: Sendable, Equatable {
    /// RFC 5322 bytes.
    case whole([UInt8])
    /// Larger than `IMAPConfiguration.mailBytesMax`: its header.
    case headerOnly([UInt8])
    /// The server lists it and does not give it out.
    case missing
  }

  package var uid: UInt32
  package var flags: [String]
  package var internalDate: Timestamp?
  package var size: UInt64
  package var modSeq: UInt64?
  package var content: Content
}

/// Some of the messages behind a cursor, by rising UID.
package struct MailPage: Sendable, Equatable {
  package var mails: [FetchedMail]
  /// From here the next page goes on, once this one is kept.
  package var cursor: MailCursor
  /// There was nothing more.
  package var isLast: Bool
}

/// What became of messages that are known.
package struct FlagChanges: Sendable, Equatable {
  package struct Flags: Sendable, Equatable {
    package var uid: UInt32
    package var flags: [String]
    package var modSeq: UInt64?
  }

  package var flags: [Flags] = []
  /// Removed since; told by servers with QRESYNC only.
  package var vanished = IMAPNumberSet()
  /// Ask with this the next time.
  package var modSeq: UInt64?
}

/// What a server told of the selected mailbox since it was last asked for.
package struct MailboxChanges: Sendable, Equatable {
  package var hasNewMail = false
  package var hasRemovals = false
  package var hasFlagChanges = false

  package init() {}

  package var isEmpty: Bool { !hasNewMail && !hasRemovals && !hasFlagChanges }
}
