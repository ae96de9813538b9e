package import Bytes
package import JSON

/// One thing that a platform said happened. A delivery is a list of them.
package enum InboundItem: Sendable, Hashable {
  case message(InboundMessage)
  case edit(MessageEdit)
  case delete(MessageDeletion)
  case reaction(ReactionChange)
  case status(StatusChange)
  case read(ReadMark)
  case typing(Typing)
  case membership(MembershipChange)
  case conversation(ConversationChange)

  package var conversation: ConversationRef {
    switch self {
    case .message(let item): item.conversation
    case .edit(let item): item.conversation
    case .delete(let item): item.conversation
    case .reaction(let item): item.conversation
    case .status(let item): item.conversation
    case .read(let item): item.conversation
    case .typing(let item): item.conversation
    case .membership(let item): item.conversation
    case .conversation(let item): item.conversation
    }
  }
}

/// A message has new content, whole. The newest by (`editedAt`, `order`) is shown.
package struct MessageEdit: Sendable, Hashable {
  package var conversation: ConversationRef
  package var externalID: String
  package var kind: MessageKind
  package var text: String?
  package var attachments: [Attachment]
  package var details: JSONValue?
  package var editedAt: Timestamp
  package var order: Int64
  /// Who edits, where the platform passes on edits by anybody: one by another than the message's sender is
  /// none. nil: the platform sees to it.
  package var author: String?

  package init(
    conversation: ConversationRef, externalID: String, kind: MessageKind, text: String?,
    attachments: [Attachment] = [], details: JSONValue? = nil, editedAt: Timestamp, order: Int64 = 0,
    author: String? = nil
  ) {
    self.conversation = conversation
    self.externalID = externalID
    self.kind = kind
    self.text = text
    self.attachments = attachments
    self.details = details
    self.editedAt = editedAt
    self.order = order
    self.author = author
  }
}

/// Messages are gone. Final.
package struct MessageDeletion: Sendable, Hashable {
  package var conversation: ConversationRef
  package var externalIDs: [String]
  package var at: Timestamp

  package init(conversation: ConversationRef, externalIDs: [String], at: Timestamp) {
    self.conversation = conversation
    self.externalIDs = externalIDs
    self.at = at
  }
}

/// One actor's reactions to a message changed.
package struct ReactionChange: Sendable, Hashable {
  package enum Change: Sendable, Hashable {
    /// These are all that the actor now has; none: all were taken back.
    case replace([String])
    case add(String)
    case remove(String)
  }

  package var conversation: ConversationRef
  package var externalID: String
  package var actor: Person
  /// The account itself reacted, here or in another client. What the actor is called does not matter then.
  package var isOwn: Bool
  package var change: Change
  package var at: Timestamp
  package var order: Int64

  package init(
    conversation: ConversationRef, externalID: String, actor: Person, isOwn: Bool = false, change: Change,
    at: Timestamp, order: Int64 = 0
  ) {
    self.conversation = conversation
    self.externalID = externalID
    self.actor = actor
    self.isOwn = isOwn
    self.change = change
    self.at = at
    self.order = order
  }
}

/// An outbound message got further.
package struct StatusChange: Sendable, Hashable {
  package var conversation: ConversationRef
  package var externalID: String
  package var status: MessageStatus
  /// Why it failed, for people.
  package var reason: String?
  /// The key that the hub gave the message, where the platform repeats it.
  package var clientKey: String?
  package var at: Timestamp

  package init(
    conversation: ConversationRef, externalID: String, status: MessageStatus, reason: String? = nil,
    clientKey: String? = nil, at: Timestamp
  ) {
    self.conversation = conversation
    self.externalID = externalID
    self.status = status
    self.reason = reason
    self.clientKey = clientKey
    self.at = at
  }
}

/// The other side has read the account's messages, up to a point.
package struct ReadMark: Sendable, Hashable {
  package enum Bound: Sendable, Hashable {
    case time(Timestamp)
    /// An external id.
    case message(String)
  }

  package var conversation: ConversationRef
  package var reader: Person?
  package var upTo: Bound
  package var at: Timestamp

  package init(conversation: ConversationRef, reader: Person? = nil, upTo: Bound, at: Timestamp) {
    self.conversation = conversation
    self.reader = reader
    self.upTo = upTo
    self.at = at
  }
}

/// Somebody is writing, or stopped. Never stored.
package struct Typing: Sendable, Hashable {
  package var conversation: ConversationRef
  package var sender: Person
  package var isTyping: Bool

  package init(conversation: ConversationRef, sender: Person, isTyping: Bool) {
    self.conversation = conversation
    self.sender = sender
    self.isTyping = isTyping
  }
}

/// People came or went.
package struct MembershipChange: Sendable, Hashable {
  package var conversation: ConversationRef
  package var joined: [Person]
  package var left: [Person]
  package var at: Timestamp

  package init(conversation: ConversationRef, joined: [Person] = [], left: [Person] = [], at: Timestamp) {
    self.conversation = conversation
    self.joined = joined
    self.left = left
    self.at = at
  }
}

/// The conversation itself changed. `conversation.title` is the new title; nil: unchanged.
package struct ConversationChange: Sendable, Hashable {
  package var conversation: ConversationRef
  /// The id that the platform uses from now on.
  package var migratedTo: String?
  package var at: Timestamp
  package var order: Int64

  package init(conversation: ConversationRef, migratedTo: String? = nil, at: Timestamp, order: Int64 = 0) {
    self.conversation = conversation
    self.migratedTo = migratedTo
    self.at = at
    self.order = order
  }
}
