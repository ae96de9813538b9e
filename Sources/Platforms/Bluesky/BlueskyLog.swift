import Bytes
import JSON
import Messaging

/// Reads entries of the log of conversations, and messages of one
/// (https://github.com/bluesky-social/atproto/tree/main/lexicons/chat/bsky/convo):
///
/// - created messages; deleted ones; reactions that were added and removed;
/// - conversations that began, were left, locked or changed, and members: a system message;
/// - what only concerns how the account sees a conversation (accepted, muted, read): nothing;
/// - kinds that this version does not know: an unsupported message.
struct BlueskyLog {
  private static let prefix = "chat.bsky.convo.defs#log"
  private static let silent: Set<String> = [
    "AcceptConvo", "MuteConvo", "UnmuteConvo", "ReadMessage", "ReadConvo", "BeginConvo",
  ]
  private static let known: Set<String> = [
    "LeaveConvo", "AddMember", "RemoveMember", "MemberJoin", "MemberLeave", "LockConvo", "UnlockConvo",
    "EditGroup",
  ]
  private static let mapped: Set<String> = [
    "id", "rev", "text", "sender", "sentAt", "replyTo", "reactions", "$type",
  ]

  /// The account's DID.
  let own: String?
  let receivedAt: Timestamp
  /// What is known of conversations, by their ids.
  var conversations: [String: BlueskyConversation] = [:]

  private func place(_ id: String) -> ConversationRef {
    conversations[id]?.place(own: own) ?? ConversationRef(externalID: id, kind: .direct)
  }

  private func person(_ did: String, _ conversation: String) -> Person {
    conversations[conversation]?.people.first { $0.id == did } ?? Person(id: did)
  }

  // MARK: Entries

  func items(_ entry: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let type = try entry.required("$type", entry.text("$type"))
    let kind = type.hasPrefix(Self.prefix) ? String(type.dropFirst(Self.prefix.count)) : type
    if Self.silent.contains(kind) { return [] }
    let id = try entry.requiredID("convoId")
    switch kind {
    // It may be deleted again already.
    case "CreateMessage": return try listed(entry.requiredObject("message"), id)
    case "DeleteMessage":
      let message = try entry.requiredObject("message")
      return [
        .delete(
          MessageDeletion(
            conversation: place(id), externalIDs: [try message.requiredID("id")], at: receivedAt))
      ]
    case "AddReaction", "RemoveReaction":
      let reaction = try entry.requiredObject("reaction")
      let message = try entry.requiredObject("message")
      return [.reaction(try change(reaction, message, id, isAdded: kind == "AddReaction"))]
    default:
      let rev = try entry.requiredID("rev")
      let name = entry["message"]?["data"]?["$type"]?.string ?? kind
      return [
        .message(
          Update.message(
            kind, isKnown: Self.known.contains(kind), id: "\(name):\(rev)", conversation: place(id),
            sender: Person(id: "bluesky", name: "Bluesky"), members: entry.rest(without: ["relatedProfiles"]),
            at: try Self.time(entry.object("message"), "sentAt") ?? receivedAt))
      ]
    }
  }

  private static func time(_ reader: JSONReader?, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let reader, let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an RFC 3339 time")
    }
    return time.clamped
  }

  private func change(
    _ reaction: JSONReader, _ message: JSONReader, _ id: String, isAdded: Bool
  ) throws(NormaliseError) -> ReactionChange {
    let value = MessageText.sanitised(try reaction.requiredID("value"), bytesMax: 128)
    let actor = person(try reaction.requiredObject("sender").requiredID("did"), id)
    return ReactionChange(
      conversation: place(id), externalID: try message.requiredID("id"), actor: actor,
      change: isAdded ? .add(value) : .remove(value),
      at: isAdded ? try Self.time(reaction, "createdAt") ?? receivedAt : receivedAt)
  }

  // MARK: Messages

  /// A message of a list, with its reactions as they stand.
  func listed(_ message: JSONReader, _ id: String) throws(NormaliseError) -> [InboundItem] {
    let type = try message.text("$type") ?? ""
    if type.hasSuffix("#deletedMessageView") {
      return [
        .delete(
          MessageDeletion(
            conversation: place(id), externalIDs: [try message.requiredID("id")], at: receivedAt))
      ]
    }
    if type.hasSuffix("#systemMessageView") {
      return [
        .message(
          Update.message(
            message["data"]?["$type"]?.string ?? "system", isKnown: true, id: try message.requiredID("id"),
            conversation: place(id), sender: Person(id: "bluesky", name: "Bluesky"),
            members: message.members, at: try Self.time(message, "sentAt") ?? receivedAt))
      ]
    }
    var items: [InboundItem] = [.message(try self.message(message, id))]
    for reaction in try message.objects("reactions") ?? [] {
      items.append(.reaction(try change(reaction, message, id, isAdded: true)))
    }
    return items
  }

  func message(_ message: JSONReader, _ id: String) throws(NormaliseError) -> InboundMessage {
    let sender = try message.requiredObject("sender").requiredID("did")
    let isOwn = sender == own
    let text = try message.text("text") ?? ""
    let details = message.rest(without: Self.mapped)
    return InboundMessage(
      conversation: place(id), externalID: try message.requiredID("id"),
      direction: isOwn ? .outbound : .inbound, sender: person(sender, id), kind: .text,
      text: text.isEmpty ? nil : MessageText.sanitised(text),
      replyTo: try message.object("replyTo").flatMap { reply throws(NormaliseError) in
        try reply.id("id").or(reply.id("messageId"))
      }, details: details.isEmpty ? nil : .object(details),
      sentAt: try message.required("sentAt", Self.time(message, "sentAt")), status: isOwn ? .sent : nil)
  }
}

/// Who is in a conversation.
struct BlueskyConversation {
  let id: String
  let people: [Person]
  private let name: String?
  private let isGroup: Bool

  init?(_ json: JSONValue?) {
    guard let json, let id = json["id"]?.string else { return nil }
    self.id = id
    people = (json["members"]?.array ?? []).compactMap { member in
      guard let did = member["did"]?.string else { return nil }
      let name = member["displayName"]?.string.flatMap { $0.isEmpty ? nil : $0 }
      return Person(
        id: MessageText.sanitised(did, bytesMax: 512),
        name: MessageText.name(name ?? member["handle"]?.string),
        avatar: WebAddress.checked(member["avatar"]?.string))
    }
    name = MessageText.name(json["kind"]?["name"]?.string ?? json["name"]?.string)
    let kind = json["kind"]?["$type"]?.string ?? json["kind"]?.string ?? ""
    isGroup = kind.lowercased().contains("group") || people.count > 2
  }

  func place(own: String?) -> ConversationRef {
    let others = people.filter { $0.id != own }
    return ConversationRef(
      externalID: id, kind: isGroup ? .group : .direct, title: isGroup ? name : others.first?.name)
  }
}
