import Bytes
import JSON
import Messaging

/// Reads one event. `user_send_*` and `anonymous_send_*` are messages, `oa_send_*` the account's own, in a
/// group where the name has `_group_`; received and seen ones change those; reactions, follows and forms are
/// what they say; calls are told when they are over, and who comes into a group or leaves it by `users`.
struct ZaloEvent {
  private static let filesMax = 100
  private static let known: Set<String> = [
    "follow", "unfollow", "user_submit_info", "oa_call_user", "user_call_oa", "add_user_to_tag",
    "shop_has_order", "user_click_chatnow", "user_feedback", "user_asking_product", "change_oa_daily_quota",
    "oa_send_consent", "user_reply_consent", "remove_user_from_tag", "remove_tag", "update_user_info",
    "user_withdraw", "extension_purchased", "widget_interaction_accepted",
    "widget_failed_to_sync_user_external_id", "create_group", "delete_group", "update_group_info",
    "user_join_group", "user_out_group", "user_request_join_group", "accept_request_join_group",
    "reject_request_join_group", "add_group_admin", "remove_group_admin",
  ]
  private static let joining: Set<String> = ["user_join_group", "accept_request_join_group"]
  private static let leaving: Set<String> = ["user_out_group"]
  private static let receipts: Set<String> = ["user_received_message", "user_seen_message"]
  private static let mapped: Set<String> = ["msg_id", "msg_ids", "text", "quote_msg_id"]

