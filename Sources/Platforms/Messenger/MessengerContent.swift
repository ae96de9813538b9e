import JSON
import Messaging

/// What a message of Messenger or Instagram says: text, files, shares, places.
struct MessengerContent {
  private static let attachmentsMax = 100

  /// Members that the model's own fields carry.
  private static let mapped: Set<String> = ["mid", "text", "attachments", "is_echo"]

  private static let files: [String: (MessageKind, Attachment.Kind)] = [
    "image": (.image, .image), "video": (.video, .video), "audio": (.audio, .audio),
    "file": (.file, .file), "sticker": (.sticker, .sticker), "reel": (.video, .video),
    "ig_reel": (.video, .video), "story_mention": (.image, .image), "animated_image": (.image, .image),
  ]

  private static let shares: Set<String> = [
    "share", "post", "ig_post", "ig_story", "fallback", "template", "appointment_booking", "unsupported_type",
  ]

  private(set) var kind: MessageKind = .text
  private(set) var text: String?
  private(set) var attachments: [Attachment] = []
  private(set) var details: [String: JSONValue]

  init(_ message: JSONReader) throws(NormaliseError) {
    details = message.rest(without: Self.mapped)
    if let words = try message.text("text"), !words.isEmpty { text = MessageText.sanitised(words) }
    if let reply = try message.object("reply_to"), reply.has("mid") {
      let rest = reply.rest(without: ["mid"])
      details["reply_to"] = rest.isEmpty ? nil : .object(rest)
    }
    var isFirst = true
    var stickers: Set<String> = []
    for entry in try message.objects("attachments", max: Self.attachmentsMax) ?? [] {
      let payload = try entry.object("payload")
      if let sticker = try payload?.id("sticker_id"), !stickers.insert(sticker).inserted { continue }
      let found = try read(entry, payload)
      if isFirst { kind = found }
      isFirst = false
    }
    if try message.flag("is_unsupported") == true || (isFirst && text == nil) {
      kind = .unsupported
      details = ["raw": .object(message.members)]
    }
  }

  /// - Returns: what a message is that begins with this.
  private mutating func read(
    _ entry: JSONReader, _ payload: JSONReader?
  ) throws(NormaliseError) -> MessageKind {
    let type = try entry.text("type") ?? "file"
    let url = try (payload?.text("url")).or(entry.text("url"))
    if payload?.has("sticker_id") == true {
      attachments.append(Attachment(kind: .sticker, url: WebAddress.checked(url)))
      keep(entry)
      return .sticker
    }
    if let (kind, attachment) = Self.files[type] {
      attachments.append(
        Attachment(
          kind: attachment, url: WebAddress.checked(url), name: MessageText.name(try payload?.text("title"))))
      if type != attachment.rawValue { keep(entry) }
      return kind
    }
    keep(entry)
    if type == "location" {
      say(try (payload?.text("title")).or(entry.text("title")))
      return .location
    }
    if type == "like_heart" {
      say("❤️")
      return .text
    }
    guard Self.shares.contains(type) else { return text == nil ? .unsupported : .text }
    let title = try (entry.text("title")).or(payload?.text("title")).or(payload?.text("text"))
    say(try title.or(payload.flatMap(Self.firstTitle)).or(url))
    return .text
  }

  /// Of the first thing that a template shows, or of the product that somebody shares.
  private static func firstTitle(_ payload: JSONReader) throws(NormaliseError) -> String? {
    let holder = try payload.object("product") ?? payload
    return try holder.objects("elements", max: attachmentsMax)?.first?.text("title")
  }

  private mutating func say(_ words: String?) {
    if text == nil, let words, !words.isEmpty { text = MessageText.sanitised(words) }
  }

  private mutating func keep(_ entry: JSONReader) {
    let kept = details["attachments"]?.array ?? []
    details["attachments"] = .array(kept + [.object(entry.members)])
  }
}
