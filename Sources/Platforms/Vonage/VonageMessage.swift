import Bytes
import JSON
import Messaging

/// Reads a message or status of the Messages API, or of the SMS API. The other side's address, behind its
/// channel where that is not SMS, is the conversation.
struct VonageMessage {
  private static let mapped: Set<String> = [
    "message_uuid", "from", "timestamp", "message_type", "text", "profile", "context",
  ]
  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "image": (.image, .image), "video": (.video, .video), "audio": (.audio, .audio), "file": (.file, .file),
    "sticker": (.sticker, .sticker), "vcard": (.contact, .file),
  ]

  private let reader: JSONReader
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) {
    self.reader = reader
    self.receivedAt = receivedAt
  }

  private func time() throws(NormaliseError) -> Timestamp {
    guard let text = try reader.text("timestamp") else { return receivedAt }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: "timestamp", expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  /// Messages carry addresses as texts; some channels as objects.
  private func address(_ name: String) throws(NormaliseError) -> String? {
    if let object = try? reader.object(name) { return try object.id("number").or(object.id("id")) }
    return try reader.id(name)
  }

  private func conversation(_ address: String, _ title: String?) throws(NormaliseError) -> ConversationRef {
    let channel = try reader.text("channel") ?? "sms"
    let isPlain = channel == "sms" || channel == "mms"
    return ConversationRef(
      externalID: isPlain ? address : "\(channel):\(address)", kind: .direct, title: title)
  }

  // MARK: The Messages API

  func items() throws(NormaliseError) -> [InboundItem] {
    let id = try reader.requiredID("message_uuid")
    if let name = try reader.text("status") { return [.status(try status(name, id))] }
    let from = try reader.required("from", address("from"))
    let name = MessageText.name(try reader.object("profile")?.text("name"))
    let person = Person(id: from, name: name)
    let conversation = try conversation(from, name)
    let type = try reader.required("message_type", reader.text("message_type"))
    let context = try reader.object("context")?.id("message_uuid")
    if type == "reaction", let reaction = try reader.object("reaction"), let context {
      let emoji = try reaction.text("emoji") ?? ""
      let isGone = try reaction.text("action") == "unreact" || emoji.isEmpty
      return [
        .reaction(
          ReactionChange(
            conversation: conversation, externalID: context, actor: person,
            change: .replace(isGone ? [] : [MessageText.sanitised(emoji, bytesMax: 64)]), at: try time()))
      ]
    }
    var kind: MessageKind = .text
    var text = try reader.text("text")
    var attachments: [Attachment] = []
    if let (found, attachment) = Self.files[type] {
      let file = try reader.object(type)
      kind = found
      text = try (file?.text("caption")).or(text)
      attachments = [
        Attachment(
          kind: attachment, url: WebAddress.checked(try file?.text("url")),
          name: MessageText.name(try file?.text("name")))
      ]
    } else {
      switch type {
      case "text": kind = .text
      case "order":
        let items = try reader.object("order")?.objects("product_items") ?? []
        text = text ?? "Order of \(items.count) items"
      case "location":
        kind = .location
        text = try reader.object("location")?.text("name")
      case "contact":
        kind = .contact
        let contact = try reader.object("contact")
        let phone = try contact?.objects("phones")?.first?.text("phone")
        let lines = try [contact?.object("name")?.text("formatted_name"), phone].compactMap { $0 }
        text = lines.filter { !$0.isEmpty }.joined(separator: ", ")
      case "reply", "button":
        let choice = try reader.object(type)
        text = try (choice?.text("title").or(choice?.text("text"))).or(text)
      default: kind = .unsupported
      }
    }
    let rest = reader.rest(without: Self.mapped)
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, sender: person, kind: kind,
          text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: attachments,
          replyTo: context,
          details: kind == .unsupported
            ? ["raw": .object(reader.members)] : rest.isEmpty ? nil : .object(rest), sentAt: try time()))
    ]
  }

  private func status(_ name: String, _ id: String) throws(NormaliseError) -> StatusChange {
    let status: MessageStatus
    switch name {
    case "submitted": status = .sent
    case "delivered": status = .delivered
    case "read": status = .read
    case "rejected", "undeliverable": status = .failed
    default: throw .wrongValue(path: "status", expected: "a status this version knows")
    }
    let error = try reader.object("error")
    let words = try error?.text("detail").or(error?.id("title"))
    return StatusChange(
      conversation: try conversation(address("to") ?? "unknown", nil), externalID: id, status: status,
      reason: status == .failed ? MessageText.name(words) : nil,
      clientKey: try reader.id("client_ref"), at: try time())
  }

  // MARK: The SMS API

  func sms() throws(NormaliseError) -> [InboundItem] {
    let id = try reader.requiredID("messageId")
    if let name = try reader.text("status") {
      let status: MessageStatus =
        switch name {
        case "delivered": .delivered
        case "accepted", "buffered": .sent
        default: .failed
        }
      let code = try reader.id("err-code").map { "\(name), code \($0)" }
      // Of a receipt, msisdn is who was written to.
      return [
        .status(
          StatusChange(
            conversation: ConversationRef(externalID: try reader.requiredID("msisdn"), kind: .direct),
            externalID: id, status: status, reason: status == .failed ? MessageText.name(code) : nil,
            clientKey: try reader.id("client-ref"), at: receivedAt))
      ]
    }
    let from = try reader.requiredID("msisdn")
    let text = try reader.text("text") ?? ""
    let rest = reader.rest(without: ["msisdn", "messageId", "text", "sig", "nonce", "timestamp"])
    return [
      .message(
        InboundMessage(
          conversation: ConversationRef(externalID: from, kind: .direct), externalID: id,
          sender: Person(id: from), kind: .text, text: text.isEmpty ? nil : MessageText.sanitised(text),
          details: rest.isEmpty ? nil : .object(rest), sentAt: try stamped() ?? receivedAt))
    ]
  }

  /// `message-timestamp` is in UTC without saying so.
  private func stamped() throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text("message-timestamp") else { return nil }
    return Timestamp(rfc3339: text.replacing(" ", with: "T") + "Z")?.clamped
  }
}
