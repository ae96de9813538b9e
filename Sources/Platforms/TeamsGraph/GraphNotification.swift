import Bytes
import JSON
import Messaging

/// One notification of a batch: what changed where, with or without its content.
///
/// - A `chatMessage` with content is read by `GraphMessage`; without it, a message of its id stands in, which
///   is `unsupported` until its content comes, and a deletion needs none.
/// - Members with content: people who came and went; chats and channels: their new title.
/// - `lifecycleEvent`: a system message; what is not known is unsupported.
struct GraphNotification {
  private static let batchMax = 1_000
  private static let lifecycle: Set<String> = ["reauthorizationRequired", "subscriptionRemoved", "missed"]
  private static let hidden: Set<String> = ["clientState", "encryptedContent"]

  private let reader: JSONReader
  /// Whether its state is one of the account's.
  let isOwn: Bool
  let tenant: String?

  /// All of a request's.
  static func all(
    _ body: JSONReader, _ secrets: AccountSecrets
  ) throws(NormaliseError) -> [GraphNotification] {
    let entries = try body.required("value", body.objects("value", max: batchMax))
    return entries.map { reader in
      let state = reader[TeamsGraphPlatform.stateField]?.string ?? ""
      return GraphNotification(
        reader: reader, isOwn: secrets.contains(state, in: TeamsGraphPlatform.stateField),
        tenant: reader["tenantId"]?.string)
    }
  }

  var isSealed: Bool { reader.has("encryptedContent") }

  /// What cannot be opened or read at all is not forged: it is kept until it can.
  func isForged(_ seal: GraphSeal) -> Bool {
    guard let sealed = try? reader.object("encryptedContent") else { return false }
    return (try? seal.open(sealed)) == .forged
  }

  // MARK: Reading

  func items(
    _ seal: GraphSeal, _ delivery: WebhookDelivery
  ) throws(NormaliseError) -> [InboundItem] {
    guard isOwn else {
      throw .wrongValue(path: reader.place(TeamsGraphPlatform.stateField), expected: "the account's")
    }
    if let event = try reader.text("lifecycleEvent") {
      return [.message(try news(event, isKnown: Self.lifecycle.contains(event), nil, delivery.receivedAt))]
    }
    let change = try reader.required("changeType", reader.text("changeType"))
    let place = GraphPlace(try reader.required("resource", reader.text("resource")))
    let content = try content(seal)
    switch try type() {
    case "chatMessage":
      if let content {
        let message = try GraphMessage(content, place, secrets: delivery.secrets, delivery.receivedAt)
        return try message.items(change)
      }
      return try nameless(change, place, delivery.receivedAt)
    case "aadUserConversationMember", "conversationMember":
      guard let content, let conversation = place.conversation else { break }
      return [.membership(try membership(change, content, conversation, delivery.receivedAt))]
    case "chat", "channel":
      guard let content, var conversation = place.conversation else { break }
      conversation.title = MessageText.name(try content.text("topic").or(content.text("displayName")))
      return [.conversation(ConversationChange(conversation: conversation, at: delivery.receivedAt))]
    default: break
    }
    let name = "\(try type()) \(change)"
    return [.message(try news(name, isKnown: false, content, delivery.receivedAt, place.conversation))]
  }

  /// Without its namespace.
  private func type() throws(NormaliseError) -> String {
    let name = try reader.object("resourceData")?.text("@odata.type") ?? ""
    return GraphMessage.lastName(name)
  }

  private func content(_ seal: GraphSeal) throws(NormaliseError) -> JSONReader? {
    guard let sealed = try reader.object("encryptedContent") else { return nil }
    guard case .open(let bytes) = try seal.open(sealed) else { throw .cannotDecrypt }
    return try JSONReader(body: bytes)
  }

  /// A message that is only named. Its content has to be fetched, and takes its place when it comes.
  private func nameless(
    _ change: String, _ place: GraphPlace, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    let id = try (reader.object("resourceData")?.id("id")).or(place.messageID)
    guard let id, let conversation = place.conversation else { throw .missing(path: "resourceData.id") }
    if change == "deleted" {
      return [.delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: receivedAt))]
    }
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, sender: GraphMessage.unknownSender,
          kind: .unsupported, threadID: place.threadID(of: id),
          details: ["resource": .string(place.resource), "raw": .object(reader.rest(without: Self.hidden))],
          sentAt: GraphMessage.time(ofID: id) ?? receivedAt, order: Int64(id) ?? 0))
    ]
  }

  private func membership(
    _ change: String, _ content: JSONReader, _ conversation: ConversationRef, _ at: Timestamp
  ) throws(NormaliseError) -> MembershipChange {
    let id = try content.required("userId", content.id("userId").or(content.id("id")))
    let person = Person(id: id, name: MessageText.name(try content.text("displayName")))
    let isGone = change == "deleted"
    return MembershipChange(
      conversation: conversation, joined: isGone ? [] : [person], left: isGone ? [person] : [], at: at)
  }

  /// Told apart by the notification's id, or by subscription and end.
  private func news(
    _ name: String, isKnown: Bool, _ content: JSONReader?, _ at: Timestamp,
    _ conversation: ConversationRef? = nil
  ) throws(NormaliseError) -> InboundMessage {
    let subscription = try reader.id("subscriptionId") ?? ""
    let end = try reader.text("subscriptionExpirationDateTime") ?? ""
    let resource = try reader.text("resource") ?? ""
    let id = try reader.id("id") ?? "\(subscription):\(end):\(resource)"
    var members = reader.rest(without: Self.hidden)
    if let content { members["content"] = .object(content.members) }
    return Update.message(
      name, isKnown: isKnown, id: "\(name):\(id)", conversation: conversation ?? Update.channel("Teams"),
      sender: GraphMessage.unknownSender, members: members, at: at)
  }
}

/// What a resource's path names: `chats('19:...')/messages('1')` or
/// `teams('...')/channels('19:...')/messages('1')/replies('2')`.
struct GraphPlace {
  let resource: String
  private var ids: [String: String] = [:]

  init(_ resource: String) {
    self.resource = resource
    for part in resource.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) {
      guard let mark = part.utf8.firstPlace(of: "('".utf8), part.hasSuffix("')") else { continue }
      let id = part[mark.upperBound...].dropLast(2)
      guard !id.isEmpty, id.utf8.count <= MessageText.nameBytesMax else { continue }
      ids[String(part[..<mark.lowerBound])] = MessageText.sanitised(String(id))
    }
  }

  var conversation: ConversationRef? {
    (ids["channels"] ?? ids["chats"]).map { Self.conversation($0) }
  }

  /// One-to-one chats have ids of a form of their own. The same ids as the Bot Framework's.
  static func conversation(_ id: String, title: String? = nil) -> ConversationRef {
    let isDirect = id.hasSuffix("@unq.gbl.spaces")
    return ConversationRef(externalID: id, kind: isDirect ? .direct : .group, title: title)
  }

  var messageID: String? { ids["replies"] ?? ids["messages"] }

  /// Channels have threads, named by their first message; chats have none.
  func threadID(of id: String) -> String? {
    ids["channels"] == nil ? nil : ids["messages"] ?? id
  }
}
