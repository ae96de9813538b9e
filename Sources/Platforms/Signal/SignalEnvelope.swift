import Bytes
import JSON
import Messaging

/// Reads one envelope. The member that is there decides: messages and edits, the account's own from other
/// devices (`syncMessage`), receipts, typing, calls.
///
/// A message is named by who sent it and when, in milliseconds; the account's own by `own` and the time,
/// because receipts name no author.
struct SignalEnvelope {
  private static let mapped: Set<String> = [
    "timestamp", "message", "groupInfo", "quote", "reaction", "attachments", "sticker", "remoteDelete",
    "destination", "destinationNumber", "destinationUuid", "expiresInSeconds", "isExpirationUpdate",
  ]
  private static let filesMax = 100
  /// Members of a message that says nothing.
  private static let happenings = [
    "pollVote", "pollTerminate", "pinMessage", "unpinMessage", "payment",
  ]

  private let reader: JSONReader
  private let account: String?
  private let own: [String]
  private let source: Person
  private let at: Timestamp

  init(
    _ reader: JSONReader, account: String?, own: [String], receivedAt: Timestamp
  ) throws(NormaliseError) {
    self.reader = reader
    self.account = account
    self.own = own
    let number = try reader.id("sourceNumber")
    let id = try reader.id("sourceUuid").or(number).or(reader.id("source"))
    source = Person(
      id: try reader.required("sourceUuid", id),
      name: MessageText.name(try reader.text("sourceName") ?? number))
    at = (try reader.integer("timestamp")).map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    if let data = try reader.object("dataMessage") { return try read(data, nil, isOwn: false) }
    if let edit = try reader.object("editMessage") {
      let target = try edit.required("targetSentTimestamp", edit.integer("targetSentTimestamp"))
      return try read(edit.requiredObject("dataMessage"), target, isOwn: false)
    }
    if let sync = try reader.object("syncMessage") { return try synced(sync) }
    if let receipt = try reader.object("receiptMessage") { return try receipts(receipt) }
    if let typing = try reader.object("typingMessage") {
      let isTyping = try typing.text("action") != "STOPPED"
      let group = try typing.id("groupId")
      return [.typing(Typing(conversation: conversation(group), sender: source, isTyping: isTyping))]
    }
    let names = reader.members.keys.filter { $0.hasSuffix("Message") && reader.has($0) }.sorted()
    let name = names.first ?? "envelope"
    if let call = try reader.object("callMessage") { return try called(call) }
    return [.message(other(name, isKnown: name == "storyMessage"))]
  }

  private func conversation(_ group: String?) -> ConversationRef {
    group.map { ConversationRef(externalID: $0, kind: .group) }
      ?? ConversationRef(externalID: source.id, kind: .direct, title: source.name)
  }

  private func other(_ name: String, isKnown: Bool) -> InboundMessage {
    Update.message(
      name, isKnown: isKnown, id: "\(name):\(source.id):\(at.microseconds / 1_000)",
      conversation: conversation(nil), sender: source, members: reader.members, at: at)
  }

  /// A call is one message: the offer makes it, its end completes it. What phones tell each other to connect
  /// is nothing to a reader.
  private func called(_ call: JSONReader) throws(NormaliseError) -> [InboundItem] {
    if let offer = try call.object("offerMessage") {
      let details: JSONValue = ["call": .object(offer.rest(without: ["opaque"]))]
      return [
        .message(
          InboundMessage(
            conversation: conversation(nil), externalID: try callID(offer), sender: source, kind: .call,
            text: "Call", details: details, sentAt: at))
      ]
    }
    for (name, words) in [("hangupMessage", "Call ended"), ("busyMessage", "Call not taken")] {
      guard let end = try call.object(name) else { continue }
      return [
        .edit(
          MessageEdit(
            conversation: conversation(nil), externalID: try callID(end), kind: .call, text: words,
            details: ["call": .object(end.members)], editedAt: at))
      ]
    }
    guard call.has("answerMessage") || call.has("iceUpdateMessages") else {
      return [.message(other("callMessage", isKnown: true))]
    }
    return []
  }

