import Bytes
import JSON
import Messaging

/// Reads one message or event of an official account. `MsgType` decides: texts, files, places and links
/// become messages; `event` a system message, a pressed menu entry a text, a template's end a status; what is
/// not known is unsupported.
struct WeChatMessage {
  private static let mapped: Set<String> = [
    "ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "MediaId", "PicUrl",
  ]
  private static let known: Set<String> = [
    "subscribe", "unsubscribe", "SCAN", "LOCATION", "VIEW", "MASSSENDJOBFINISH",
    "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin",
    "location_select", "view_miniprogram",
  ]

  private let fields: [String: String]
  private let receivedAt: Timestamp

  init(_ fields: [String: String], receivedAt: Timestamp) {
    self.fields = fields
    self.receivedAt = receivedAt
  }

  private func required(_ name: String) throws(NormaliseError) -> String {
    guard let value = fields[name], !value.isEmpty else { throw .missing(path: name) }
    guard value.utf8.count <= MessageText.nameBytesMax else {
      throw .wrongValue(path: name, expected: "at most \(MessageText.nameBytesMax) bytes")
    }
    return value
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let type = try required("MsgType")
    let sender = Person(id: try required("FromUserName"))
    let conversation = ConversationRef(externalID: sender.id, kind: .direct)
    let at = try time()
    if type == "event" { return [try event(conversation, sender, at)] }
    var kind: MessageKind = .unsupported
    var text = fields["Content"]
    var attachments: [Attachment] = []
    switch type {
    case "text": kind = .text
    case "image": attachments = [file(.image)]
    case "voice":
      attachments = [file(.audio)]
      text = fields["Recognition"]
    case "video", "shortvideo": attachments = [file(.video)]
    case "location":
      kind = .location
      text = fields["Label"]
    case "link":
      kind = .text
      text = [fields["Title"], fields["Description"], fields["Url"]].compactMap { $0 }
        .filter { !$0.isEmpty }.joined(separator: "\n")
    default: break
    }
    if !attachments.isEmpty { kind = MediaKind.message(attachments) }
    let rest = members(without: Self.mapped)
    let details: JSONValue? =
      kind == .unsupported ? ["raw": .object(members(without: []))] : rest.isEmpty ? nil : .object(rest)
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: try required("MsgId"), sender: sender, kind: kind,
          text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) }, attachments: attachments,
          details: details, sentAt: at))
    ]
  }

  private func file(_ kind: Attachment.Kind) -> Attachment {
    Attachment(
      kind: kind, externalID: MessageText.name(fields["MediaId"]), url: WebAddress.checked(fields["PicUrl"]))
  }

  private func members(without names: Set<String>) -> [String: JSONValue] {
    fields.filter { !names.contains($0.key) }.mapValues { .string($0) }
  }

  private func time() throws(NormaliseError) -> Timestamp {
    guard let text = fields["CreateTime"] else { return receivedAt }
    guard let seconds = Int64(text) else {
      throw .wrongValue(path: "CreateTime", expected: "seconds since 1970")
    }
    return Timestamp(seconds: seconds).clamped
  }

  /// Events have no id: who did what when is one.
  private func event(
    _ conversation: ConversationRef, _ sender: Person, _ at: Timestamp
  ) throws(NormaliseError) -> InboundItem {
    let name = try required("Event")
    if name == "TEMPLATESENDJOBFINISH" {
      let status = fields["Status"] ?? ""
      return .status(
        StatusChange(
          conversation: conversation, externalID: try required("MsgID"),
          status: status == "success" ? .delivered : .failed,
          reason: status == "success" ? nil : MessageText.name(status), at: at))
    }
    let key = fields["EventKey"] ?? fields["MsgID"] ?? ""
    let id = "\(name):\(at.seconds):\(sender.id):\(key)"
    var message = Update.message(
      name, isKnown: Self.known.contains(name) || name == "CLICK", id: id, conversation: conversation,
      sender: sender, members: members(without: ["ToUserName", "FromUserName", "CreateTime", "MsgType"]),
      at: at)
    // A pressed menu entry is what the person says.
    if name == "CLICK", !key.isEmpty {
      message.kind = .text
      message.text = MessageText.sanitised(key)
    }
    return .message(message)
  }
}
