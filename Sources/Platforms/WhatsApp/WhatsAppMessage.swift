import Bytes
import JSON
import Messaging

/// Reads one message object. `type` names the member that has the content.
struct WhatsAppMessage {
  /// Members that the model's own fields carry.
  private static let mapped: Set<String> = [
    "id", "from", "from_user_id", "to", "to_user_id", "timestamp", "type", "group_id", "text",
  ]

  private let reader: JSONReader
  private let conversation: ConversationRef
  private let sender: Person
  private let direction: InboundMessage.Direction
  let at: Timestamp

  init(
    _ reader: JSONReader, conversation: ConversationRef, sender: Person,
    direction: InboundMessage.Direction, at: Timestamp
  ) {
    self.reader = reader
    self.conversation = conversation
    self.sender = sender
    self.direction = direction
    self.at = at
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch try reader.required("type", reader.text("type")) {
    case "reaction":
      let reaction = try reader.requiredObject("reaction")
      let emoji = try reaction.text("emoji") ?? ""
      return [
        .reaction(
          ReactionChange(
            conversation: conversation, externalID: try reaction.requiredID("message_id"), actor: sender,
            isOwn: direction == .outbound,
            change: .replace(emoji.isEmpty ? [] : [MessageText.sanitised(emoji, bytesMax: 64)]), at: at))
      ]
    case "edit":
      let edit = try reader.requiredObject("edit")
      let content = try WhatsAppContent(edit.requiredObject("message"))
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: try edit.requiredID("original_message_id"),
            kind: content.kind, text: content.text, attachments: content.attachments,
            details: content.details.isEmpty ? nil : .object(content.details), editedAt: at))
      ]
    case "revoke":
      let id = try reader.requiredObject("revoke").requiredID("original_message_id")
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    case "system": return try moved() + [.message(try message())]
    default: return [.message(try message())]
    }
  }

  private func message() throws(NormaliseError) -> InboundMessage {
    let content = try WhatsAppContent(reader)
    var details = content.details
    let context = try reader.object("context")
    if content.kind != .unsupported {
      for (name, value) in reader.rest(without: Self.mapped.union(content.members)) {
        details[name] = value
      }
      let rest = context?.rest(without: ["id", "from"]) ?? [:]
      details["context"] = rest.isEmpty ? nil : .object(rest)
    }
    return InboundMessage(
      conversation: conversation, externalID: try reader.requiredID("id"), direction: direction,
      sender: sender, kind: content.kind, text: content.text, attachments: content.attachments,
      replyTo: try context?.id("id"), details: details.isEmpty ? nil : .object(details), sentAt: at,
      status: direction == .outbound ? .sent : nil)
  }

  /// A customer has another number or id: the conversation goes on under it.
  private func moved() throws(NormaliseError) -> [InboundItem] {
    let system = try reader.requiredObject("system")
    guard let id = try system.id("user_id").or(system.id("new_wa_id")).or(system.id("wa_id")) else {
      return []
    }
    guard conversation.kind == .direct else { return [] }
    var old = conversation
    if old.externalID == id {
      // Older versions of the API name the new one as the sender.
      guard let customer = try system.id("customer"), customer != id else { return [] }
      old = ConversationRef(externalID: customer, kind: .direct)
    }
    return [.conversation(ConversationChange(conversation: old, migratedTo: id, at: at))]
  }
}

/// What a message says: kind, text and files.
struct WhatsAppContent {
  private(set) var kind: MessageKind = .unsupported
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  private(set) var details: [String: JSONValue] = [:]
  /// Members that the fields above carry whole.
  private(set) var members: Set<String> = []

  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "image": (.image, .image), "video": (.video, .video), "audio": (.audio, .audio),
    "voice": (.audio, .audio), "document": (.file, .file), "sticker": (.sticker, .sticker),
  ]

  init(_ reader: JSONReader) throws(NormaliseError) {
    let type = try reader.required("type", reader.text("type"))
    if let (kind, attachment) = Self.files[type] {
      try attach(reader.requiredObject(type), kind, attachment)
      members = [type]
      return
    }
    switch type {
    case "text": set(.text, try reader.requiredObject("text").text("body"))
    case "location":
      let place = try reader.requiredObject("location")
      set(.location, [try place.text("name"), try place.text("address")])
    case "contacts":
      var names: [String] = []
      for contact in try reader.required("contacts", reader.objects("contacts")) {
        names.append(try Self.name(contact))
      }
      set(.contact, names.filter { !$0.isEmpty }.joined(separator: "\n"))
    case "interactive": set(.text, try Self.choice(reader.requiredObject("interactive")))
    case "button": set(.text, try reader.requiredObject("button").text("text"))
    case "order":
      let order = try reader.requiredObject("order")
      let count = try order.objects("product_items")?.count ?? 0
      set(.text, try order.text("text") ?? "Order of \(count) items")
    case "system": set(.system, try reader.requiredObject("system").text("body") ?? "system")
    case "request_welcome": set(.system, "The chat was opened")
    default: details["raw"] = .object(reader.members)
    }
    if kind == .system {
      let service = (try? reader.object("system")?.text("type")).flatMap { $0 } ?? type
      details["service"] = .string(service)
    }
  }

  private mutating func set(_ kind: MessageKind, _ words: String?) {
    self.kind = kind
    if let words, !words.isEmpty { text = MessageText.sanitised(words) }
  }

  private mutating func set(_ kind: MessageKind, _ lines: [String?]) {
    set(kind, lines.compactMap { $0 }.joined(separator: "\n"))
  }

  private mutating func attach(
    _ file: JSONReader, _ kind: MessageKind, _ attachment: Attachment.Kind
  ) throws(NormaliseError) {
    set(kind, try file.text("caption"))
    attachments = [
      Attachment(
        kind: attachment, externalID: try file.id("id"), url: WebAddress.checked(try file.text("url")),
        name: MessageText.name(try file.text("filename")),
        mimeType: MessageText.name(try file.text("mime_type")))
    ]
    let rest = file.rest(without: ["id", "url", "filename", "mime_type", "caption"])
    if !rest.isEmpty { details["file"] = .object(rest) }
  }

  private static func name(_ contact: JSONReader) throws(NormaliseError) -> String {
    let name = try (contact.object("name")?.text("formatted_name")).or(cardName(contact.text("vcard"))) ?? ""
    let phones = try contact.objects("phones") ?? []
    let number = try phones.first?.text("phone") ?? ""
    return [name, number].filter { !$0.isEmpty }.joined(separator: ", ")
  }

  /// The name on a card (RFC 2426), which is all that says it where a contact comes as one.
  private static func cardName(_ card: String?) -> String? {
    let line = card?.split(whereSeparator: \.isNewline).first { $0.uppercased().hasPrefix("FN:") }
    return line.map { String($0.dropFirst(3)) }
  }

  /// What a button, a list or a form was answered with.
  private static func choice(_ interactive: JSONReader) throws(NormaliseError) -> String? {
    for name in ["button_reply", "list_reply"] {
      if let reply = try interactive.object(name) { return try reply.text("title").or(reply.text("id")) }
    }
    if let form = try interactive.object("nfm_reply") {
      return try form.text("body").or(form.text("name"))
    }
    return try interactive.text("type")
  }
}
