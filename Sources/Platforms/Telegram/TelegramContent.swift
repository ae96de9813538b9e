import JSON
import Messaging

/// What a Message says: its kind, text and files. The first member that is known decides; one message
/// has one content (`animation` repeats itself as `document`, `live_photo` as `photo`).
struct TelegramContent {
  private(set) var kind: MessageKind = .unsupported
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  /// Members that `attachments` carries whole.
  private(set) var attachmentMembers: [String] = []
  /// The name of a service message.
  private(set) var service: String?

  init(_ reader: JSONReader) throws(NormaliseError) {
    text = (try reader.text("text").or(reader.text("caption"))).map { MessageText.sanitised($0) }
    if try readFile(reader) { return }
    if try readSpecial(reader) { return }
    if text != nil {
      kind = .text
    } else {
      readService(reader)
    }
  }

  // MARK: Files

  private mutating func readFile(_ reader: JSONReader) throws(NormaliseError) -> Bool {
    if let photo = try reader.objects("photo") {
      guard let largest = try Self.largest(photo) else { return false }
      try attach(.image, largest, as: .image)
      return true
    }
    let kinds: [(String, MessageKind, Attachment.Kind)] = [
      ("animation", .video, .video), ("video", .video, .video), ("video_note", .video, .video),
      ("voice", .audio, .audio), ("audio", .audio, .audio), ("document", .file, .file),
      ("sticker", .sticker, .sticker), ("live_photo", .image, .image),
    ]
    for (name, kind, attachment) in kinds {
      guard let file = try reader.object(name) else { continue }
      try attach(attachment, file, as: kind)
      // An animation is its own document; stickers and audio say more than the attachment does.
      attachmentMembers = name == "sticker" || name == "audio" ? [] : [name, "document"]
      return true
    }
    if let paid = try reader.object("paid_media") {
      for media in try paid.objects("paid_media") ?? [] {
        if let video = try media.object("video") {
          try attach(.video, video, as: .video)
        } else if let largest = try Self.largest(try media.objects("photo") ?? []) {
          try attach(.image, largest, as: .image)
        }
      }
      if attachments.isEmpty { kind = .image }
      return true
    }
    return false
  }

  private mutating func attach(
    _ attachment: Attachment.Kind, _ file: JSONReader, as kind: MessageKind
  ) throws(NormaliseError) {
    self.kind = kind
    var name = try file.text("file_name")
    if name == nil, let title = try file.text("title") {
      name = [try file.text("performer"), title].compactMap { $0 }.joined(separator: " - ")
    }
    let isVideoNote = attachment == .video ? try file.integer("length") : nil
    attachments.append(
      Attachment(
        kind: attachment, externalID: try file.id("file_id"), name: MessageText.name(name),
        mimeType: MessageText.name(try file.text("mime_type")), sizeBytes: try file.integer("file_size"),
        width: try pixels(file, "width", isVideoNote), height: try pixels(file, "height", isVideoNote),
        durationSeconds: try file.number("duration")))
  }

  /// A video note is round: `length` is both.
  private func pixels(_ file: JSONReader, _ name: String, _ length: Int64?) throws(NormaliseError) -> Int? {
    (try file.integer(name) ?? length).flatMap { Int(exactly: $0) }
  }

  /// Sizes come in rising order; the largest is what people sent.
  private static func largest(_ sizes: [JSONReader]) throws(NormaliseError) -> JSONReader? {
    var best: JSONReader?
    var bestArea: Double = -1
    for size in sizes {
      let area = (try size.number("width") ?? 0) * (try size.number("height") ?? 0)
      if area >= bestArea {
        best = size
        bestArea = area
      }
    }
    return best
  }

  // MARK: Other content

  private mutating func readSpecial(_ reader: JSONReader) throws(NormaliseError) -> Bool {
    if let place = try reader.object("venue") {
      set(.location, try place.text("title"))
    } else if reader.has("location") {
      set(.location, nil)
    } else if let contact = try reader.object("contact") {
      let name = TelegramPerson.fullName(try TelegramPerson.names(contact))
      set(.contact, [name, try contact.text("phone_number")].compactMap { $0 }.joined(separator: ", "))
    } else if let poll = try reader.object("poll") {
      set(.poll, try poll.text("question"))
    } else if let dice = try reader.object("dice") {
      let value = try dice.integer("value").map { " \($0)" } ?? ""
      set(.text, (try dice.text("emoji") ?? "🎲") + value)
    } else if let game = try reader.object("game") {
      set(.text, try game.text("title"))
    } else if let invoice = try reader.object("invoice") {
      set(.text, try invoice.text("title"))
    } else if let list = try reader.object("checklist") {
      var lines = [try list.text("title") ?? "Checklist"]
      for task in try list.objects("tasks") ?? [] { lines.append("- " + (try task.text("text") ?? "")) }
      set(.text, lines.joined(separator: "\n"))
    } else if reader.has("rich_message") {
      set(.text, Self.plainText(reader["rich_message"]))
    } else if reader.has("story") {
      set(.system, "Forwarded a story")
      service = "story"
    } else {
      return false
    }
    return true
  }

