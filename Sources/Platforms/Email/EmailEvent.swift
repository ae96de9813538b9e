import Bytes
import JSON
import Messaging
import MIME

/// What a provider says happened to a mail that was sent through it.
///
/// Providers name a mail, but not its thread. Whoever sends for the hub puts both into the metadata that
/// providers hand back, under the names here; without them the mail is taken to have begun its thread.
struct EmailEvent {
  /// The conversation's id, and the message's.
  static let conversationKey = "hub-conversation"
  static let messageKey = "hub-message"

  let conversation: ConversationRef
  let message: String
  private let isNamed: Bool
  /// The key of the job that the mail was sent for.
  private let key: String?

  /// - Parameters:
  ///   - metadata: what the sender gave the provider.
  ///   - id: the mail's id as the provider says it, with or without angle brackets.
  init?(metadata: JSONReader?, id: String?) throws(NormaliseError) {
    let named = try Self.joined(Self.messageKey, metadata)
    let given = id.flatMap { $0.contains("<") ? MessageID.list($0).first : $0 }
    guard let message = (named ?? given).map({ EmailThread.bounded($0) }) else { return nil }
    let root = try Self.joined(Self.conversationKey, metadata)
    self.message = message
    conversation = ConversationRef(externalID: EmailThread.bounded(root ?? message), kind: .email)
    isNamed = root != nil
    key = named.flatMap { EmailReply.key(ofID: $0) }
  }

  // MARK: Metadata

  private static let piecesMax = 10

  /// The metadata for a mail. Where a provider takes short values only, a longer one goes on under the same
  /// name with `-2`, `-3` and so on.
  static func metadata(
    conversation: String, message: String, unitsMax: Int = .max
  ) -> [(name: String, value: String)] {
    [(conversationKey, conversation), (messageKey, message)].flatMap { key, text in
      var rest = text[...]
      var fields: [(name: String, value: String)] = []
      while !rest.isEmpty && fields.count < piecesMax {
        let piece = rest.prefix(unitsMax)
        fields.append((fields.isEmpty ? key : "\(key)-\(fields.count + 1)", String(piece)))
        rest = rest.dropFirst(piece.count)
      }
      return fields
    }
  }

  private static func joined(_ key: String, _ metadata: JSONReader?) throws(NormaliseError) -> String? {
    guard let metadata, var text = try metadata.id(key) else { return nil }
    for number in 2...piecesMax {
      guard let piece = try metadata.id("\(key)-\(number)") else { break }
      text += piece
    }
    return text
  }

  func status(_ status: MessageStatus, reason: String? = nil, at: Timestamp) -> InboundItem {
    .status(
      StatusChange(
        conversation: conversation, externalID: message, status: status, reason: MessageText.name(reason),
        clientKey: key, at: at))
  }

  /// News that are no status: in the mail's conversation when that is known, else in a channel for all.
  static func update(
    _ name: String, isKnown: Bool, event: EmailEvent?, platform: String, id: String, recipient: String?,
    members: [String: JSONValue], at: Timestamp
  ) -> InboundItem {
    let place = event.flatMap { $0.isNamed ? $0.conversation : nil } ?? Update.channel(platform)
    let sender = recipient.map { EmailItems.person(MailAddress(name: nil, address: $0)) }
    return .message(
      Update.message(
        name, isKnown: isKnown, id: id, conversation: place, sender: sender ?? Person(id: platform),
        members: members, at: at))
  }
}