  private func callID(_ call: JSONReader) throws(NormaliseError) -> String {
    "call:\(try call.requiredID("id"))"
  }

  // MARK: Messages

  /// What the account wrote or read on another device.
  private func synced(_ sync: JSONReader) throws(NormaliseError) -> [InboundItem] {
    guard let sent = try sync.object("sentMessage") else {
      // What was read elsewhere says nothing about what others have read.
      return sync.has("readMessages") ? [] : [.message(other("syncMessage", isKnown: true))]
    }
    if let edit = try sent.object("editMessage") {
      let target = try edit.required("targetSentTimestamp", edit.integer("targetSentTimestamp"))
      return try read(edit.requiredObject("dataMessage"), target, isOwn: true, to: sent)
    }
    return try read(sent, nil, isOwn: true, to: sent)
  }

  private func read(
    _ data: JSONReader, _ edited: Int64?, isOwn: Bool, to sent: JSONReader? = nil
  ) throws(NormaliseError) -> [InboundItem] {
    let stamp = try data.integer("timestamp")
    let at = stamp.map { Timestamp(milliseconds: $0).clamped } ?? at
    var conversation = self.conversation(nil)
    if let group = try data.object("groupInfo") {
      conversation = ConversationRef(
        externalID: try group.requiredID("groupId"), kind: .group,
        title: MessageText.name(try group.text("groupName")))
      if try group.text("type") == "UPDATE", !data.has("message") {
        var message = other("group update", isKnown: true)
        message.conversation = conversation
        return [.conversation(ConversationChange(conversation: conversation, at: at)), .message(message)]
      }
    } else if isOwn, let sent {
      let id = try sent.id("destinationUuid").or(sent.id("destinationNumber")).or(sent.id("destination"))
      conversation = ConversationRef(externalID: try sent.required("destinationUuid", id), kind: .direct)
    }
    let author = isOwn ? "own" : source.id
    if let reaction = try data.object("reaction") {
      let emoji = MessageText.sanitised(try reaction.requiredID("emoji"), bytesMax: 64)
      let isGone = try reaction.flag("isRemove") ?? false
      return [
        .reaction(
          ReactionChange(
            conversation: conversation,
            externalID: try target(reaction, "targetAuthor", "targetSentTimestamp", conversation),
            actor: source, isOwn: isOwn, change: .replace(isGone ? [] : [emoji]), at: at))
      ]
    }
    if let deletion = try data.object("remoteDelete") {
      let stamp = try deletion.required("timestamp", deletion.integer("timestamp"))
      return [
        .delete(MessageDeletion(conversation: conversation, externalIDs: ["\(author):\(stamp)"], at: at))
      ]
    }
    // A group's administrator may delete what others wrote.
    if let deletion = try data.object("adminDelete") {
      let id = try target(deletion, "targetAuthor", "targetSentTimestamp", conversation)
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))]
    }
    let content = try content(data)
    if let edited {
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: "\(author):\(edited)", kind: content.kind,
            text: content.text, attachments: content.files, details: content.details, editedAt: at))
      ]
    }
    let quote = try data.object("quote")
    let replyTo = try quote.map { quote throws(NormaliseError) in
      try target(quote, "author", "id", conversation)
    }
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: "\(author):\(at.microseconds / 1_000)",
          direction: isOwn ? .outbound : .inbound, sender: source, kind: content.kind, text: content.text,
          attachments: content.files, replyTo: replyTo, details: content.details, sentAt: at,
          status: isOwn ? .sent : nil))
    ]
  }

  /// The name of another message, by its author and time.
  private func target(
    _ reader: JSONReader, _ author: String, _ time: String, _ conversation: ConversationRef
  ) throws(NormaliseError) -> String {
    let stamp = try reader.required(time, reader.integer(time))
    let number = try reader.id("\(author)Number")
    let id = try reader.id("\(author)Uuid").or(number).or(reader.id(author)) ?? "own"
    let isOther = conversation.kind == .direct && (id == conversation.externalID || id == source.id)
    let isOwn = own.contains(id) || (number != nil && number == account)
    let isDirectOwn = conversation.kind == .direct && !isOther
    return isOwn || isDirectOwn ? "own:\(stamp)" : "\(id):\(stamp)"
  }

  /// The text with the names of those whom it mentions, each of whom is one sign in it (U+FFFC); places are
  /// counted in UTF-16.
  private func named(_ data: JSONReader) throws(NormaliseError) -> String? {
    guard let text = try data.text("message") else { return nil }
    var units = Array(text.utf16)
    var mentions: [(start: Int, length: Int, name: String)] = []
    for mention in try data.objects("mentions") ?? [] {
      let who = try mention.text("name").or(mention.text("number")).or(mention.text("uuid"))
      guard let who, !who.isEmpty, let start = try mention.integer("start").flatMap({ Int(exactly: $0) }),
        let length = try mention.integer("length").flatMap({ Int(exactly: $0) }), start >= 0, length > 0,
        start < units.count, length <= units.count - start
      else { continue }
      mentions.append((start, length, who))
    }
    var end = units.count
    for mention in mentions.sorted(by: { $0.start > $1.start }) where mention.start + mention.length <= end {
      units.replaceSubrange(mention.start..<(mention.start + mention.length), with: "@\(mention.name)".utf16)
      end = mention.start
    }
    return String(decoding: units, as: UTF16.self)
  }

  private func content(
    _ data: JSONReader
  ) throws(NormaliseError) -> (kind: MessageKind, text: String?, files: [Attachment], details: JSONValue?) {
    let text = try named(data).flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }
    var files: [Attachment] = []
    for file in try data.objects("attachments", max: Self.filesMax) ?? [] {
      let type = MessageText.name(try file.text("contentType"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(type), externalID: try file.id("id"),
          name: MessageText.name(try file.text("filename")), mimeType: type,
          sizeBytes: try file.integer("size"),
          width: (try file.integer("width")).flatMap { Int(exactly: $0) },
          height: (try file.integer("height")).flatMap { Int(exactly: $0) },
          caption: MessageText.name(try file.text("caption"))))
    }
    if let sticker = try data.object("sticker") {
      let id = "\(try sticker.id("packId") ?? ""):\(try sticker.id("stickerId") ?? "")"
      files.append(Attachment(kind: .sticker, externalID: id))
    }
    var kind = MediaKind.message(files)
    var words = text
    let rest = data.rest(without: Self.mapped).filter { $0.key != "viewOnce" || $0.value == true }
    if files.isEmpty && text == nil {
      kind = .unsupported
      if let contacts = try data.objects("contacts"), let first = contacts.first {
        kind = .contact
        words = try first.object("name")?.text("display").map { MessageText.sanitised($0) }
      } else if data.has("pollCreate") {
        kind = .poll
        words = try data.object("pollCreate")?.text("question").map { MessageText.sanitised($0) }
      } else if try data.flag("isExpirationUpdate") ?? false {
        let details: JSONValue = [
          "service": "expirationUpdate", "expiresInSeconds": data["expiresInSeconds"] ?? .null,
        ]
        return (.system, "expiration update", [], details)
      } else if let name = Self.happenings.first(where: { data.has($0) }) {
        let details = rest.merging(["service": .string(name)]) { first, _ in first }
        return (.system, Update.words(name), [], .object(details))
      }
    }
    let details: JSONValue? =
      kind == .unsupported ? ["raw": .object(data.members)] : rest.isEmpty ? nil : .object(rest)
    return (kind, words, files, details)
  }

  // MARK: Receipts

  private func receipts(_ receipt: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let wasViewed = try receipt.flag("isViewed") ?? false
    let isRead = try receipt.flag("isRead") ?? false || wasViewed
    let when = (try receipt.integer("when")).map { Timestamp(milliseconds: $0).clamped } ?? at
    return try (receipt.ids("timestamps") ?? []).map { stamp in
      .status(
        StatusChange(
          conversation: conversation(nil), externalID: "own:\(stamp)", status: isRead ? .read : .delivered,
          at: when))
    }
  }
}
