import Bytes
import JSON
import Messaging

/// Reads a delivery of the Account Activity API: lists of events of one user. Direct messages become
/// messages with the other person; posts and what happens to them stand in a channel called `updates`.
struct XEvent {
  private static let eventsMax = 1_000
  private static let filesMax = 100
  private static let common: Set<String> = ["for_user_id", "users", "apps", "user_has_blocked"]

  private let reader: JSONReader
  private let user: String?
  private let users: JSONReader?
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    self.receivedAt = receivedAt
    user = try reader.id("for_user_id")
    users = try reader.object("users")
  }

  func read() throws(NormaliseError) -> Normalised {
    var result = Normalised()
    for name in reader.members.keys.sorted() where !Self.common.contains(name) && reader.has(name) {
      guard let events = try? reader.objects(name, max: Self.eventsMax) else {
        let members: [String: JSONValue] = [name: reader[name] ?? .null]
        result.add([.message(update(name, JSONReader(members)))], account: user)
        continue
      }
      for event in events {
        do throws(NormaliseError) {
          result.add(try items(name, event), account: user)
        } catch {
          result.faults.append(error)
        }
      }
    }
    return result
  }

  private func items(_ name: String, _ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    switch name {
    case "direct_message_events":
      guard try event.text("type") ?? "message_create" == "message_create" else { break }
      return [.message(try message(event))]
    case "direct_message_indicate_typing_events":
      let sender = try person(event.requiredID("sender_id"))
      return [.typing(Typing(conversation: conversation(sender), sender: sender, isTyping: true))]
    case "direct_message_mark_read_events":
      let sender = try person(event.requiredID("sender_id"))
      // The user's own reading elsewhere says nothing about what others have read.
      if sender.id == user { return [] }
      return [
        .read(
          ReadMark(
            conversation: conversation(sender), reader: sender,
            upTo: .message(try event.requiredID("last_read_event_id")), at: try Self.time(event) ?? receivedAt
          ))
      ]
    default: break
    }
    return [.message(update(name, event))]
  }

  private func conversation(_ other: Person) -> ConversationRef {
    ConversationRef(externalID: other.id, kind: .direct, title: other.name)
  }

  private func person(_ id: String) throws(NormaliseError) -> Person {
    // The X Activity API has profiles in the newer form, each in an envelope.
    let entry = try users?.object(id)
    let profile = try entry?.object("data") ?? entry
    let name = try (profile?.text("name")).or(profile?.text("screen_name")).or(profile?.text("username"))
    let picture = try (profile?.text("profile_image_url_https")).or(profile?.text("profile_image_url"))
    return Person(id: id, name: MessageText.name(name), avatar: WebAddress.checked(picture))
  }

  private static func time(_ event: JSONReader) throws(NormaliseError) -> Timestamp? {
    guard let text = try event.id("created_timestamp") else { return nil }
    guard let milliseconds = Int64(text) else {
      throw .wrongValue(path: event.place("created_timestamp"), expected: "milliseconds since 1970")
    }
    return Timestamp(milliseconds: milliseconds).clamped
  }

  private func message(_ event: JSONReader) throws(NormaliseError) -> InboundMessage {
    let create = try event.requiredObject("message_create")
    let sender = try person(create.requiredID("sender_id"))
    let target = try create.object("target")?.id("recipient_id")
    let isOwn = sender.id == user
    let other = isOwn ? try person(create.required("target", target)) : sender
    let data = try create.requiredObject("message_data")
    let text = try data.text("text") ?? ""
    var attachments: [Attachment] = []
    if let media = try data.object("attachment")?.object("media") {
      let isVideo = try media.text("type").map { $0 != "photo" } ?? false
      attachments.append(
        Attachment(
          kind: isVideo ? .video : .image, externalID: try media.id("id_str").or(media.id("id")),
          url: WebAddress.checked(try media.text("media_url_https"))))
    }
    let rest = data.rest(without: ["text"])
    var message = InboundMessage(
      conversation: conversation(other), externalID: try event.requiredID("id"),
      direction: isOwn ? .outbound : .inbound, sender: sender, kind: MediaKind.message(attachments),
      text: text.isEmpty ? nil : MessageText.sanitised(text), attachments: attachments,
      details: rest.isEmpty ? nil : .object(rest), sentAt: try Self.time(event) ?? receivedAt,
      status: isOwn ? .sent : nil)
    if isOwn { message.written = Self.written(text, data["entities"]) }
    return message
  }

  /// X writes its own short links in place of those that were sent, and one behind the text for what is
  /// attached.
  private static func written(_ text: String, _ entities: JSONValue?) -> String {
    var text = text
    for link in entities?["urls"]?.array ?? [] {
      guard let short = link["url"]?.string, !short.isEmpty, let long = link["expanded_url"]?.string else {
        continue
      }
      let isAttached = link["media_key"] != nil || link["display_url"]?.string?.hasPrefix("pic.") == true
      text = text.replacing(each: short, by: isAttached ? "" : long)
    }
    return MessageText.sanitised(text)
  }

  private static let known: Set<String> = [
    "tweet_create_events", "tweet_delete_events", "favorite_events", "follow_events", "block_events",
    "mute_events", "user_event",
  ]

  private func update(_ name: String, _ event: JSONReader) -> InboundMessage {
    let author = (try? event.object("user"))?.flatMap { try? $0.id("id_str") }.flatMap { $0 }
    let id = (event["id_str"] ?? event["id"])?.identifier.map { "\(name):\($0)" }
    var message = Update.message(
      name, isKnown: Self.known.contains(name), id: id ?? Update.id(name, of: event.members),
      conversation: Update.channel("X"),
      sender: author.flatMap { try? person($0) } ?? Person(id: "x", name: "X"), members: event.members,
      at: (try? Self.time(event)).flatMap { $0 } ?? receivedAt)
    if let text = event["text"]?.string { message.text = MessageText.sanitised(text) }
    return message
  }

  // MARK: The X Activity API

  /// Of events that are no messages.
  private static let families = ["follow.", "profile.", "post.", "like.", "repost.", "block.", "mute."]

  /// Lists that a payload holds as the Account Activity API has them.
  private static let lists = [
    "direct_message_events", "direct_message_indicate_typing_events", "direct_message_mark_read_events",
  ]

  /// An event with an envelope of its own. Direct messages come in it as the Account Activity API has them;
  /// else only what has a text, a sender and a conversation is read as a message. Encrypted chats are kept
  /// raw.
  /// - Parameter own: the account's user, where the envelope does not say it.
  static func activity(
    _ data: JSONReader, own: String?, receivedAt: Timestamp
  ) throws(NormaliseError) -> Normalised {
    let type = try data.required("event_type", data.text("event_type"))
    let payload = try data.object("payload") ?? JSONReader([:])
    let user = try data.object("filter")?.id("user_id")
    if lists.contains(where: { payload.has($0) }) {
      var members = payload.members
      if let user = user ?? own { members["for_user_id"] = .string(user) }
      return try XEvent(JSONReader(members, path: payload.path), receivedAt: receivedAt).read()
    }
    let at = try payload.text("created_at").flatMap { Timestamp(rfc3339: $0)?.clamped } ?? receivedAt
    let sender = try payload.id("sender_id")
    var result = Normalised()
    if ["dm.received", "dm.sent"].contains(type), let sender,
      let conversation = try payload.id("dm_conversation_id"), let id = try payload.id("id")
    {
      let isOwn = type == "dm.sent"
      let text = try payload.text("text") ?? ""
      let people = conversation.split(separator: "-").map(String.init)
      let other = people.count == 2 ? people.first { $0 != user && $0 != (isOwn ? sender : "") } : nil
      let media = Self.media(payload["media"])
      let person = Self.profile(payload["sender"], id: sender)
      var message = InboundMessage(
        conversation: ConversationRef(
          externalID: other ?? conversation, kind: other == nil ? .group : .direct,
          title: other == sender ? person.name : nil),
        externalID: id, direction: isOwn ? .outbound : .inbound, sender: person,
        kind: MediaKind.message(media), text: text.isEmpty ? nil : MessageText.sanitised(text),
        attachments: media, details: ["event": .object(payload.members)], sentAt: at,
        status: isOwn ? .sent : nil)
      if isOwn { message.written = written(text, payload["entities"]) }
      result.add([.message(message)], account: user)
      return result
    }
    let isKnown = families.contains { type.hasPrefix($0) }
    let id = try data.id("event_uuid") ?? Update.id(type, of: data.members)
    let conversation = try payload.id("conversation_id").map {
      ConversationRef(externalID: $0, kind: .direct)
    }
    let author = try sender.or(payload.id("author_id"))
    let profiles = data["includes"]?["users"]?.array ?? []
    let profile = profiles.first { author != nil && $0["id"]?.identifier == author }
    var message = Update.message(
      type, isKnown: isKnown, id: id, conversation: conversation ?? Update.channel("X"),
      sender: author.map { Self.profile(profile, id: $0) } ?? Person(id: "x"), members: data.members, at: at)
    if isKnown, let text = payload["text"]?.string, !text.isEmpty {
      message.text = MessageText.sanitised(text)
    }
    result.add([.message(message)], account: user)
    return result
  }

  private static func profile(_ user: JSONValue?, id: String) -> Person {
    Person(
      id: id, name: MessageText.name(user?["name"]?.string ?? user?["username"]?.string),
      avatar: WebAddress.checked(user?["profile_image_url"]?.string))
  }

  private static func media(_ list: JSONValue?) -> [Attachment] {
    (list?.array ?? []).prefix(filesMax).map { file in
      Attachment(
        kind: file["type"]?.string == "photo" ? .image : .video,
        externalID: MessageText.name(file["media_key"]?.string),
        url: WebAddress.checked(file["url"]?.string ?? file["preview_image_url"]?.string))
    }
  }
}
