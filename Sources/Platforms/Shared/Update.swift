import Bytes
import JSON
import Messaging

/// Messages for what happened and is none: what is known by its name becomes a system message, the rest an
/// unsupported one with its raw form.
enum Update {
  static func message(
    _ name: String, isKnown: Bool, id: String, conversation: ConversationRef, sender: Person,
    members: [String: JSONValue], at: Timestamp
  ) -> InboundMessage {
    let name = MessageText.sanitised(name, bytesMax: 128)
    let words = name.lowercased().split { "_.-: ".contains($0) }.joined(separator: " ")
    return InboundMessage(
      conversation: conversation, externalID: MessageText.sanitised(id, bytesMax: 512), sender: sender,
      kind: isKnown ? .system : .unsupported, text: isKnown ? words : nil,
      details: isKnown ? ["service": .string(name), "event": .object(members)] : ["raw": .object(members)],
      sentAt: at)
  }

  /// A channel for news that belong to no conversation.
  static func channel(_ platform: String) -> ConversationRef {
    ConversationRef(externalID: "updates", kind: .channel, title: "\(platform) updates")
  }
}
