import Bytes
import JSON
import Messaging

/// Reads one Update. The kind decides:
///
/// - messages and posts, in every variety: a message; with service messages also the change they tell;
/// - edits: an edit; deleted business messages: a deletion; reactions: the actor's new set;
/// - a pressed button: the presser's message of kind text, whose text is the button's data and which
///   answers the message with the button;
/// - members that come and go: a membership change beside a system message;
/// - other known kinds (inline queries, payments, polls, boosts): a system message;
/// - kinds that this version does not know: an unsupported message.
///
/// The raw form of what has no field of its own is in `details`. An update is never read as nothing.
struct TelegramUpdate {
  private static let systemKinds: Set<String> = [
    "business_connection", "inline_query", "chosen_inline_result", "shipping_query",
    "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer", "chat_join_request",
    "chat_boost", "removed_chat_boost", "managed_bot", "subscription", "stopped_message_generation",
  ]

  private static let messageKinds: Set<String> = [
    "message", "edited_message", "channel_post", "edited_channel_post", "business_message",
    "edited_business_message", "deleted_business_messages", "guest_message", "message_reaction",
    "message_reaction_count", "callback_query", "my_chat_member", "chat_member",
  ]

  /// What a poller asks for: everything, because some kinds are left out unless they are named.
  static var requested: [String] { (messageKinds.union(systemKinds)).sorted() }

  private static func isKnown(_ kind: String) -> Bool {
    messageKinds.contains(kind) || systemKinds.contains(kind)
  }

