import Bytes
import JSON
import Messaging

/// Reads an event of Twilio Conversations
/// (https://www.twilio.com/docs/conversations/conversations-webhooks#post-action-webhooks).
struct TwilioConversation {
  private static let mediaMax = 100
  private static let mapped: Set<String> = [
    "EventType", "ConversationSid", "MessageSid", "Author", "Body", "DateCreated", "Media", "AccountSid",
    "ChatServiceSid", "RetryCount", "Index",
  ]

  private let reader: JSONReader
  private let type: String
  private let conversation: ConversationRef
  private let own: [String]
  private let receivedAt: Timestamp

  /// - Parameter own: the account's authors; one that ends in a star stands for all that begin so. None: who
  ///   writes by SDK or API does it for the account.
  init(_ reader: JSONReader, own: [String], receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    self.own = own
    self.receivedAt = receivedAt
    type = try reader.required("EventType", reader.text("EventType"))
    conversation = ConversationRef(
      externalID: try reader.requiredID("ConversationSid"), kind: .group,
      title: type.hasPrefix("onConversation") ? MessageText.name(try reader.text("FriendlyName")) : nil)
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    switch type {
    case "onMessageAdded": return [.message(try message())]
    case "onMessageUpdated":
      let files = try attachments()
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: try reader.requiredID("MessageSid"),
            kind: MediaKind.message(files), text: try text(), attachments: files,
            editedAt: try time("DateUpdated") ?? receivedAt))
      ]
    case "onMessageRemoved":
      return [
        .delete(
          MessageDeletion(
            conversation: conversation, externalIDs: [try reader.requiredID("MessageSid")],
            at: try time("DateRemoved") ?? receivedAt))
      ]
    case "onDeliveryUpdated": return try delivery()
    case "onParticipantAdded", "onParticipantRemoved":
      return [.membership(try participant()), .message(other(isKnown: true))]
    case "onConversationUpdated":
      return [
        .conversation(
          ConversationChange(conversation: conversation, at: try time("DateUpdated") ?? receivedAt)),
        .message(other(isKnown: true)),
      ]
    default: return [.message(other(isKnown: Self.known.contains(type)))]
    }
  }

  private func participant() throws(NormaliseError) -> MembershipChange {
    let isAdded = type == "onParticipantAdded"
    let id = try reader.id("MessagingBinding.Address").or(reader.id("Identity")).or(
      reader.id("ParticipantSid"))
    let person = Person(id: try reader.required("ParticipantSid", id))
    return MembershipChange(
      conversation: conversation, joined: isAdded ? [person] : [], left: isAdded ? [] : [person],
      at: receivedAt)
  }

  private static let known: Set<String> = [
    "onConversationAdded", "onConversationRemoved", "onConversationStateUpdated", "onParticipantUpdated",
    "onUserAdded", "onUserUpdated",
  ]

  private func message() throws(NormaliseError) -> InboundMessage {
    let source = try reader.text("Source") ?? "SMS"
    let author = try reader.id("Author") ?? "twilio"
    let isOwn = (source == "API" || source == "SDK") && isOwn(author)
    let files = try attachments()
    let rest = reader.rest(without: Self.mapped)
    return InboundMessage(
      conversation: conversation, externalID: try reader.requiredID("MessageSid"),
      direction: isOwn ? .outbound : .inbound, sender: Person(id: author), kind: MediaKind.message(files),
      text: try text(), attachments: files, details: rest.isEmpty ? nil : .object(rest),
      sentAt: try time("DateCreated") ?? receivedAt, order: Int64(try reader.id("Index") ?? "") ?? 0,
      status: isOwn ? .sent : nil)
  }

  /// A visitor of a web chat writes by the SDK as agents do. What names no author is by `system`.
  private func isOwn(_ author: String) -> Bool {
    own.isEmpty || author == "system"
      || own.contains { $0.hasSuffix("*") ? author.hasPrefix($0.dropLast()) : author == $0 }
  }

  private func text() throws(NormaliseError) -> String? {
    try reader.text("Body").flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }
  }

  /// `Media` is JSON within a field.
  private func attachments() throws(NormaliseError) -> [Attachment] {
    guard let media = try reader.text("Media"), let list = try? JSONValue(parsing: media.utf8) else {
      return []
    }
    var files: [Attachment] = []
    let readers = try JSONReader(["Media": list]).objects("Media", max: Self.mediaMax) ?? []
    for file in readers {
      let type = MessageText.name(try file.text("ContentType"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(type), externalID: try file.id("Sid"),
          name: MessageText.name(try file.text("Filename")), mimeType: type,
          sizeBytes: try file.integer("Size")))
    }
    return files
  }

  private func delivery() throws(NormaliseError) -> [InboundItem] {
    guard let status = TwilioMessage.status(try reader.required("Status", reader.text("Status"))) else {
      throw .wrongValue(path: "Status", expected: "a status this version knows")
    }
    return [
      .status(
        StatusChange(
          conversation: conversation, externalID: try reader.requiredID("MessageSid"), status: status,
          reason: status == .failed ? TwilioMessage.reason(reader) : nil,
          at: try time("DateUpdated") ?? receivedAt))
    ]
  }

  private func time(_ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: name, expected: "an RFC 3339 time")
    }
    return time.clamped
  }

  private func other(isKnown: Bool) -> InboundMessage {
    let name = MessageText.sanitised(type, bytesMax: 128)
    let rest = reader.rest(without: ["EventType"])
    return InboundMessage(
      conversation: conversation,
      externalID: Update.id(name, of: reader.rest(without: ["RetryCount"])),
      sender: Person(id: "twilio", name: "Twilio"), kind: isKnown ? .system : .unsupported,
      text: isKnown ? name : nil,
      details: isKnown
        ? ["service": .string(name), "event": .object(rest)] : ["raw": .object(reader.members)],
      sentAt: receivedAt)
  }
}
