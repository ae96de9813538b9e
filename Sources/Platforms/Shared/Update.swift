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
    var words = String.UnicodeScalarView()
    var isInWord = false
    for scalar in name.unicodeScalars {
      let isGap = isSeparator(scalar)
      if isGap || isInWord && isUppercase(scalar), let last = words.last, last != " " { words.append(" ") }
      isInWord = isLowercase(scalar)
      if !isGap { words.append(scalar) }
    }
    if words.last == " " { words.removeLast() }
    return String(words).lowercased()
  }

  private static func isSeparator(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "_", ".", "-", ":", " ": true
    default: false
    }
  }

  private static func isUppercase(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII ? ("A"..."Z").contains(scalar) : scalar.properties.isUppercase
  }

  private static func isLowercase(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII ? ("a"..."z").contains(scalar) : scalar.properties.isLowercase
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
