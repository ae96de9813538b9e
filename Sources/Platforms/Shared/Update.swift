import Bytes
import JSON
import Messaging
import Security

/// Messages for what happened and is none: what is known by its name becomes a system message, the rest an
/// unsupported one with its raw form.
enum Update {
  static func message(
    _ name: String, isKnown: Bool, id: String, conversation: ConversationRef, sender: Person,
    members: [String: JSONValue], at: Timestamp
  ) -> InboundMessage {
    let name = MessageText.sanitised(name, bytesMax: 128)
    let words = words(name)
    return InboundMessage(
      conversation: conversation, externalID: MessageText.sanitised(id, bytesMax: 512), sender: sender,
      kind: isKnown ? .system : .unsupported, text: isKnown ? words : nil,
      details: isKnown ? ["service": .string(name), "event": .object(members)] : ["raw": .object(members)],
      sentAt: at)
  }

  /// `pollVote` and `poll_vote` as `poll vote`.
  static func words(_ name: String) -> String {
    var words = ""
    var isInWord = false
    for character in name {
      if character.isUppercase && isInWord { words += " " }
      isInWord = character.isLowercase
      words += "_.-: ".contains(character) ? " " : character.lowercased()
    }
    return words.split(separator: " ").joined(separator: " ")
  }

  /// A name for what has none, the same whenever it is delivered.
  static func id(_ name: String, of members: [String: JSONValue]) -> String {
    "\(name):\(Hex.encode(Digest.sha256(JSONValue.object(members).encoded()).prefix(16)))"
  }

  /// A channel for news that belong to no conversation.
  static func channel(_ platform: String) -> ConversationRef {
    ConversationRef(externalID: "updates", kind: .channel, title: "\(platform) updates")
  }
}
