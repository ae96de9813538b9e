import Bytes
import JSON
import Messaging

/// Reads one event. `user_send_*` and `anonymous_send_*` are messages, `oa_send_*` the account's own, in a
/// group where the name has `_group_`; received and seen ones change those; reactions, follows and forms are
/// what they say.
struct ZaloEvent {
  private static let filesMax = 100
  private static let known: Set<String> = [
    "follow", "unfollow", "user_submit_info", "oa_call_user", "user_call_oa", "add_user_to_tag",
    "shop_has_order", "user_click_chatnow", "user_feedback", "user_asking_product", "change_oa_daily_quota",
  ]
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
    guard event.holds("_group_") else { return ConversationRef(externalID: other.id, kind: .direct) }
    let group = try reader.required("recipient", recipient)
    return ConversationRef(externalID: group.id, kind: .group)
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let isOwn = event.hasPrefix("oa_send_")
    let follower = try reader.object("follower")?.id("id").map { Person(id: $0) }
    let sender = try person("sender")
    let recipient = try person("recipient")
    guard let other = follower ?? (isOwn ? recipient : sender) ?? sender ?? recipient else {
      throw .missing(path: "sender")
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
    case "user_reacted_message":
      guard let message else { break }
      let icon = try message.text("react_icon") ?? ""
      return [
        .reaction(
          ReactionChange(
            conversation: conversation, externalID: try message.requiredID("msg_id"), actor: other,
            change: .replace(icon.isEmpty ? [] : [MessageText.sanitised(icon, bytesMax: 64)]), at: at))
      ]
    default: break
    }
    let isSpoken = isOwn || event.hasPrefix("user_send_") || event.hasPrefix("anonymous_send_")
    if isSpoken, let message {
      return [
        .message(try spoken(message, conversation, isOwn ? sender ?? Person(id: "zalo") : other, isOwn))
      ]
    }
    return [
      .message(
        Update.message(
          event, isKnown: Self.known.contains(event), id: "\(event):\(at.microseconds / 1_000):\(other.id)",
          conversation: conversation, sender: other, members: reader.members, at: at))
    ]
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
