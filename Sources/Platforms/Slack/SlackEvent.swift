import Bytes
import JSON
import Messaging

/// Reads one event of the Events API. Its type and subtype decide:
///
/// - messages, also those that mention the app, of bots, and in threads: a message; from the account where
///   the app itself wrote it;
/// - `message_changed` and `message_deleted`: an edit, a deletion; a change that only unfolds links is
///   nothing new;
/// - reactions: one more or one less of the person's;
/// - people that come and go, channels that are renamed: changes of the conversation;
/// - other types: a system message, in the channel they name or else in one called `updates`.
struct SlackEvent {
  private static let filesMax = 100
  private static let mapped: Set<String> = [
    "type", "subtype", "channel", "channel_type", "user", "text", "ts", "event_ts", "thread_ts", "files",
    "team", "client_msg_id", "bot_id", "app_id",
  ]

  private let envelope: JSONReader
  private let receivedAt: Timestamp
  private let account: String?

  init(_ envelope: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.envelope = envelope
    self.receivedAt = receivedAt
    account = try envelope.id("team_id")
  }

  func read() throws(NormaliseError) -> Normalised {
    var result = Normalised()
    guard let event = try envelope.object("event") else {
      let type = try envelope.required("type", envelope.text("type"))
      let rest = envelope.rest(without: ["token", "type"])
      result.add([.message(update(type, rest, isKnown: type == "app_rate_limited"))], account: account)
      return result
    }
    result.add(try items(event), account: account)
    return result
  }

  private func items(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let type = try event.required("type", event.text("type"))
    switch type {
    case "message", "app_mention": return try message(event)
    case "reaction_added", "reaction_removed": return [try reaction(event, isAdded: type == "reaction_added")]
    case "member_joined_channel", "member_left_channel":
      let person = Person(id: try event.requiredID("user"))
      let joined = type == "member_joined_channel"
      return [
        .membership(
          MembershipChange(
            conversation: try Self.conversation(event), joined: joined ? [person] : [],
            left: joined ? [] : [person], at: Self.time(try event.text("event_ts")) ?? receivedAt))
      ]
    case "channel_rename", "group_rename":
      let channel = try event.requiredObject("channel")
      let title = MessageText.name(try channel.text("name"))
      return [
        .conversation(
          ConversationChange(
            conversation: ConversationRef(
              externalID: try channel.requiredID("id"), kind: .group, title: title),
            at: Self.time(try event.text("event_ts")) ?? receivedAt))
      ]
    default: return [.message(try other(event, type))]
    }
  }

  // MARK: Messages