  private mutating func set(_ kind: MessageKind, _ words: String?) {
    self.kind = kind
    if text == nil, let words, !words.isEmpty { text = MessageText.sanitised(words) }
  }

  /// All strings under members called `text`, a line for each block.
  private static func plainText(_ value: JSONValue?) -> String? {
    let blocks = value?["blocks"]?.array ?? []
    let lines = blocks.map { strings($0).joined() }.filter { !$0.isEmpty }
    return lines.isEmpty ? nil : lines.joined(separator: "\n")
  }

  private static func strings(_ value: JSONValue) -> [String] {
    switch value {
    case .array(let elements): elements.flatMap { element in element.string.map { [$0] } ?? strings(element) }
    case .object(let members):
      members.keys.sorted().flatMap { key -> [String] in
        guard let member = members[key] else { return [] }
        if case .string(let text) = member { return key == "text" ? [text] : [] }
        return strings(member)
      }
    default: []
    }
  }

  // MARK: Service messages

  /// Words for what people see often; the others are called by their name.
  private static let sentences = [
    "new_chat_members": "New members", "left_chat_member": "A member left",
    "new_chat_title": "The title was changed", "new_chat_photo": "The photo was changed",
    "delete_chat_photo": "The photo was removed", "group_chat_created": "The group was created",
    "supergroup_chat_created": "The group was created", "channel_chat_created": "The channel was created",
    "migrate_to_chat_id": "The group became a supergroup",
    "migrate_from_chat_id": "The group became a supergroup", "pinned_message": "A message was pinned",
    "successful_payment": "A payment was made", "refunded_payment": "A payment was refunded",
    "forum_topic_created": "A topic was created", "forum_topic_closed": "A topic was closed",
    "forum_topic_reopened": "A topic was reopened", "forum_topic_edited": "A topic was changed",
    "message_auto_delete_timer_changed": "The auto-delete timer was changed",
    "video_chat_scheduled": "A video chat was scheduled", "video_chat_started": "A video chat started",
    "video_chat_ended": "A video chat ended",
    "video_chat_participants_invited": "People were invited to a video chat",
  ]

  private static let otherServices: Set<String> = [
    "general_forum_topic_hidden", "general_forum_topic_unhidden", "write_access_allowed",
    "connected_website", "passport_data", "proximity_alert_triggered", "boost_added",
    "chat_background_set", "checklist_tasks_done", "checklist_tasks_added",
    "direct_message_price_changed", "giveaway_created", "giveaway", "giveaway_winners",
    "giveaway_completed", "paid_message_price_changed", "suggested_post_approved",
    "suggested_post_approval_failed", "suggested_post_declined", "suggested_post_paid",
    "suggested_post_refunded", "users_shared", "user_shared", "chat_shared", "web_app_data", "gift",
    "unique_gift", "gift_upgrade_sent", "chat_owner_left", "chat_owner_changed",
  ]

  private mutating func readService(_ reader: JSONReader) {
    let names = reader.members.keys.sorted().filter { reader.has($0) }
    guard let name = names.first(where: { Self.sentences[$0] != nil || Self.otherServices.contains($0) })
    else { return }
    kind = name.hasPrefix("video_chat_") ? .call : .system
    service = name
    text = Self.sentence(name, reader)
  }

  private static func sentence(_ name: String, _ reader: JSONReader) -> String {
    let words = sentences[name] ?? name.split(separator: "_").joined(separator: " ")
    let people: [JSONValue]? =
      switch name {
      case "new_chat_members": reader[name]?.array
      case "left_chat_member": reader[name].map { [$0] }
      default: nil
      }
    if name == "new_chat_title", let title = reader[name]?.string {
      return MessageText.sanitised("\(words): \(title)")
    }
    guard let people else { return words }
    let list = people.compactMap { person in
      TelegramPerson.fullName([person["first_name"]?.string, person["last_name"]?.string])
    }
    return list.isEmpty ? words : MessageText.sanitised("\(words): \(list.joined(separator: ", "))")
  }
}
