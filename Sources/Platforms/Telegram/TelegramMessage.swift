import Bytes
import JSON
import Messaging

/// Reads one Message object. What has a field of its own in the model goes there; everything else
/// (entities, forward origin, quote, markup, the kind's own object) stays in `details` under
/// Telegram's name for it.
struct TelegramMessage {
  /// Members that the model's own fields carry.
  private static let mapped: Set<String> = [
    "message_id", "date", "edit_date", "chat", "from", "sender_chat", "text", "caption",
    "message_thread_id", "media_group_id", "business_connection_id", "reply_to_message", "photo",
    "document", "voice", "video_note",
  ]

  let reader: JSONReader
  let chat: TelegramChat
  private let content: TelegramContent

  init(_ reader: JSONReader) throws(NormaliseError) {
    self.reader = reader
    chat = try TelegramChat(reader.requiredObject("chat"), business: reader)
    content = try TelegramContent(reader)
  }

  /// The message, before it the changes of the conversation that it tells of.
  func items() throws(NormaliseError) -> [InboundItem] {
    try changes() + [.message(try message())]
  }

  func message() throws(NormaliseError) -> InboundMessage {
    let sender = try sender()
    let isOutbound = try isOutbound(sender)
    let sentAt = try sentAt()
    return InboundMessage(
      conversation: chat.conversation, externalID: try externalID(sentAt),
      direction: isOutbound ? .outbound : .inbound, sender: sender, kind: content.kind,
      text: content.text, attachments: content.attachments, replyTo: try replyTo(),
      threadID: try reader.id("message_thread_id"), albumID: try reader.id("media_group_id"),
      details: try details(), sentAt: sentAt, order: try reader.integer("message_id") ?? 0,
      status: isOutbound ? .sent : nil)
  }

  func edit(order: Int64) throws(NormaliseError) -> MessageEdit {
    let sentAt = try sentAt()
    return MessageEdit(
      conversation: chat.conversation, externalID: try externalID(sentAt), kind: content.kind,
      text: content.text, attachments: content.attachments, details: try details(),
      editedAt: try TelegramUpdate.time(reader, "edit_date") ?? sentAt, order: order)
  }

  // MARK: Head

  private func sentAt() throws(NormaliseError) -> Timestamp {
    let seconds = try reader.required("date", reader.integer("date"))
    return Timestamp(seconds: seconds).clamped
  }

  /// Ephemeral messages have ids of their own, which are used again: the time makes them one.
  private func externalID(_ sentAt: Timestamp) throws(NormaliseError) -> String {
    let id = try reader.id("message_id")
    if let ephemeral = try reader.id("ephemeral_message_id"), id == nil || id == "0" {
      return "ephemeral:\(ephemeral):\(sentAt.seconds)"
    }
    return chat.messageID(try reader.required("message_id", id))
  }

  /// Who writes in a chat's name (channel posts, anonymous admins) is that chat.
  private func sender() throws(NormaliseError) -> Person {
    if let sender = try reader.object("sender_chat") { return try TelegramChat(sender).person }
    if let user = try reader.object("from") { return try TelegramPerson.user(user) }
    return chat.person
  }

  /// Only a business account's own messages come back. Its chats are private and carry the other
  /// side's id.
  private func isOutbound(_ sender: Person) throws(NormaliseError) -> Bool {
    guard reader.has("business_connection_id") else { return false }
    return reader.has("sender_business_bot") || sender.id != chat.id
  }

  private func replyTo() throws(NormaliseError) -> String? {
    for name in ["reply_to_message", "pinned_message"] {
      guard let target = try reader.object(name), let id = try target.id("message_id") else { continue }
      // A topic's first message is named as the target of everything in it; that is no reply.
      if name == "reply_to_message", target.has("forum_topic_created") { return nil }
      return chat.messageID(id)
    }
    return nil
  }

  // MARK: Details

  private func details() throws(NormaliseError) -> JSONValue? {
    if content.kind == .unsupported { return ["raw": .object(reader.members)] }
    var details = reader.rest(without: Self.mapped)
    if let entities = details.removeValue(forKey: "caption_entities") { details["entities"] = entities }
    // A live photo, an animation and a video keep their second object; the plain ones are attachments.
    for name in content.attachmentMembers { details[name] = nil }
    if let service = content.service { details["service"] = .string(service) }
    return details.isEmpty ? nil : .object(details)
  }

  // MARK: Changes of the conversation

  private func changes() throws(NormaliseError) -> [InboundItem] {
    let at = try sentAt()
    let order = try reader.integer("message_id") ?? 0
    var items: [InboundItem] = []
    if let target = try reader.id("migrate_to_chat_id") {
      items.append(
        .conversation(
          ConversationChange(conversation: chat.conversation, migratedTo: target, at: at, order: order)))
    }
    if let source = try reader.id("migrate_from_chat_id") {
      let old = ConversationRef(externalID: source, kind: .group, title: chat.conversation.title)
      items.append(
        .conversation(ConversationChange(conversation: old, migratedTo: chat.id, at: at, order: order)))
    }
    if let title = MessageText.name(try reader.text("new_chat_title")) {
      var conversation = chat.conversation
      conversation.title = title
      items.append(.conversation(ConversationChange(conversation: conversation, at: at, order: order)))
    }
    var joined: [Person] = []
    for user in try reader.objects("new_chat_members") ?? [] { joined.append(try TelegramPerson.user(user)) }
    let left = try reader.object("left_chat_member").map(TelegramPerson.user)
    if !joined.isEmpty || left != nil {
      items.append(
        .membership(
          MembershipChange(
            conversation: chat.conversation, joined: joined, left: left.map { [$0] } ?? [], at: at)))
    }
    return items
  }
}
