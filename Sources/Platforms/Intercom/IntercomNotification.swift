import Bytes
import JSON
import Messaging

/// Reads one notification. Of a conversation's topics the first message and its parts become messages:
/// customers' inbound, those of teammates and bots outbound, notes and what else happened system messages.
/// Other topics are system messages; `ping` is nothing.
struct IntercomNotification {
  private static let partsMax = 1_000
  private static let filesMax = 100
  private static let spoken: Set<String> = ["comment", "open", "close", "assignment", "quick_reply"]

  private let reader: JSONReader
  private let topic: String
  private let account: String?
  private let at: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    topic = try reader.required("topic", reader.text("topic"))
    account = try reader.id("app_id")
    at = try Self.time(reader, "created_at") ?? receivedAt
  }

  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    try reader.integer(name).map { Timestamp(seconds: $0).clamped }
  }

  func read() throws(NormaliseError) -> Normalised {
    var result = Normalised()
    if topic == "ping" { return result }
    let item = try reader.object("data")?.object("item") ?? JSONReader([:])
    guard topic.hasPrefix("conversation."), item.has("id") else {
      result.add([.message(try update(Update.channel("Intercom"), Person(id: "intercom")))], account: account)
      return result
    }
    let source = try item.object("source")
    let customer = try Self.customer(item, source)
    let title = MessageText.name(try item.text("title"))
    let conversation = ConversationRef(
      externalID: try item.requiredID("id"), kind: .direct, title: customer?.name ?? title)
    var items: [InboundItem] = []
    if let source, source.has("id") {
      items.append(try said(source, conversation, isFirst: true, item))
    }
    let list = try item.object("conversation_parts")
    for part in try list?.objects("conversation_parts", max: Self.partsMax) ?? [] {
      do throws(NormaliseError) {
        items.append(try said(part, conversation, isFirst: false, item))
      } catch {
        result.faults.append(error)
      }
    }
    if items.isEmpty { items = [.message(try update(conversation, customer ?? Person(id: "intercom")))] }
    result.add(items, account: account)
    return result
  }

  private static func customer(_ item: JSONReader, _ source: JSONReader?) throws(NormaliseError) -> Person? {
    if let author = try source?.object("author"), try isCustomer(author) { return try person(author) }
    guard let user = try item.object("user") else { return nil }
    return try person(user)
  }

  private static func isCustomer(_ author: JSONReader) throws(NormaliseError) -> Bool {
    ["user", "lead", "contact", "visitor"].contains(try author.text("type") ?? "user")
  }

  private static func person(_ author: JSONReader) throws(NormaliseError) -> Person {
    let name = try author.text("name").or(author.text("email"))
    return Person(id: try author.id("id") ?? "intercom", name: MessageText.name(name))
  }

  /// What a teammate redacted is there still, without its words.
  private func said(
    _ part: JSONReader, _ conversation: ConversationRef, isFirst: Bool, _ item: JSONReader
  ) throws(NormaliseError) -> InboundItem {
    guard try part.flag("redacted") == true else {
      return .message(try message(part, conversation, isFirst: isFirst, item))
    }
    let deletedAt = try Self.time(part, "updated_at").or(Self.time(item, "updated_at")) ?? at
    return .delete(
      MessageDeletion(
        conversation: conversation, externalIDs: [try part.requiredID("id")], at: deletedAt))
  }

  private func message(
    _ part: JSONReader, _ conversation: ConversationRef, isFirst: Bool, _ item: JSONReader
  ) throws(NormaliseError) -> InboundMessage {
    let author = try part.object("author") ?? JSONReader([:])
    let isInbound = try Self.isCustomer(author)
    let type = try part.text("part_type") ?? "comment"
    let isSpoken = isFirst || Self.spoken.contains(type)
    let html = try part.text("body") ?? ""
    let body = HTMLText.plain(html)
    var files: [Attachment] = []
    for file in try part.objects("attachments", max: Self.filesMax) ?? [] {
      let kind = MessageText.name(try file.text("content_type"))
      files.append(
        Attachment(
          kind: MediaKind.attachment(kind), url: WebAddress.checked(try file.text("url")),
          name: MessageText.name(try file.text("name")), mimeType: kind,
          sizeBytes: try file.integer("filesize")))
    }
    // Pictures are a part of the text there.
    for image in HTMLText.images(html, max: Self.filesMax)
    where !files.contains(where: { $0.url == image.url }) {
      files.append(image)
    }
    let hasContent = !body.isEmpty || !files.isEmpty
    let rest = part.rest(without: ["id", "author", "body", "created_at", "attachments", "type", "part_type"])
    var details = rest
    if type != "comment" { details["service"] = .string(type) }
    let sent = try Self.time(part, "created_at").or(isFirst ? Self.time(item, "created_at") : nil) ?? at
    let kind: MessageKind = isSpoken && hasContent ? MediaKind.message(files) : .system
    return InboundMessage(
      conversation: conversation, externalID: try part.requiredID("id"),
      direction: isInbound || kind == .system ? .inbound : .outbound, sender: try Self.person(author),
      kind: kind, text: hasContent ? (body.isEmpty ? nil : MessageText.sanitised(body)) : type,
      attachments: files, details: details.isEmpty ? nil : .object(details), sentAt: sent,
      status: isInbound || kind == .system ? nil : .sent)
  }

  private func update(
    _ conversation: ConversationRef, _ sender: Person
  ) throws(NormaliseError) -> InboundMessage {
    let known = ["conversation.", "contact.", "user.", "company.", "ticket.", "admin.", "event.", "visitor."]
    return Update.message(
      topic, isKnown: known.contains { topic.hasPrefix($0) },
      id: try reader.id("id") ?? "\(topic):\(at.seconds)",
      conversation: conversation, sender: sender, members: reader.rest(without: ["type", "id"]), at: at)
  }
}
