package import Bytes
package import JSON

/// What a message is. Raw values are stored and shown to clients.
package enum MessageKind: String, Sendable, Hashable, CaseIterable {
  case text, image, video, audio, file, sticker, location, contact, call, poll
  /// Something that happened in the conversation rather than was said.
  case system
  /// A kind this version cannot read; `details.raw` has it whole, and replay upgrades it later.
  case unsupported
}

/// A file, or a place where a file can be fetched.
package struct Attachment: Sendable, Hashable {
  package enum Kind: String, Sendable, Hashable, CaseIterable {
    case image, video, audio, file, sticker
  }

  package var kind: Kind
  /// How an id begins that names a place in the delivery which brought the message.
  package static let partPrefix = "part:"

  /// The platform's id of the file; what fetches it.
  package var externalID: String?
  package var url: String?
  package var name: String?
  package var mimeType: String?
  package var sizeBytes: Int64?
  /// Pixels.
  package var width: Int?
  /// Pixels.
  package var height: Int?
  package var durationSeconds: Double?
  package var caption: String?

  package init(
    kind: Kind, externalID: String? = nil, url: String? = nil, name: String? = nil,
    mimeType: String? = nil, sizeBytes: Int64? = nil, width: Int? = nil, height: Int? = nil,
    durationSeconds: Double? = nil, caption: String? = nil
  ) {
    self.kind = kind
    self.externalID = externalID
    self.url = url
    self.name = name
    self.mimeType = mimeType
    self.sizeBytes = sizeBytes
    self.width = width
    self.height = height
    self.durationSeconds = durationSeconds
    self.caption = caption
  }

  /// The file came with the message, inside of the delivery.
  package var isPart: Bool { url == nil && externalID?.hasPrefix(Self.partPrefix) ?? false }
}

/// A message as a platform delivered it.
package struct InboundMessage: Sendable, Hashable {
  package enum Direction: String, Sendable, Hashable {
    /// From somebody else.
    case inbound
    /// From the account itself, sent by the hub or in the platform's own app.
    case outbound
  }

  package var conversation: ConversationRef
  /// The platform's id, unique within the conversation.
  package var externalID: String
  package var direction: Direction
  package var sender: Person
  package var kind: MessageKind
  /// nil when the message has none. Sanitised, at most `MessageText.bytesMax` bytes.
  package var text: String?
  package var attachments: [Attachment]
  /// The external id of the message that this one answers.
  package var replyTo: String?
  package var threadID: String?
  /// Messages of one album share it.
  package var albumID: String?
  /// What the other fields have no place for, by kind.
  package var details: JSONValue?
  package var sentAt: Timestamp
  /// The platform's own order among messages of one moment.
  package var order: Int64
  package var status: MessageStatus?
  /// What the account's user wrote, where the platform tells it in other words: by that the hub knows its own
  /// message again. nil: `text`. It is not kept.
  package var written: String?

  package init(
    conversation: ConversationRef, externalID: String, direction: Direction = .inbound, sender: Person,
    kind: MessageKind, text: String? = nil, attachments: [Attachment] = [], replyTo: String? = nil,
    threadID: String? = nil, albumID: String? = nil, details: JSONValue? = nil, sentAt: Timestamp,
    order: Int64 = 0, status: MessageStatus? = nil
  ) {
    self.conversation = conversation
    self.externalID = externalID
    self.direction = direction
    self.sender = sender
    self.kind = kind
    self.text = text
    self.attachments = attachments
    self.replyTo = replyTo
    self.threadID = threadID
    self.albumID = albumID
    self.details = details
    self.sentAt = sentAt
    self.order = order
    self.status = status
  }
}
