package import JSON

/// How an action is kept in the outbox.
extension OutboundAction {
  package var json: JSONValue {
    switch self {
    case .message(let message): message.json
    case .edit(let edit): ["messageId": .string(edit.messageID), "text": .string(edit.text)]
    case .delete(let id): ["messageId": .string(id)]
    case .react(let id, let emoji, let isSet):
      ["messageId": .string(id), "emoji": .string(emoji), "isSet": .bool(isSet)]
    case .read(let id): ["messageId": .string(id)]
    case .typing(let isTyping): ["isTyping": .bool(isTyping)]
    }
  }

  /// nil: it was not written by `json`.
  package init?(name: String, json: JSONValue) {
    if name == "message" {
      guard let message = OutboundMessage(json: json) else { return nil }
      self = .message(message)
      return
    }
    if name == "typing" {
      self = .typing(json["isTyping"]?.bool ?? true)
      return
    }
    guard let id = json["messageId"]?.string else { return nil }
    switch name {
    case "edit": self = .edit(OutboundEdit(messageID: id, text: json["text"]?.string ?? ""))
    case "delete": self = .delete(messageID: id)
    case "react":
      self = .react(messageID: id, emoji: json["emoji"]?.string ?? "", isSet: json["isSet"]?.bool ?? true)
    case "read": self = .read(upTo: id)
    default: return nil
    }
  }
}

extension OutboundMessage {
  package var json: JSONValue {
    var members: [String: JSONValue] = ["kind": .string(kind.rawValue)]
    members["text"] = text.map { .string($0) }
    members["replyTo"] = replyTo.map { .string($0) }
    members["replyThreadId"] = replyThreadID.map { .string($0) }
    members["threadId"] = threadID.map { .string($0) }
    members["extras"] = extras
    if !files.isEmpty { members["files"] = .array(files.map(\.json)) }
    return .object(members)
  }

  package init?(json: JSONValue) {
    guard let kind = json["kind"]?.string.flatMap({ MessageKind(rawValue: $0) }) else { return nil }
    self.init(
      kind: kind, text: json["text"]?.string,
      files: (json["files"]?.array ?? []).compactMap { OutboundFile(json: $0) },
      replyTo: json["replyTo"]?.string, replyThreadID: json["replyThreadId"]?.string,
      threadID: json["threadId"]?.string, extras: json["extras"])
  }
}

extension OutboundFile {
  package var json: JSONValue {
    var members: [String: JSONValue] = [
      "kind": .string(kind.rawValue), "name": .string(name), "mime": .string(mimeType),
      "size": .integer(sizeBytes), "key": .string(storageKey),
    ]
    members["url"] = publicURL.map { .string($0) }
    return .object(members)
  }

  package init?(json: JSONValue) {
    guard let kind = json["kind"]?.string.flatMap({ Attachment.Kind(rawValue: $0) }),
      let name = json["name"]?.string, let mime = json["mime"]?.string, let size = json["size"]?.integer,
      let key = json["key"]?.string
    else { return nil }
    self.init(
      kind: kind, name: name, mimeType: mime, sizeBytes: size, storageKey: key, publicURL: json["url"]?.string
    )
  }
}