  private func message(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let conversation = try Self.conversation(event)
    let at = Self.time(try event.text("event_ts").or(event.text("ts"))) ?? receivedAt
    switch try event.text("subtype") {
    case "message_changed"?:
      let message = try event.requiredObject("message")
      let id = try message.requiredID("ts")
      if try message.text("subtype") == "tombstone" {
        return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
      }
      // Without a new mark only the previews of links have changed.
      let before = try event.object("previous_message")?["edited"]
      guard let mark = try message.object("edited"), message["edited"] != before else { return [] }
      let content = try SlackContent(message)
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: id, kind: content.kind, text: content.text,
            attachments: content.attachments, details: Self.details(message),
            editedAt: Self.time(try mark.text("ts")) ?? at))
      ]
    case "message_deleted"?:
      let previous = try event.object("previous_message")?.id("ts")
      let id = try event.id("deleted_ts").or(previous)
      return [
        .delete(
          MessageDeletion(
            conversation: conversation, externalIDs: [try event.required("deleted_ts", id)], at: at))
      ]
    // The thread of a message has grown: its answers come by themselves.
    case "message_replied"?: return []
    case "channel_join"?, "group_join"?, "channel_leave"?, "group_leave"?:
      let joined = try event.text("subtype")?.hasSuffix("join") ?? false
      let person = try Self.person(event)
      let change = MembershipChange(
        conversation: conversation, joined: joined ? [person] : [], left: joined ? [] : [person], at: at)
      return [.membership(change), .message(try spoken(event, conversation))]
    case "channel_name"?, "group_name"?:
      var renamed = conversation
      renamed.title = MessageText.name(try event.text("name"))
      return [
        .conversation(ConversationChange(conversation: renamed, at: at)),
        .message(try spoken(event, conversation)),
      ]
    default: return [.message(try spoken(event, conversation))]
    }
  }

  private static let spokenSubtypes: Set<String> = [
    "file_share", "thread_broadcast", "bot_message", "me_message", "file_comment", "assistant_app_thread",
  ]

  private func spoken(_ event: JSONReader, _ conversation: ConversationRef) throws(NormaliseError)
    -> InboundMessage
  {
    let id = try event.requiredID("ts")
    let thread = try event.id("thread_ts")
    let content = try SlackContent(event)
    let subtype = try event.text("subtype")
    let isSpoken = subtype.map { Self.spokenSubtypes.contains($0) } ?? true
    var details = Self.details(event)?.object ?? [:]
    if !isSpoken { details["service"] = subtype.map { .string($0) } }
    let isOwn = try isOwn(event)
    if isOwn, event["metadata"]?["event_type"]?.string == SlackAPI.eventType {
      details["clientKey"] = event["metadata"]?["event_payload"]?["key"]
    }
    var message = InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound,
      sender: try Self.person(event), kind: isSpoken ? content.kind : .system, text: content.text,
      attachments: content.attachments, threadID: thread == id ? nil : thread,
      details: details.isEmpty ? nil : .object(details), sentAt: Self.time(id) ?? receivedAt,
      status: isOwn ? .sent : nil)
    if isOwn { message.written = content.text.map { SlackText.unescaped($0) } }
    return message
  }

  private static func details(_ event: JSONReader) -> JSONValue? {
    let rest = event.rest(without: mapped)
    return rest.isEmpty ? nil : .object(rest)
  }

  /// Whether the app that the event is for wrote it.
  private func isOwn(_ event: JSONReader) throws(NormaliseError) -> Bool {
    if let app = try event.id("app_id"), try app == envelope.id("api_app_id") { return true }
    guard let user = try event.id("user") else { return false }
    for entry in try envelope.objects("authorizations") ?? [] {
      if try entry.flag("is_bot") == true, try entry.id("user_id") == user { return true }
    }
    return false
  }

  // MARK: Others

  private func reaction(_ event: JSONReader, isAdded: Bool) throws(NormaliseError) -> InboundItem {
    let item = try event.requiredObject("item")
    guard try item.text("type") ?? "message" == "message" else {
      return .message(try other(event, isAdded ? "reaction_added" : "reaction_removed"))
    }
    let emoji = SlackEmoji.sign(MessageText.sanitised(try event.requiredID("reaction"), bytesMax: 128))
    return .reaction(
      ReactionChange(
        conversation: try Self.conversation(item), externalID: try item.requiredID("ts"),
        actor: Person(id: try event.requiredID("user")), isOwn: try isOwn(event),
        change: isAdded ? .add(emoji) : .remove(emoji),
        at: Self.time(try event.text("event_ts")) ?? receivedAt))
  }

  private static let systemTypes: Set<String> = [
    "app_home_opened", "app_uninstalled", "tokens_revoked", "channel_archive", "channel_unarchive",
    "channel_created", "channel_deleted", "group_archive", "group_unarchive", "im_created", "im_open",
    "im_close", "file_shared", "file_created", "file_change", "file_deleted", "file_public", "pin_added",
    "pin_removed", "star_added", "star_removed", "team_join", "user_change", "emoji_changed",
    "link_shared", "reaction_added", "reaction_removed", "assistant_thread_started",
    "assistant_thread_context_changed",
  ]

  private func other(_ event: JSONReader, _ type: String) throws(NormaliseError) -> InboundMessage {
    let rest = event.rest(without: ["type"])
    let isKnown = Self.systemTypes.contains(type)
    guard let channel = event["channel"]?.string ?? event["channel_id"]?.string, !channel.isEmpty else {
      return update(type, rest, isKnown: isKnown)
    }
    var message = update(type, rest, isKnown: isKnown)
    message.conversation = Self.conversation(id: MessageText.sanitised(channel, bytesMax: 256), type: nil)
    if let user = event["user"]?.string, !user.isEmpty {
      message.sender = Person(id: MessageText.sanitised(user, bytesMax: 256))
    }
    return message
  }

  private func update(_ type: String, _ rest: [String: JSONValue], isKnown: Bool) -> InboundMessage {
    let type = MessageText.sanitised(type, bytesMax: 128)
    let id = envelope["event_id"]?.string ?? Update.id(type, of: rest)
    return InboundMessage(
      conversation: ConversationRef(externalID: "updates", kind: .channel, title: "Slack updates"),
      externalID: MessageText.sanitised(id, bytesMax: 256), sender: Person(id: "slack", name: "Slack"),
      kind: isKnown ? .system : .unsupported,
      text: isKnown ? type.split(separator: "_").joined(separator: " ") : nil,
      details: isKnown
        ? ["service": .string(type), "event": .object(rest)]
        : ["raw": .object(rest.merging(["type": .string(type)]) { first, _ in first })],
      sentAt: (envelope["event_time"]?.integer).map { Timestamp(seconds: $0).clamped } ?? receivedAt)
  }

  // MARK: Parts

  static func conversation(_ event: JSONReader) throws(NormaliseError) -> ConversationRef {
    conversation(id: try event.requiredID("channel"), type: try event.text("channel_type"))
  }

  /// A direct conversation's id begins with D.
  static func conversation(id: String, type: String?) -> ConversationRef {
    ConversationRef(externalID: id, kind: type == "im" || id.hasPrefix("D") ? .direct : .group)
  }

  private static func person(_ event: JSONReader) throws(NormaliseError) -> Person {
    let bot = try event.object("bot_profile")
    let id = try event.id("user").or(event.id("bot_id")) ?? "slack"
    let profile = try event.object("user_profile")
    let called = try profile?.text("display_name").flatMap { $0.isEmpty ? nil : $0 }
    let name = try event.text("username").or(bot?.text("name")).or(called).or(profile?.text("real_name"))
    let icon = try bot?.object("icons")?.text("image_72")
    return Person(
      id: id, name: MessageText.name(name), avatar: WebAddress.checked(try icon.or(profile?.text("image_72")))
    )
  }

  /// The time in a message's id, `seconds.microseconds`. nil: it has none.
  static func time(_ id: String?) -> Timestamp? {
    guard let id else { return nil }
    let point = id.utf8.firstIndex(of: UInt8(ascii: "."))
    guard let seconds = Int64(id[..<(point ?? id.endIndex)]), (0...253_402_300_799).contains(seconds) else {
      return nil
    }
    guard let point else { return Timestamp(seconds: seconds) }
    let fraction = id[id.utf8.index(after: point)...].prefix { $0 != "." }
    let digits = (fraction + "000000").prefix(6)
    guard let micro = Int64(digits), micro >= 0 else { return nil }
    return Timestamp(microseconds: seconds * 1_000_000 + micro).clamped
  }
}

/// What a message says: text and files.
struct SlackContent {
  private static let filesMax = 100

  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []

  init(_ event: JSONReader) throws(NormaliseError) {
    if let words = try event.text("text"), !words.isEmpty { text = MessageText.sanitised(words) }
    for file in try event.objects("files", max: Self.filesMax) ?? [] {
      let type = MessageText.name(try file.text("mimetype"))
      let url = try file.text("url_private_download").or(file.text("url_private"))
      let isVoice = try file.text("subtype") == "slack_audio"
      attachments.append(
        Attachment(
          kind: isVoice ? .audio : MediaKind.attachment(type), externalID: try file.id("id"),
          url: WebAddress.checked(url), name: MessageText.name(try file.text("name")), mimeType: type,
          sizeBytes: try file.integer("size")))
    }
    kind = MediaKind.message(attachments)
    if text == nil, attachments.isEmpty { text = SlackLayout.words(event).map { MessageText.sanitised($0) } }
  }
}
