package import JSON

/// A conversation as a platform names it.
package struct ConversationRef: Sendable, Hashable {
  package enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Two people.
    case direct
    case group
    /// Few write, many read.
    case channel
    case email
  }

  /// The platform's own id, unique within the account.
  package var externalID: String
  package var kind: Kind
  /// nil when the platform did not say; a known title then stays.
  package var title: String?

  package init(externalID: String, kind: Kind, title: String? = nil) {
    self.externalID = externalID
    self.kind = kind
    self.title = title
  }
}

/// Somebody on a platform.
package struct Person: Sendable, Hashable {
  /// The platform's own id.
  package var id: String
  package var name: String?
  /// A URL.
  package var avatar: String?

  package init(id: String, name: String? = nil, avatar: String? = nil) {
    self.id = id
    self.name = name
    self.avatar = avatar
  }
}

/// What can be done in conversations of a platform; frontends show only that.
package struct ConversationCapabilities: Sendable, Hashable {
  package var canReply: Bool
  package var canReact: Bool
  /// Reactions that the account can have on one message; nil: no limit is known. Of one, the next takes the
  /// place.
  package var reactionsMax: Int?
  package var canEdit: Bool
  package var canDelete: Bool
  package var canAttach: Bool
  package var canQuote: Bool
  /// The platform tells when a message was delivered or read.
  package var hasReceipts: Bool
  /// The platform can be told that the account has read; whether anybody is shown that is its own matter.
  package var canMarkRead: Bool
  package var hasTyping: Bool
  /// UTF-16 units of one message's text; nil: no limit is known.
  package var textUnitsMax: Int?
  /// Kinds of messages that can be sent.
  package var kinds: [MessageKind]
  /// Seconds after sending during which a message can be edited; nil: no limit is known.
  package var editAgeMax: Int?
  /// Seconds after sending during which a message can be deleted; nil: no limit is known.
  package var deleteAgeMax: Int?
  /// Seconds after the other side's last message during which free messages can be sent; nil: always.
  package var replyWindow: Int?
  /// The member of a message's `platform` with which it can be sent after the window; nil: nothing can.
  package var afterReplyWindow: String?

  package init(
    canReply: Bool = false, canReact: Bool = false, reactionsMax: Int? = nil, canEdit: Bool = false,
    canDelete: Bool = false, canAttach: Bool = false, canQuote: Bool = false, hasReceipts: Bool = false,
    canMarkRead: Bool = false, hasTyping: Bool = false, textUnitsMax: Int? = nil, kinds: [MessageKind] = [],
    editAgeMax: Int? = nil, deleteAgeMax: Int? = nil, replyWindow: Int? = nil, afterReplyWindow: String? = nil
  ) {
    self.canReply = canReply
    self.canReact = canReact
    self.reactionsMax = reactionsMax
    self.canEdit = canEdit
    self.canDelete = canDelete
    self.canAttach = canAttach
    self.canQuote = canQuote
    self.hasReceipts = hasReceipts
    self.canMarkRead = canMarkRead
    self.hasTyping = hasTyping
    self.textUnitsMax = textUnitsMax
    self.kinds = kinds
    self.editAgeMax = editAgeMax
    self.deleteAgeMax = deleteAgeMax
    self.replyWindow = replyWindow
    self.afterReplyWindow = afterReplyWindow
  }

  package var json: JSONValue {
    func number(_ value: Int?) -> JSONValue { value.map { .integer(Int64($0)) } ?? .null }
    return [
      "reply": .bool(canReply), "react": .bool(canReact),
      "reactionsMax": number(reactionsMax), "edit": .bool(canEdit),
      "delete": .bool(canDelete), "attach": .bool(canAttach), "quote": .bool(canQuote),
      "receipts": .bool(hasReceipts), "markRead": .bool(canMarkRead), "typing": .bool(hasTyping),
      "textMax": number(textUnitsMax), "kinds": .array(kinds.map { .string($0.rawValue) }),
      "editMaxAge": number(editAgeMax), "deleteMaxAge": number(deleteAgeMax),
      "replyWindow": number(replyWindow),
      "afterReplyWindow": afterReplyWindow.map { .string($0) } ?? .null,
    ]
  }
}
