import Bytes
import JSON
import Messaging

/// Reads what MessageBird's Conversations and Bird's channels send: a message, its new status, or news of a
/// conversation.
struct BirdEvent {
  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "image": (.image, .image), "video": (.video, .video), "audio": (.audio, .audio), "file": (.file, .file),
    "whatsappSticker": (.sticker, .sticker),
  ]

  private let reader: JSONReader
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) {
    self.reader = reader
    self.receivedAt = receivedAt
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  private static func status(_ name: String) -> MessageStatus? {
    switch name {
    case "accepted", "pending", "processing", "scheduled": .queued
    case "sent", "transmitted": .sent
    case "delivered": .delivered
    case "read", "opened": .read
    case "failed", "rejected", "delivery_failed", "sending_failed", "skipped", "expired": .failed
    default: nil
    }
  }

  // MARK: MessageBird

  func conversations() throws(NormaliseError) -> [InboundItem] {
    let type = try reader.required("type", reader.text("type"))
    let contact = try reader.object("contact")
    let message = try reader.object("message")
    let name = MessageText.name(try contact?.text("displayName"))
    let id = try (message?.id("conversationId")).or(reader.object("conversation")?.id("id"))
    let conversation = ConversationRef(
      externalID: try reader.required("conversation", id), kind: .direct, title: name)
    guard let message, type.hasPrefix("message.") else {
      let at = try Self.time(reader.object("conversation") ?? reader, "updatedDatetime") ?? receivedAt
      let isKnown = type == "conversation.created" || type == "conversation.updated"
      return [
        .message(
          Update.message(
            type, isKnown: isKnown, id: "\(type):\(at.microseconds)", conversation: conversation,
            sender: Person(id: "messagebird", name: "MessageBird"), members: reader.members, at: at))
      ]
    }
    let isOwn = try message.text("direction") == "sent"
    let at = try Self.time(message, "createdDatetime") ?? receivedAt
    let status = try message.text("status").flatMap { Self.status($0) }
    if type == "message.updated" {
      return try updated(message, conversation, isOwn: isOwn, at: Self.time(message, "updatedDatetime") ?? at)
    }
    let sender = Person(id: try message.id("from") ?? "unknown", name: isOwn ? nil : name)
    let kind = try message.text("type") ?? "text"
    let content = try message.object("content") ?? JSONReader([:])
    return [
      .message(
        try read(
          kind, content, conversation: conversation, id: message.requiredID("id"), sender: sender,
          isOwn: isOwn, status: status,
          details: message.rest(without: [
            "id", "conversationId", "from", "direction", "status", "type", "content", "createdDatetime",
            "updatedDatetime",
          ]), at: at))
    ]
  }

  private func updated(
    _ message: JSONReader, _ conversation: ConversationRef, isOwn: Bool, at: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    let id = try message.requiredID("id")
    let name = try message.text("status") ?? ""
    if name == "deleted" {
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    }
    // What came in does not get anywhere any more.
    guard isOwn, let status = Self.status(name) else { return [] }
    let reason = try message.object("error")?.text("description")
    return [
      .status(
        StatusChange(
          conversation: conversation, externalID: id, status: status,
          reason: status == .failed ? MessageText.name(reason) : nil, at: at))
    ]
  }

  // MARK: Bird

  func channels() throws(NormaliseError) -> [InboundItem] {
    let event = try reader.required("event", reader.text("event"))
    let payload = try reader.requiredObject("payload")
    let isOwn = event.hasSuffix(".outbound")
    let at = try Self.time(payload, "createdAt") ?? receivedAt
    guard isOwn || event.hasSuffix(".inbound") else { return try other(event, payload, at) }
    let id = try payload.requiredID("id")
    let other = try Self.contact(payload, isOwn: isOwn)
    let channel = try payload.id("channelId")
    let conversation = Self.conversation(channel, with: other)
    let status = try payload.text("status").flatMap { Self.status($0) }
    guard let body = try payload.object("body") else {
      guard isOwn, let status else { throw .missing(path: "payload.body") }
      return [
        .status(
          StatusChange(
            conversation: conversation, externalID: id, status: status,
            reason: status == .failed ? MessageText.name(try payload.text("reason")) : nil,
            clientKey: try Self.key(payload), at: at))
      ]
    }
    let type = try body.text("type") ?? "text"
    let content = JSONReader(body.rest(without: ["type"]))
    var details = payload.rest(without: [
      "id", "channelId", "sender", "receiver", "body", "status", "createdAt",
    ])
    // What the hub itself sent has the key of its job.
    if isOwn { details["clientKey"] = try Self.key(payload).map { .string($0) } }
    let message = try read(
      type, content, conversation: conversation, id: id,
      sender: isOwn ? Person(id: channel ?? "bird") : other ?? Person(id: "unknown"), isOwn: isOwn,
      status: status, details: details, at: at)
    // An outbound message comes again with each status: the first makes it, the others change it.
    guard isOwn, let status, status != .queued else { return [.message(message)] }
    return [
      .message(message),
      .status(StatusChange(conversation: conversation, externalID: id, status: status, at: receivedAt)),
    ]
  }

  /// The hub's own key, where a message has one.
  private static func key(_ payload: JSONReader) throws(NormaliseError) -> String? {
    try payload.text("reference").flatMap { UUIDv7($0) }.map { "\($0)" }
  }

  /// An address may be known on several channels.
  private static func conversation(_ channel: String?, with other: Person?) -> ConversationRef {
    let parts = [channel, other?.id ?? "unknown"].compactMap { $0 }
    return ConversationRef(externalID: parts.joined(separator: ":"), kind: .direct, title: other?.name)
  }

  /// An interaction, such as reading or pressing, or news that this version does not know.
  private func other(
    _ event: String, _ payload: JSONReader, _ at: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    let isInteraction = event.hasSuffix(".interaction")
    let contact = isInteraction ? try Self.contact(payload, isOwn: true) : nil
    let conversation = contact.map { contact in
      Self.conversation(payload["channelId"]?.identifier, with: contact)
    }
    if let conversation, let id = try payload.id("messageId"),
      let status = try payload.text("type").flatMap({ Self.status($0) }), status == .read
    {
      return [
        .status(StatusChange(conversation: conversation, externalID: id, status: status, at: at))
      ]
    }
    return [
      .message(
        Update.message(
          event, isKnown: isInteraction, id: "\(event):\(try payload.id("id") ?? ""):\(at.microseconds)",
          conversation: conversation ?? Update.channel("Bird"),
          sender: contact ?? Person(id: "bird", name: "Bird"), members: reader.members, at: at))
    ]
  }

  private static func contact(_ payload: JSONReader, isOwn: Bool) throws(NormaliseError) -> Person? {
    let side = try payload.object(isOwn ? "receiver" : "sender")
    var contact = try side?.object("contact")
    if contact == nil { contact = try side?.objects("contacts")?.first }
    guard let contact else { return nil }
    let name = try contact.object("annotations")?.text("name")
    let id = try contact.id("identifierValue").or(contact.id("id"))
    return id.map { Person(id: $0, name: MessageText.name(name)) }
  }

  // MARK: Content

  private func read(
    _ type: String, _ content: JSONReader, conversation: ConversationRef, id: String, sender: Person,
    isOwn: Bool, status: MessageStatus?, details: [String: JSONValue], at: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    var kind: MessageKind = .unsupported
    var text: String?
    var attachments: [Attachment] = []
    var details = details
    if let (found, attachment) = Self.files[type] {
      kind = found
      let file = try content.object(type)
      let list = try file?.objects("images").or(file?.objects("files"))
      for entry in list ?? (file.map { [$0] } ?? []) {
        let url = try entry.text("url").or(entry.text("mediaUrl")).or(entry.text("link"))
        attachments.append(
          Attachment(
            kind: attachment, url: WebAddress.checked(url),
            name: MessageText.name(try entry.text("filename")),
            mimeType: MessageText.name(try entry.text("contentType"))))
      }
      text = try file?.text("caption").or(file?.text("text"))
    } else if type == "text" {
      kind = .text
      if content["text"]?.string != nil {
        text = try content.text("text")
      } else {
        text = try content.object("text")?.text("text")
      }
    } else if type == "interactive" {
      kind = .text
      let reply = try content.object("interactive")?.object("reply")
      text = try reply?.text("text").or(reply?.text("title"))
      details["interactive"] = content["interactive"]
      if text == nil { kind = .unsupported }
    } else if type == "location" {
      kind = .location
      details["location"] = content["location"]
    }
    if kind == .unsupported {
      details = ["raw": .object(content.members.merging(["type": .string(type)]) { first, _ in first })]
    }
    return InboundMessage(
      conversation: conversation, externalID: id, direction: isOwn ? .outbound : .inbound, sender: sender,
      kind: kind, text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) },
      attachments: attachments, details: details.isEmpty ? nil : .object(details), sentAt: at,
      status: isOwn ? status ?? .sent : nil)
  }
}
