import Bytes
import JSON
import Messaging

/// Reads a message, as webhooks, events and lists of messages give it.
struct ZulipMessage {
  private static let mapped: Set<String> = [
    "id", "type", "stream_id", "display_recipient", "subject", "content", "sender_id", "sender_full_name",
    "timestamp", "avatar_url", "rendered_content",
  ]
  /// What says how a message stands and not what it is.
  private static let state: Set<String> = [
    "flags", "reactions", "submessages", "last_edit_timestamp", "last_moved_timestamp", "edit_history",
    "content_type", "topic_links", "recipient_id", "is_me_message", "client", "match_content",
    "match_subject",
  ]

  let message: JSONReader
  /// nil: everything is inbound, and details are kept whole, as for webhooks.
  let own: String?
  let receivedAt: Timestamp

  private var isStream: Bool { ["stream", "channel"].contains(message["type"]?.string) }

  func conversation() throws(NormaliseError) -> ConversationRef {
    guard isStream else { return try direct() }
    let name = try message.text("display_recipient")
    return ConversationRef(
      externalID: try message.id("stream_id") ?? "stream:\(name ?? "")", kind: .group,
      title: MessageText.name(name))
  }

  /// The people of a direct conversation are its name.
  private func direct() throws(NormaliseError) -> ConversationRef {
    let people = try message.objects("display_recipient", max: 1_000) ?? []
    var ids: [String] = []
    for person in people { ids.append(try person.requiredID("id")) }
    let sorted = ids.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
    var title = people.count == 2 ? try message.text("sender_full_name") : nil
    if let own, people.count == 2 {
      title = try people.first { $0["id"]?.identifier != own }?.text("full_name")
    }
    let id = sorted.isEmpty ? try message.requiredID("sender_id") : sorted.joined(separator: ",")
    return ConversationRef(
      externalID: MessageText.sanitised("direct:\(id)", bytesMax: 1_024),
      kind: people.count > 2 ? .group : .direct, title: MessageText.name(title))
  }

  /// - Parameters:
  ///   - text: what is said, where the message itself does not say it.
  ///   - more: further details.
  func said(text: String? = nil, more: [String: JSONValue] = [:]) throws(NormaliseError) -> InboundMessage {
    let content = ZulipUploads(try message.text("content") ?? text)
    let unwanted = own == nil ? Self.mapped : Self.mapped.union(Self.state)
    let details = message.rest(without: unwanted).merging(more) { first, _ in first }
    let seconds = try message.number("timestamp").flatMap { Int64(exactly: $0.rounded(.down)) }
    let sender = try message.requiredID("sender_id")
    let isOwn = sender == own
    var said = InboundMessage(
      conversation: try conversation(), externalID: try message.requiredID("id"),
      direction: isOwn ? .outbound : .inbound,
      sender: Person(
        id: sender, name: MessageText.name(try message.text("sender_full_name")),
        avatar: WebAddress.checked(try message.text("avatar_url"))),
      kind: content.kind, text: content.text.map { MessageText.sanitised($0) }, attachments: content.files,
      threadID: isStream ? try message.text("subject").flatMap { MessageText.name($0) } : nil,
      details: details.isEmpty ? nil : .object(details),
      sentAt: seconds.map { Timestamp(seconds: $0).clamped } ?? receivedAt, status: isOwn ? .sent : nil)
    if isOwn { said.written = said.text.map { ZulipText.written($0) } }
    return said
  }

  /// A message of a list, with its edit and its reactions as they stand.
  func items() throws(NormaliseError) -> [InboundItem] {
    let said = try said()
    var items: [InboundItem] = [.message(said)]
    if let edited = try edit(said) { items.append(edited) }
    let at = Timestamp(seconds: try message.integer("last_edit_timestamp") ?? said.sentAt.seconds).clamped
    for reaction in try message.objects("reactions") ?? [] {
      let actor = try Self.actor(reaction)
      items.append(
        .reaction(
          ReactionChange(
            conversation: said.conversation, externalID: said.externalID, actor: actor,
            isOwn: actor.id == own, change: .add(try Self.emoji(reaction)), at: at)))
    }
    return items
  }

  private func edit(_ said: InboundMessage) throws(NormaliseError) -> InboundItem? {
    guard let seconds = try message.integer("last_edit_timestamp") else { return nil }
    return .edit(
      MessageEdit(
        conversation: said.conversation, externalID: said.externalID, kind: said.kind, text: said.text,
        attachments: said.attachments, details: said.details, editedAt: Timestamp(seconds: seconds).clamped))
  }

  // MARK: Reactions

  static func actor(_ reaction: JSONReader) throws(NormaliseError) -> Person {
    let user = try reaction.object("user")
    let id = try reaction.id("user_id").or(user?.id("user_id")).or(user?.id("id"))
    return Person(
      id: try reaction.required("user_id", id), name: MessageText.name(try user?.text("full_name")))
  }

  /// Codes of Unicode emoji are their scalars: `1f1e9-1f1ea`. Others go by their names.
  static func emoji(_ reaction: JSONReader) throws(NormaliseError) -> String {
    let name = MessageText.sanitised(try reaction.requiredID("emoji_name"), bytesMax: 120)
    guard try reaction.text("reaction_type") ?? "unicode_emoji" == "unicode_emoji",
      let code = try reaction.text("emoji_code"), code.utf8.count < 80
    else { return ":\(name):" }
    let scalars = code.split(separator: "-").map { UInt32($0, radix: 16).flatMap { Unicode.Scalar($0) } }
    let known = scalars.compactMap { $0 }.filter { $0.value > 0x1f }
    guard !known.isEmpty, known.count == scalars.count else { return ":\(name):" }
    return String(String.UnicodeScalarView(known))
  }
}
