package import Bytes

/// A file that goes with a message.
package struct MailAttachment: Sendable, Equatable {
  package var name: String
  /// `image/png`; what is not a media type is sent as plain bytes.
  package var mediaType: String
  package var bytes: [UInt8]

  package init(name: String, mediaType: String, bytes: [UInt8]) {
    self.name = name
    self.mediaType = mediaType
    self.bytes = bytes
  }
}

/// What somebody wants to say by mail. `MailWriter` makes a message of it.
package struct MailDraft: Sendable, Equatable {
  package var from: MailAddress
  package var replyTo: MailAddress?
  package var to: [MailAddress] = []
  package var cc: [MailAddress] = []
  package var subject = ""
  package var text = ""
  package var html: String?
  package var attachments: [MailAttachment] = []
  /// `unique@domain`, without angle brackets. The same for every try to send the same message.
  package var messageID: String
  /// The message that is answered, and those before it; ids that are none are left out.
  package var inReplyTo: String?
  package var references: [String] = []
  package var date: Timestamp
  /// Written by a machine: other machines do not answer it (RFC 3834).
  package var isAutomatic = false

  package init(from: MailAddress, messageID: String, date: Timestamp) {
    self.from = from
    self.messageID = messageID
    self.date = date
  }

  /// Everybody who gets it. Who is to get it unseen is added to the envelope only.
  package var envelope: SMTPEnvelope {
    SMTPEnvelope(sender: from.address, recipients: (to + cc).map(\.address))
  }
}

/// Why a draft is no message.
package enum MailDraftError: Error, Sendable, Equatable {
  case addressMalformed(String)
  case messageIDMalformed(String)
}

/// A message as it is sent and kept.
package struct WrittenMail: Sendable, Equatable {
  package var bytes: [UInt8]
  /// There are bytes above 127: 8-bit text, or addresses outside ASCII.
  package var is8Bit: Bool
}