  private let reader: JSONReader
  private let event: String
  private let at: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    event = try reader.required("event_name", reader.text("event_name"))
    let stamp = try reader.id("timestamp").flatMap { Int64($0) }
    at = stamp.map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
  }

  private func person(_ name: String) throws(NormaliseError) -> Person? {
    guard let id = try reader.object(name)?.id("id") else { return nil }
    return Person(id: id)
  }

  /// What is said in a group goes to the group, whoever says it.
  private func conversation(
    with other: Person, _ recipient: Person?
  ) throws(NormaliseError) -> ConversationRef {
    if let group = try reader.id("group_id") { return ConversationRef(externalID: group, kind: .group) }
    guard event.holds("_group_") else { return ConversationRef(externalID: other.id, kind: .direct) }
    let group = try reader.required("recipient", recipient)
    return ConversationRef(externalID: group.id, kind: .group)
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    // Receipts tell of the account's message: the account stands as its sender there.
    let isOwn = ["oa_send_", "oa_reacted_"].contains { event.hasPrefix($0) } || Self.receipts.contains(event)
    let sender = try person("sender")
    let recipient = try person("recipient")
    let users = try people()
    let named = try person("follower").or((isOwn ? recipient : sender) ?? sender ?? recipient).or(users.first)
    guard let other = named else {
      let group = try reader.id("group_id").map { ConversationRef(externalID: $0, kind: .group) }
      return [.message(news(group ?? Update.channel("Zalo"), nil))]
    }
    let conversation = try conversation(with: other, recipient)
    let message = try reader.object("message")
    switch event {
    case "user_received_message", "user_seen_message":
      let single = try message?.id("msg_id").map { [$0] }
      let ids = try message?.ids("msg_ids") ?? single ?? []
      let status: MessageStatus = event == "user_seen_message" ? .read : .delivered
      return ids.map {
        .status(StatusChange(conversation: conversation, externalID: $0, status: status, at: at))
      }
    case "user_reacted_message", "oa_reacted_message":
      guard let message else { break }
      let icon = try message.text("react_icon") ?? ""
      return [
        .reaction(
          ReactionChange(
            conversation: conversation, externalID: try message.requiredID("msg_id"),
            actor: isOwn ? sender ?? Person(id: "zalo") : other, isOwn: isOwn,
            change: .replace(icon.isEmpty ? [] : [MessageText.sanitised(icon, bytesMax: 64)]), at: at))
      ]
    case "user_call_oa", "oa_call_user": return [.message(try called(conversation, by: other))]
    case _ where Self.joining.contains(event), _ where Self.leaving.contains(event):
      let isGone = Self.leaving.contains(event)
      let change = MembershipChange(
        conversation: conversation, joined: isGone ? [] : users, left: isGone ? users : [], at: at)
      return [.membership(change), .message(news(conversation, other))]
    default: break
    }
    let isSpoken = ["oa_send_", "user_send_", "anonymous_send_"].contains { event.hasPrefix($0) }
    if isSpoken, let message {
      return [
        .message(try spoken(message, conversation, isOwn ? sender ?? Person(id: "zalo") : other, isOwn))
      ]
    }
    return [.message(news(conversation, other))]
  }

  /// Whom an event tells of that names no sender.
  private func people() throws(NormaliseError) -> [Person] {
    var people: [Person] = []
    for user in try reader.objects("users") ?? [] { people.append(Person(id: try user.requiredID("id"))) }
    if people.isEmpty, let id = try reader.id("user_id").or(reader.id("phone")) { people = [Person(id: id)] }
    return people
  }

  private func news(_ conversation: ConversationRef, _ person: Person?) -> InboundMessage {
    Update.message(
      event, isKnown: Self.known.contains(event),
      id: "\(event):\(at.microseconds / 1_000):\(person?.id ?? "zalo")", conversation: conversation,
      sender: person ?? Person(id: "zalo", name: "Zalo"), members: reader.members, at: at)
  }

  /// Told when it is over.
  private func called(_ conversation: ConversationRef, by other: Person) throws(NormaliseError)
    -> InboundMessage
  {
    let isOwn = event == "oa_call_user"
    let rest = reader.rest(without: ["app_id", "event_name", "timestamp", "sender", "recipient", "call_id"])
    return InboundMessage(
      conversation: conversation, externalID: "call:\(try reader.requiredID("call_id"))",
      direction: isOwn ? .outbound : .inbound, sender: isOwn ? Person(id: "zalo") : other, kind: .call,
      text: "Call", details: ["call": .object(rest)], sentAt: at, status: isOwn ? .sent : nil)
  }

  private func spoken(
    _ message: JSONReader, _ conversation: ConversationRef, _ sender: Person, _ isOwn: Bool
  ) throws(NormaliseError) -> InboundMessage {
    var kind: MessageKind = .text
    var text = try message.text("text")
    var files: [Attachment] = []
    for entry in try message.objects("attachments", max: Self.filesMax) ?? [] {
      let payload = try entry.object("payload")
      let url = WebAddress.checked(try payload?.text("url"))
      let found: Attachment.Kind
      switch try entry.text("type") ?? "" {
      case "image", "gif": found = .image
      case "video": found = .video
      case "audio": found = .audio
      case "sticker": found = .sticker
      case "file": found = .file
      case "location":
        kind = .location
        continue
      case "link":
        if text ?? "" == "" { text = try payload?.text("description").or(payload?.text("url")) }
        continue
      default:
        kind = .unsupported
        continue
      }
      let size = try payload?.id("size").flatMap { Int64($0) }
      files.append(
        Attachment(
          kind: found, externalID: try payload?.id("id"), url: url,
          name: MessageText.name(try payload?.text("name")), sizeBytes: size))
    }
    if !files.isEmpty { kind = MediaKind.message(files) }
    if kind == .text && text ?? "" == "" && !message.has("attachments") { kind = .unsupported }
    let rest = message.rest(without: Self.mapped)
    return InboundMessage(
      conversation: conversation, externalID: try message.requiredID("msg_id"),
      direction: isOwn ? .outbound : .inbound, sender: sender, kind: kind,
      text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: files,
      replyTo: try message.id("quote_msg_id"),
      details: kind == .unsupported
        ? ["raw": .object(reader.members)] : rest.isEmpty ? nil : .object(rest), sentAt: at,
      status: isOwn ? .sent : nil)
  }
}
