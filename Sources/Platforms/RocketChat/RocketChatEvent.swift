import Bytes
import JSON
import Messaging

/// Reads what an outgoing integration or an omnichannel webhook says.
struct RocketChatEvent {
  private static let mapped: Set<String> = [
    "token", "channel_id", "channel_name", "message_id", "timestamp", "user_id", "user_name", "text",
    "isEdited", "tmid", "bot", "alias",
  ]
  private static let mappedLivechat: Set<String> = [
    "_id", "u", "msg", "ts", "agentId", "file", "username", "rid", "editedAt", "_updatedAt",
    "fileUpload",
  ]
  private static let messagesMax = 1_000
  private static let known: Set<String> = [
    "sendMessage", "fileUploaded", "roomArchived", "roomCreated", "roomJoined", "roomLeft", "userCreated",
  ]

  private let reader: JSONReader
  private let own: [String]
  private let receivedAt: Timestamp

  /// - Parameter own: the account's user ids; none: what bots write is taken for the account's.
  init(_ reader: JSONReader, own: [String], receivedAt: Timestamp) {
    self.reader = reader
    self.own = own
    self.receivedAt = receivedAt
  }

  // MARK: Integrations

  func integration() throws(NormaliseError) -> [InboundItem] {
    let room = try reader.object("room")
    let channel = try reader.id("channel_id").or(room?.id("_id"))
    let title = try reader.text("channel_name").or(room?.text("name"))
    let isRoomless = channel == nil && !reader.has("message_id")
    let conversation =
      isRoomless
      ? Update.channel("Rocket.Chat")
      : ConversationRef(
        externalID: try reader.required("channel_id", channel), kind: .group, title: MessageText.name(title))
    let user = try reader.object("user")
    let name = try reader.text("alias").or(reader.text("user_name")).or(user?.text("username"))
    let person = Person(
      id: try reader.id("user_id").or(user?.id("_id")) ?? "rocketchat", name: MessageText.name(name))
    guard let id = try reader.id("message_id") else {
      let event = try reader.text("event")
      let name = event ?? "room event"
      let members = reader.rest(without: ["token"])
      return [
        .message(
          Update.message(
            name, isKnown: event.map { Self.known.contains($0) } ?? true, id: Update.id(name, of: members),
            conversation: conversation, sender: person, members: members,
            at: try Self.time(reader, "timestamp") ?? receivedAt))
      ]
    }
    let at = try Self.time(reader, "timestamp") ?? receivedAt
    let message = try reader.object("message")
    let words = try reader.text("text") ?? ""
    let text = words.isEmpty ? try RocketChatMessage.text(message, "msg") : words
    let files = try Self.files(message)
    let rest = reader.rest(without: Self.mapped.union(["message", "room", "user"]))
    let details: JSONValue? = rest.isEmpty ? nil : .object(rest)
    if try reader.flag("isEdited") == true {
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: id, kind: MediaKind.message(files),
            text: text.isEmpty ? nil : MessageText.sanitised(text), attachments: files, details: details,
            editedAt: receivedAt))
      ]
    }
    let isBot = reader["bot"].map { $0 != false } ?? false
    let isOwn = own.isEmpty ? isBot : own.contains(person.id)
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound,
          sender: person, kind: MediaKind.message(files),
          text: text.isEmpty ? nil : MessageText.sanitised(text), attachments: files,
          threadID: try reader.id("tmid"), details: details, sentAt: at, status: isOwn ? .sent : nil))
    ]
  }

  private static func files(_ message: JSONReader?) throws(NormaliseError) -> [Attachment] {
    guard let file = try message?.object("file") else { return [] }
    let type = MessageText.name(try file.text("type"))
    // Omnichannel gives an address that needs no login.
    let upload = try message?.object("fileUpload")
    return [
      Attachment(
        kind: MediaKind.attachment(type), externalID: try file.id("_id"),
        url: WebAddress.checked(try upload?.text("publicFilePath")),
        name: MessageText.name(try file.text("name")), mimeType: type, sizeBytes: try upload?.integer("size"))
    ]
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    if let date = try? reader.object(name)?.integer("$date") { return Timestamp(milliseconds: date).clamped }
    if let number = reader[name]?.integer { return Timestamp(milliseconds: number).clamped }
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  /// A time in any of the forms; nil: it is none.
  static func moment(_ value: JSONValue?) -> Timestamp? {
    guard let value else { return nil }
    return (try? time(JSONReader(["time": value]), "time")) ?? nil
  }

  // MARK: Omnichannel

  func livechat() throws(NormaliseError) -> Normalised {
    let type = try reader.text("type") ?? "Message"
    let visitor = try reader.object("visitor")
    let name = try visitor?.text("name").or(visitor?.text("username"))
    let person = Person(
      id: try visitor?.id("_id").or(visitor?.id("token")) ?? "visitor", name: MessageText.name(name))
    let conversation = ConversationRef(
      externalID: try reader.requiredID("_id"), kind: .direct,
      title: MessageText.name(try reader.text("label")) ?? person.name)
    let agent = try reader.object("agent")?.id("_id")
    var result = Normalised()
    for message in try reader.objects("messages", max: Self.messagesMax) ?? [] {
      do throws(NormaliseError) {
        let user = try message.object("u")
        let id = try user?.id("_id") ?? person.id
        let isOwn = message.has("agentId") || id == agent
        let files = try Self.files(message)
        let text = try RocketChatMessage.text(message, "msg")
        let words = try user?.text("name").or(user?.text("username"))
        // What closes a session and where the visitor went is not said by anybody.
        let isSaid = try message.flag("closingMessage") != true && !message.has("navigation")
        let rest = message.rest(without: Self.mappedLivechat)
        let said = InboundMessage(
          conversation: conversation, externalID: try message.requiredID("_id"),
          direction: isOwn && isSaid ? .outbound : .inbound,
          sender: isOwn ? Person(id: id, name: MessageText.name(words)) : person,
          kind: isSaid ? MediaKind.message(files) : .system,
          text: text.isEmpty ? nil : MessageText.sanitised(text), attachments: files,
          details: rest.isEmpty ? nil : .object(rest),
          sentAt: try Self.time(message, "ts") ?? receivedAt, status: isOwn && isSaid ? .sent : nil)
        result.add([.message(said)])
        guard let edited = try Self.time(message, "editedAt") else { continue }
        result.add([
          .edit(
            MessageEdit(
              conversation: conversation, externalID: said.externalID, kind: said.kind, text: said.text,
              attachments: files, details: said.details, editedAt: edited))
        ])
      } catch {
        result.faults.append(error)
      }
    }
    if type != "Message" {
      let at = try Self.time(reader, "lastMessageAt").or(Self.time(reader, "createdAt")) ?? receivedAt
      result.add([
        .message(
          Update.message(
            type, isKnown: type.hasPrefix("Livechat") || type == "LeadCapture",
            id: "\(type):\(at.microseconds)",
            conversation: conversation, sender: person, members: reader.rest(without: ["messages", "token"]),
            at: at))
      ])
    }
    return result
  }
}
