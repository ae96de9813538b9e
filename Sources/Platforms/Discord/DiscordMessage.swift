import Bytes
import JSON
import Messaging

/// Reads one Message object (https://discord.com/developers/docs/resources/message).
struct DiscordMessage {
  private static let filesMax = 100
  private static let mapped: Set<String> = [
    "id", "channel_id", "author", "content", "timestamp", "edited_timestamp", "attachments", "type",
    "message_reference", "referenced_message", "guild_id", "channel", "nonce", "tts", "mention_everyone",
  ]
  /// The first moment of Discord's ids, in milliseconds since 1970.
  private static let epoch: UInt64 = 1_420_070_400_000

  private let reader: JSONReader
  let conversation: ConversationRef
  private let own: String?

  /// - Parameter own: the bot's user, where it is known: its messages are from the account.
  init(_ reader: JSONReader, own: String? = nil) throws(NormaliseError) {
    self.reader = reader
    self.own = own
    let channel = try reader.object("channel")
    let isDirect = try channel?.integer("type") ?? 1 == 1
    let isGroup = reader.has("guild_id") || !isDirect
    conversation = ConversationRef(
      externalID: try reader.requiredID("channel_id"), kind: isGroup ? .group : .direct,
      title: MessageText.name(try channel?.text("name")))
  }

  func message() throws(NormaliseError) -> InboundMessage {
    let id = try reader.requiredID("id")
    let type = try reader.integer("type") ?? 0
    let isSystem = ![0, 19, 20, 23].contains(type)
    let content = try content()
    let reference = try reader.object("message_reference")
    var details = try details(reference)
    if isSystem { details["service"] = .string("type \(type)") }
    let sender = try author()
    let isOwn = own == sender.id
    // As it was sent; Discord gives it as a string or a number.
    if isOwn { details["clientKey"] = reader["nonce"]?.identifier.map { .string(DiscordAPI.key($0)) } }
    return InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound, sender: sender,
      kind: isSystem ? .system : content.kind, text: content.text, attachments: content.files,
      replyTo: try Self.isReply(reference) ? try reference?.id("message_id") : nil,
      details: details.isEmpty ? nil : .object(details),
      sentAt: try Self.time(reader, "timestamp") ?? Self.time(ofID: id) ?? Timestamp(seconds: 0),
      status: isOwn ? .sent : nil)
  }

  func edit(at: Timestamp) throws(NormaliseError) -> MessageEdit {
    let content = try content()
    let details = try details(reader.object("message_reference"))
    return MessageEdit(
      conversation: conversation, externalID: try reader.requiredID("id"), kind: content.kind,
      text: content.text, attachments: content.files, details: details.isEmpty ? nil : .object(details),
      editedAt: try Self.time(reader, "edited_timestamp") ?? at)
  }

  /// Reference type 1 is a forwarded message.
  private static func isReply(_ reference: JSONReader?) throws(NormaliseError) -> Bool {
    try reference?.integer("type") ?? 0 == 0
  }

  private func details(_ reference: JSONReader?) throws(NormaliseError) -> [String: JSONValue] {
    var details = reader.rest(without: Self.mapped)
    if try !Self.isReply(reference) { details["message_reference"] = reader["message_reference"] }
    return details
  }

  /// What a forwarded message says is in its snapshot. Apps may say everything in components or embeds.
  private func content() throws(NormaliseError) -> (kind: MessageKind, text: String?, files: [Attachment]) {
    var files = try Self.attachments(reader)
    var text = try reader.text("content") ?? ""
    for snapshot in try reader.objects("message_snapshots", max: Self.filesMax) ?? [] {
      guard let message = try snapshot.object("message") else { continue }
      files += try Self.attachments(message)
      let words = try message.text("content") ?? ""
      if text.isEmpty { text = words.isEmpty ? DiscordLayout.words(message) : words }
    }
    if text.isEmpty { text = DiscordLayout.words(reader) }
    var kind = MediaKind.message(files)
    if let question = try reader.object("poll")?.object("question") {
      kind = .poll
      if text.isEmpty { text = try question.text("text") ?? "" }
    }
    return (kind, text.isEmpty ? nil : MessageText.sanitised(text), files)
  }

  private func author() throws(NormaliseError) -> Person {
    guard let author = try reader.object("author") else { return Person(id: "discord") }
    return try Self.person(author)
  }

  private static func attachments(_ reader: JSONReader) throws(NormaliseError) -> [Attachment] {
    var files: [Attachment] = []
    for file in try reader.objects("attachments", max: filesMax) ?? [] {
      let type = MessageText.name(try file.text("content_type"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(type), externalID: try file.id("id"),
          url: WebAddress.checked(try file.text("url")), name: MessageText.name(try file.text("filename")),
          mimeType: type, sizeBytes: try file.integer("size"),
          width: (try file.integer("width")).flatMap { Int(exactly: $0) },
          height: (try file.integer("height")).flatMap { Int(exactly: $0) },
          durationSeconds: try file.number("duration_secs")))
    }
    for sticker in try reader.objects("sticker_items", max: filesMax) ?? [] {
      files.append(
        Attachment(
          kind: .sticker, externalID: try sticker.id("id"), name: MessageText.name(try sticker.text("name"))))
    }
    return files
  }

  // MARK: Parts

  static func person(_ user: JSONReader) throws(NormaliseError) -> Person {
    let name = try user.text("global_name").or(user.text("username"))
    let id = try user.requiredID("id")
    let picture = try user.id("avatar").map { "https://cdn.discordapp.com/avatars/\(id)/\($0).png" }
    return Person(id: id, name: MessageText.name(name), avatar: WebAddress.checked(picture))
  }

  static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  /// Discord's ids hold the time of their making.
  static func time(ofID id: String) -> Timestamp? {
    UInt64(id).map { Timestamp(milliseconds: Int64(($0 >> 22) + epoch)).clamped }
  }
}
