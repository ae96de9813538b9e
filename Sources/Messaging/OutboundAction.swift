package import JSON

/// Something that a user wants to be done on a platform. Ids are the platform's.
package enum OutboundAction: Sendable, Hashable {
  case message(OutboundMessage)
  case edit(OutboundEdit)
  case delete(messageID: String)
  /// `isSet` false: the reaction is taken back.
  case react(messageID: String, emoji: String, isSet: Bool)
  /// The account has read up to a message.
  case read(upTo: String)
  case typing(Bool)

  /// A word for the outbox, for metrics and for people.
  package var name: String {
    switch self {
    case .message: "message"
    case .edit: "edit"
    case .delete: "delete"
    case .react: "react"
    case .read: "read"
    case .typing: "typing"
    }
  }
}

/// A message on its way to a platform.
package struct OutboundMessage: Sendable, Hashable {
  package var kind: MessageKind
  package var text: String?
  package var files: [OutboundFile]
  /// The platform's id of the message that this one answers.
  package var replyTo: String?
  /// The thread in which that message is, where it is in one.
  package var replyThreadID: String?
  /// The thread of the conversation that it belongs to.
  package var threadID: String?
  /// What only this platform knows: the member `platform` of the request.
  package var extras: JSONValue?

  package init(
    kind: MessageKind = .text, text: String? = nil, files: [OutboundFile] = [], replyTo: String? = nil,
    replyThreadID: String? = nil, threadID: String? = nil, extras: JSONValue? = nil
  ) {
    self.kind = kind
    self.text = text
    self.files = files
    self.replyTo = replyTo
    self.replyThreadID = replyThreadID
    self.threadID = threadID
    self.extras = extras
  }
}

/// A file that goes with a message. Its content is in the hub's file store.
package struct OutboundFile: Sendable, Hashable {
  package var kind: Attachment.Kind
  package var name: String
  package var mimeType: String
  package var sizeBytes: Int64
  /// Where the file store has it.
  package var storageKey: String
  /// Where the platform can fetch it by itself for a while; nil: the hub is not reachable from outside.
  package var publicURL: String?

  package init(
    kind: Attachment.Kind, name: String, mimeType: String, sizeBytes: Int64, storageKey: String,
    publicURL: String? = nil
  ) {
    self.kind = kind
    self.name = name
    self.mimeType = mimeType
    self.sizeBytes = sizeBytes
    self.storageKey = storageKey
    self.publicURL = publicURL
  }
}

/// New content for a message that was sent.
package struct OutboundEdit: Sendable, Hashable {
  package var messageID: String
  package var text: String

  package init(messageID: String, text: String) {
    self.messageID = messageID
    self.text = text
  }
}
