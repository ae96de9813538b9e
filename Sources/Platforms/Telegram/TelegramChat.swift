import JSON
import Messaging

/// A Chat, and the names that things in it have.
///
/// A topic does not split a conversation: it is the message's thread. A business account's chats are
/// apart from the bot's own chats with the same people: their id leads with the connection's.
struct TelegramChat {
  let id: String
  let type: String
  let conversation: ConversationRef
  private let username: String?

  /// - Parameter business: the object that may hold `business_connection_id`.
  init(_ reader: JSONReader, business: JSONReader? = nil) throws(NormaliseError) {
    let id = try reader.requiredID("id")
    self.id = id
    type = try reader.text("type") ?? "private"
    username = try reader.text("username")
    let names = try TelegramPerson.names(reader)
    let title =
      MessageText.name(try reader.text("title")) ?? TelegramPerson.fullName(names)
      ?? MessageText.name(username)
    let kind: ConversationRef.Kind =
      switch type {
      case "group", "supergroup": .group
      case "channel": .channel
      default: .direct
      }
    let connection = try business?.id("business_connection_id")
    conversation = ConversationRef(
      externalID: connection.map { "\($0):\(id)" } ?? id, kind: kind, title: title)
  }

  /// The chat as the author of what is written in its name.
  var person: Person { Person(id: id, name: conversation.title) }

  /// A message's id within the conversation. A basic group may become a supergroup, which numbers its
  /// messages from 1 again, in the same conversation: a basic group's ids lead with its own id.
  func messageID(_ id: String) -> String {
    type == "group" ? "\(self.id)/\(id)" : id
  }
}

enum TelegramPerson {
  static func user(_ reader: JSONReader) throws(NormaliseError) -> Person {
    let username = try reader.text("username")
    return Person(
      id: try reader.requiredID("id"), name: fullName(try names(reader)) ?? MessageText.name(username))
  }

  static func names(_ reader: JSONReader) throws(NormaliseError) -> [String?] {
    [try reader.text("first_name"), try reader.text("last_name")]
  }

  static func fullName(_ names: [String?]) -> String? {
    MessageText.name(names.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: " "))
  }
}
