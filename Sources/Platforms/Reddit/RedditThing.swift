import Bytes
import JSON
import Messaging

/// Reads one entry of a listing: a private message (`t4`) or a comment (`t1`).
///
/// Private messages that answer each other are a conversation, called after its first message; comments are
/// one with everybody under the same post.
struct RedditThing {
  private static let mapped: Set<String> = [
    "name", "id", "author", "author_fullname", "body", "body_html", "created", "created_utc", "parent_id",
    "first_message", "first_message_name", "replies", "new", "edited", "score", "likes", "num_comments",
    "link_title",
  ]

  private let kind: String
  private let data: JSONReader
  private let own: String?
  private let receivedAt: Timestamp

  init(_ child: JSONReader, own: String?, receivedAt: Timestamp) throws(NormaliseError) {
    kind = try child.text("kind") ?? ""
    data = try child.requiredObject("data")
    self.own = own?.lowercased()
    self.receivedAt = receivedAt
  }

  static func time(_ data: JSONReader) throws(NormaliseError) -> Timestamp? {
    try data.number("created_utc").flatMap { Int64(exactly: $0.rounded(.down)) }
      .map { Timestamp(seconds: $0).clamped }
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let message = try message()
    // `edited` is false, or when.
    guard let edited = data["edited"]?.double.flatMap({ Int64(exactly: $0.rounded(.down)) }), edited > 0
    else {
      return [.message(message)]
    }
    return [
      .message(message),
      .edit(
        MessageEdit(
          conversation: message.conversation, externalID: message.externalID, kind: .text, text: message.text,
          details: message.details, editedAt: Timestamp(seconds: edited).clamped)),
    ]
  }

  private func message() throws(NormaliseError) -> InboundMessage {
    let name = try data.requiredID("name")
    // Messages of moderators and of Reddit itself may have no author.
    let author = try data.text("author").or(data.text("subreddit")) ?? "reddit"
    let isOwn = author.lowercased() == own
    let text = try data.text("body") ?? ""
    let details = data.rest(without: Self.mapped).filter { $0.value != "" }
    let parent = try data.id("parent_id")
    return InboundMessage(
      conversation: try place(name, author, isOwn: isOwn), externalID: name,
      direction: isOwn ? .outbound : .inbound,
      sender: Person(id: MessageText.sanitised(author, bytesMax: 512), name: MessageText.name(author)),
      kind: .text, text: text.isEmpty ? nil : MessageText.sanitised(text),
      // A post is no message of the conversation.
      replyTo: parent?.hasPrefix("t3_") == true ? nil : parent,
      details: details.isEmpty ? nil : .object(details), sentAt: try Self.time(data) ?? receivedAt,
      status: isOwn ? .sent : nil)
  }

  private func place(
    _ name: String, _ author: String, isOwn: Bool
  ) throws(NormaliseError) -> ConversationRef {
    if kind == "t1" || name.hasPrefix("t1_") {
      let post = try data.id("link_id").or(Self.post(data.text("context")))
      return ConversationRef(
        externalID: try data.required("context", post), kind: .group,
        title: MessageText.name(try data.text("link_title")))
    }
    let other = isOwn ? try data.text("dest") ?? author : author
    return ConversationRef(
      externalID: try data.id("first_message_name") ?? name, kind: .direct, title: MessageText.name(other))
  }

  /// The post in `/r/name/comments/<post>/<words>/<comment>/?context=3`.
  private static func post(_ context: String?) -> String? {
    guard let context, let range = context.firstRange(of: "/comments/") else { return nil }
    let id = context[range.upperBound...].prefix { $0 != "/" && $0 != "?" }
    return id.isEmpty || id.utf8.count > 64 ? nil : "t3_\(id)"
  }
}
