package import JSON
import Bytes

extension InboundItem {
  /// The canonical form, for samples and tests: `type` and the fields that are not nil, times as
  /// RFC 3339.
  package var json: JSONValue {
    switch self {
    case .message(let item): item.json
    case .edit(let item):
      members(
        "message.edited", item.conversation,
        [
          "id": .string(item.externalID), "kind": .string(item.kind.rawValue),
          "text": item.text.map { .string($0) }, "attachments": attachmentList(item.attachments),
          "details": item.details, "at": .string(item.editedAt.rfc3339), "order": .integer(item.order),
          "author": item.author.map { .string($0) },
        ])
    case .delete(let item):
      members(
        "message.deleted", item.conversation,
        ["ids": .array(item.externalIDs.map { .string($0) }), "at": .string(item.at.rfc3339)])
    case .reaction(let item):
      members(
        "reaction", item.conversation,
        [
          "id": .string(item.externalID), "actor": item.actor.json, "change": item.change.json,
          "at": .string(item.at.rfc3339), "order": .integer(item.order), "own": item.isOwn ? true : nil,
        ])
    case .status(let item):
      members(
        "status", item.conversation,
        [
          "id": .string(item.externalID), "status": .string(item.status.rawValue),
          "reason": item.reason.map { .string($0) }, "clientKey": item.clientKey.map { .string($0) },
          "at": .string(item.at.rfc3339),
        ])
    case .read(let item):
      members(
        "read", item.conversation,
        ["upTo": item.upTo.json, "reader": item.reader?.json, "at": .string(item.at.rfc3339)])
    case .typing(let item):
      members(
        "typing", item.conversation, ["sender": item.sender.json, "isTyping": .bool(item.isTyping)])
    case .membership(let item):
      members(
        "membership", item.conversation,
        [
          "joined": .array(item.joined.map(\.json)), "left": .array(item.left.map(\.json)),
          "at": .string(item.at.rfc3339),
        ])
    case .conversation(let item):
      members(
        "conversation", item.conversation,
        [
          "migratedTo": item.migratedTo.map { .string($0) }, "at": .string(item.at.rfc3339),
          "order": .integer(item.order),
        ])
    }
  }
}

extension InboundMessage {
  package var json: JSONValue {
    members(
      "message", conversation,
      [
        "id": .string(externalID), "direction": .string(direction.rawValue), "sender": sender.json,
        "kind": .string(kind.rawValue), "text": text.map { .string($0) },
        "attachments": attachmentList(attachments), "replyTo": replyTo.map { .string($0) },
        "threadId": threadID.map { .string($0) }, "albumId": albumID.map { .string($0) },
        "details": details, "sentAt": .string(sentAt.rfc3339), "order": .integer(order),
        "status": status.map { .string($0.rawValue) },
      ])
  }
}

extension ConversationRef {
  package var json: JSONValue {
    object([
      "id": .string(externalID), "kind": .string(kind.rawValue), "title": title.map { .string($0) },
    ])
  }
}

extension Person {
  package var json: JSONValue {
    object([
      "id": .string(id), "name": name.map { .string($0) }, "avatar": avatar.map { .string($0) },
    ])
  }
}

extension Attachment {
  package var json: JSONValue {
    object([
      "kind": .string(kind.rawValue), "externalId": externalID.map { .string($0) },
      "url": url.map { .string($0) }, "name": name.map { .string($0) },
      "mimeType": mimeType.map { .string($0) }, "size": sizeBytes.map { .integer($0) },
      "width": width.map { .integer(Int64($0)) }, "height": height.map { .integer(Int64($0)) },
      "duration": durationSeconds.map { duration in
        Int64(exactly: duration).map { .integer($0) } ?? .number(duration)
      },
      "caption": caption.map { .string($0) },
    ])
  }
}

extension ReactionChange.Change {
  package var json: JSONValue {
    switch self {
    case .replace(let emoji): ["replace": .array(emoji.map { .string($0) })]
    case .add(let emoji): ["add": .string(emoji)]
    case .remove(let emoji): ["remove": .string(emoji)]
    }
  }
}

extension ReadMark.Bound {
  package var json: JSONValue {
    switch self {
    case .time(let time): ["time": .string(time.rfc3339)]
    case .message(let id): ["id": .string(id)]
    }
  }
}

private func attachmentList(_ attachments: [Attachment]) -> JSONValue? {
  attachments.isEmpty ? nil : .array(attachments.map(\.json))
}

private func members(
  _ type: String, _ conversation: ConversationRef, _ fields: [String: JSONValue?]
) -> JSONValue {
  object(fields.merging(["type": .string(type), "conversation": conversation.json]) { field, _ in field })
}

/// An object of the members that are there.
private func object(_ fields: [String: JSONValue?]) -> JSONValue {
  .object(fields.compactMapValues { $0 })
}
