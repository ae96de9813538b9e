import Bytes
import JSON
import Messaging

/// Reads a status (https://docs.joinmastodon.org/entities/Status/). What somebody posts is a conversation
/// with that person; what the account posts belongs to the one with whom it is for.
struct MastodonStatus {
  private static let mapped: Set<String> = [
    "id", "content", "created_at", "account", "media_attachments", "in_reply_to_id", "edited_at",
  ]
  /// What says how a status stands with the reader.
  private static let state: Set<String> = [
    "favourites_count", "reblogs_count", "replies_count", "quotes_count", "favourited", "reblogged", "muted",
    "bookmarked", "pinned", "filtered", "card",
  ]

  private let status: JSONReader
  private let own: String?
  private let partner: (Person, ConversationRef)?
  private let at: Timestamp

  /// - Parameters:
  ///   - own: the account's id; nil: that of a server, for which everything is inbound.
  ///   - partner: with whom the conversation is, where the status does not tell.
  ///   - at: stands in where it has no time.
  init(_ status: JSONReader, own: String? = nil, partner: JSONReader? = nil, at: Timestamp) {
    self.status = status
    self.own = own
    self.partner = partner.flatMap { try? Self.person($0) }
    self.at = at
  }

  static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.text(name) else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
      throw .wrongValue(path: reader.place(name), expected: "an ISO 8601 time")
    }
    return time.clamped
  }

  static func person(_ account: JSONReader) throws(NormaliseError) -> (Person, ConversationRef) {
    let name = try account.text("display_name").flatMap { $0.isEmpty ? nil : $0 }.or(account.text("acct"))
    let person = Person(
      id: try account.requiredID("id"), name: MessageText.name(name),
      avatar: WebAddress.checked(try account.text("avatar")))
    return (person, ConversationRef(externalID: person.id, kind: .direct, title: person.name))
  }

  private func author() throws(NormaliseError) -> (Person, ConversationRef) {
    guard let account = try status.object("account") else {
      return (Person(id: "mastodon", name: "Mastodon"), Update.channel("Mastodon"))
    }
    return try Self.person(account)
  }

  var isOwn: Bool { own != nil && status["account"]?["id"]?.identifier == own }

  /// With whom it is; nil: the account said it to nobody in particular.
  func conversation() throws(NormaliseError) -> ConversationRef? {
    guard isOwn else { return try author().1 }
    if let partner { return partner.1 }
    let mentions = try status.objects("mentions", max: 1_000) ?? []
    let others = mentions.filter { $0["id"]?.identifier != own }
    let answered = try status.id("in_reply_to_account_id").flatMap { $0 == own ? nil : $0 }
    let mention = others.first { $0["id"]?.identifier == answered } ?? others.first
    guard let id = try answered.or(mention?.id("id")) else { return nil }
    let name = mention?["id"]?.identifier == id ? mention?["acct"]?.string : nil
    return ConversationRef(externalID: id, kind: .direct, title: MessageText.name(name))
  }

  private func content() throws(NormaliseError) -> (text: String?, files: [Attachment], details: JSONValue?) {
    let words = withoutMentions(HTMLText.plain(try status.text("content") ?? ""))
    var files: [Attachment] = []
    for file in try status.objects("media_attachments", max: 100) ?? [] {
      let type = try file.text("type") ?? "unknown"
      let kind: Attachment.Kind = type == "gifv" ? .video : Attachment.Kind(rawValue: type) ?? .file
      files.append(
        Attachment(
          kind: kind, externalID: try file.id("id"), url: WebAddress.checked(try file.text("url")),
          caption: MessageText.name(try file.text("description"))))
    }
    let rest = status.rest(without: own == nil ? Self.mapped : Self.mapped.union(Self.state))
    return (words.isEmpty ? nil : MessageText.sanitised(words), files, rest.isEmpty ? nil : .object(rest))
  }

  /// The account's own statuses begin with whom they are for; that is not part of what was said.
  private func withoutMentions(_ text: String) -> String {
    guard isOwn else { return text }
    let names = (status["mentions"]?.array ?? []).flatMap { mention in
      ["acct", "username"].compactMap { mention[$0]?.string }.map { "@" + $0 }
    }
    var rest = text[...]
    while let name = names.filter({ rest.hasPrefix($0) }).max(by: { $0.count < $1.count }) {
      let after = rest.dropFirst(name.count)
      guard after.isEmpty || after.first?.isWhitespace == true else { break }
      rest = after.drop { $0.isWhitespace }
    }
    return String(rest)
  }

  func message() throws(NormaliseError) -> InboundMessage {
    let (person, place) = try author()
    let content = try content()
    return InboundMessage(
      conversation: try conversation() ?? place, externalID: try status.requiredID("id"),
      direction: isOwn ? .outbound : .inbound, sender: person, kind: MediaKind.message(content.files),
      text: content.text, attachments: content.files, replyTo: try status.id("in_reply_to_id"),
      details: content.details, sentAt: try Self.time(status, "created_at") ?? at, status: isOwn ? .sent : nil
    )
  }

  func edit() throws(NormaliseError) -> MessageEdit {
    let place = try author().1
    let content = try content()
    return MessageEdit(
      conversation: try conversation() ?? place, externalID: try status.requiredID("id"),
      kind: MediaKind.message(content.files), text: content.text, attachments: content.files,
      details: content.details, editedAt: try Self.time(status, "edited_at") ?? at)
  }

  /// As it stands: the message, and its edit where it was edited. Nothing for what was said to nobody.
  func items() throws(NormaliseError) -> [InboundItem] {
    guard try conversation() != nil else { return [] }
    let message = try message()
    return try status.text("edited_at") == nil ? [.message(message)] : [.message(message), .edit(try edit())]
  }
}