  private let reader: JSONReader
  private let id: Int64
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    id = try reader.required("update_id", reader.integer("update_id"))
    self.receivedAt = receivedAt
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let kinds = reader.members.keys.filter { $0 != "update_id" && reader.has($0) }.sorted()
    guard let kind = kinds.first(where: Self.isKnown) ?? kinds.first else {
      throw .missing(path: "the update's content")
    }
    guard Self.isKnown(kind) else {
      return [other(kind, (try? reader.object(kind)).flatMap { $0 } ?? JSONReader([:]), isKnown: false)]
    }
    let payload = try reader.requiredObject(kind)
    switch kind {
    case "message", "channel_post", "business_message", "guest_message":
      return try TelegramMessage(payload).items()
    case "edited_message", "edited_channel_post", "edited_business_message":
      return [.edit(try TelegramMessage(payload).edit(order: id))]
    case "deleted_business_messages": return [.delete(try deletion(payload))]
    case "message_reaction": return [.reaction(try reaction(payload))]
    case "message_reaction_count": return [.reaction(try reactionCount(payload))]
    case "callback_query": return [.message(try callback(payload))]
    case "my_chat_member", "chat_member": return try membership(payload, kind)
    default: return [other(kind, payload, isKnown: true)]
    }
  }

  // MARK: Changes of messages

  private func deletion(_ payload: JSONReader) throws(NormaliseError) -> MessageDeletion {
    let chat = try TelegramChat(payload.requiredObject("chat"), business: payload)
    let ids = try payload.required("message_ids", payload.ids("message_ids"))
    return MessageDeletion(
      conversation: chat.conversation, externalIDs: ids.map { chat.messageID($0) }, at: receivedAt)
  }

  private func reaction(_ payload: JSONReader) throws(NormaliseError) -> ReactionChange {
    let chat = try TelegramChat(payload.requiredObject("chat"), business: payload)
    let actor: Person
    if let user = try payload.object("user") {
      actor = try TelegramPerson.user(user)
    } else if let sender = try payload.object("actor_chat") {
      actor = try TelegramChat(sender).person
    } else {
      actor = Person(id: "anonymous")
    }
    var emoji: [String] = []
    for entry in try payload.objects("new_reaction") ?? [] { emoji.append(try Self.emoji(entry)) }
    return ReactionChange(
      conversation: chat.conversation, externalID: chat.messageID(try payload.requiredID("message_id")),
      actor: actor, change: .replace(emoji), at: try Self.time(payload, "date") ?? receivedAt, order: id)
  }

  /// Channels tell only how often each emoji was given: all of them become one anonymous actor's set.
  private func reactionCount(_ payload: JSONReader) throws(NormaliseError) -> ReactionChange {
    let chat = try TelegramChat(payload.requiredObject("chat"), business: payload)
    var emoji: [String] = []
    for entry in try payload.objects("reactions") ?? [] {
      guard try entry.integer("total_count") ?? 1 > 0 else { continue }
      emoji.append(try Self.emoji(entry.requiredObject("type")))
    }
    return ReactionChange(
      conversation: chat.conversation, externalID: chat.messageID(try payload.requiredID("message_id")),
      actor: Person(id: "anonymous"), change: .replace(emoji),
      at: try Self.time(payload, "date") ?? receivedAt, order: id)
  }

  /// A custom emoji is `custom:` and its id, a paid star `⭐`, one of an unknown type that type's name.
  private static func emoji(_ entry: JSONReader) throws(NormaliseError) -> String {
    switch try entry.text("type") {
    case "emoji"?: return try entry.requiredID("emoji")
    case "custom_emoji"?: return "custom:" + (try entry.requiredID("custom_emoji_id"))
    case "paid"?: return "⭐"
    case let type?: return MessageText.sanitised(type, bytesMax: 64)
    case nil: throw .missing(path: entry.place("type"))
    }
  }

  static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let seconds = try reader.integer(name), seconds > 0 else { return nil }
    return Timestamp(seconds: seconds).clamped
  }

  // MARK: What is no message there and becomes one here

  private func callback(_ payload: JSONReader) throws(NormaliseError) -> InboundMessage {
    let person = try TelegramPerson.user(payload.requiredObject("from"))
    let message = try payload.object("message")
    let chat = try message.map { message throws(NormaliseError) in
      try TelegramChat(message.requiredObject("chat"), business: message)
    }
    let replyTo = try message?.id("message_id")
    return InboundMessage(
      conversation: chat?.conversation
        ?? ConversationRef(externalID: person.id, kind: .direct, title: person.name),
      externalID: "callback:" + (try payload.requiredID("id")), sender: person, kind: .text,
      text: (try payload.text("data").or(payload.text("game_short_name"))).map { MessageText.sanitised($0) },
      replyTo: replyTo.map { chat?.messageID($0) ?? $0 },
      details: ["callback": .object(payload.rest(without: ["from", "message"]))], sentAt: receivedAt,
      order: id)
  }

  private func membership(_ payload: JSONReader, _ kind: String) throws(NormaliseError) -> [InboundItem] {
    let chat = try TelegramChat(payload.requiredObject("chat"), business: payload)
    let at = try Self.time(payload, "date") ?? receivedAt
    let old = try payload.object("old_chat_member").flatMap(Self.isMember) ?? false
    let member = try payload.requiredObject("new_chat_member")
    let new = try Self.isMember(member) ?? false
    let person = try TelegramPerson.user(member.requiredObject("user"))
    var items: [InboundItem] = []
    if old != new {
      items.append(
        .membership(
          MembershipChange(
            conversation: chat.conversation, joined: new ? [person] : [], left: new ? [] : [person], at: at)
        ))
    }
    let name = person.name ?? person.id
    let text =
      old == new
      ? "\(name) is now \(try member.text("status") ?? "changed")" : "\(name) \(new ? "joined" : "left")"
    items.append(
      .message(
        InboundMessage(
          conversation: chat.conversation, externalID: "update:\(id)",
          sender: try payload.object("from").map(TelegramPerson.user) ?? person, kind: .system,
          text: MessageText.sanitised(text),
          details: ["service": .string(kind), kind: .object(payload.members)],
          sentAt: at, order: id)))
    return items
  }

  private static func isMember(_ member: JSONReader) throws(NormaliseError) -> Bool? {
    switch try member.text("status") {
    case "creator"?, "administrator"?, "member"?: return true
    case "restricted"?: return try member.flag("is_member") ?? true
    case nil: return nil
    default: return false
    }
  }

  /// Anything else. It stands in the chat or with the person that it names, or else in a channel
  /// called `updates`.
  private func other(
    _ kind: String, _ payload: JSONReader, isKnown: Bool
  ) -> InboundItem {
    // A part that looks like a chat or a person and is not one must not lose the update.
    let chat = (try? payload.object("chat")).flatMap { $0 }.flatMap {
      try? TelegramChat($0, business: payload)
    }
    let person = ["from", "user"].lazy.compactMap { name in
      (try? payload.object(name)).flatMap { $0 }.flatMap { try? TelegramPerson.user($0) }
    }.first
    let conversation =
      chat?.conversation
      ?? person.map { ConversationRef(externalID: $0.id, kind: .direct, title: $0.name) }
      ?? ConversationRef(externalID: "updates", kind: .channel, title: "Bot updates")
    let raw = JSONValue.object(reader.rest(without: ["update_id"]))
    return .message(
      InboundMessage(
        conversation: conversation, externalID: "update:\(id)",
        sender: person ?? chat?.person ?? Person(id: "telegram", name: "Telegram"),
        kind: isKnown ? .system : .unsupported,
        text: isKnown ? kind.split(separator: "_").joined(separator: " ") : nil,
        details: isKnown ? ["service": .string(kind), kind: .object(payload.members)] : ["raw": raw],
        sentAt: (try? Self.time(payload, "date")).flatMap { $0 } ?? receivedAt, order: id))
  }
}
