import Bytes
import JSON
import Messaging
import Security

/// Reactions to a message: Discord counts them with it, and tells whose they are for each emoji apart
/// (https://discord.com/developers/docs/resources/message#get-reactions).
struct DiscordReactions: Equatable {
  struct Emoji: Equatable {
    /// As addresses have it: a sign, or `name:id`.
    let path: String
    /// As texts have it: a sign, or `<:name:id>`.
    let sign: String
    let count: Int64
  }

  /// Users that one answer has; who reacted beyond them is not asked for.
  static let usersMax = 100
  private static let emojiMax = 20
  private static let nameBytesMax = 128

  /// Those that are still to be asked for.
  private(set) var emoji: [Emoji] = []
  private(set) var shown = ReactorList.Shown()

  static func == (left: DiscordReactions, right: DiscordReactions) -> Bool { left.json == right.json }

  init(of message: JSONValue) {
    for reaction in (message["reactions"]?.array ?? []).prefix(Self.emojiMax) {
      guard let name = reaction["emoji"]?["name"]?.string, !name.isEmpty else { continue }
      let plain = MessageText.sanitised(name, bytesMax: Self.nameBytesMax)
      let count = reaction["count_details"]?["normal"]?.integer ?? reaction["count"]?.integer ?? 0
      guard let id = reaction["emoji"]?["id"]?.string else {
        emoji.append(Emoji(path: plain, sign: plain, count: count))
        continue
      }
      let kind = reaction["emoji"]?["animated"]?.bool == true ? "a" : ""
      emoji.append(Emoji(path: "\(plain):\(id)", sign: "<\(kind):\(plain):\(id)>", count: count))
    }
  }

  /// Differs when the reactions do; empty: there are none.
  static func mark(of message: JSONValue) -> String {
    guard let reactions = message["reactions"]?.array, !reactions.isEmpty else { return "" }
    return "/" + Hex.encode(Digest.sha256(JSONValue.array(reactions).encoded()).prefix(8))
  }

  /// Takes the users of the first emoji.
  mutating func take(_ users: [JSONValue]) {
    guard !emoji.isEmpty else { return }
    let first = emoji.removeFirst()
    let ids = users.compactMap { $0["id"]?.string }.filter { !$0.isEmpty }
    for id in ids { shown.add(id, first.sign) }
    if first.count > Int64(ids.count) { shown.isWhole = false }
  }

  // MARK: JSON

  init(kept json: JSONValue) {
    emoji = (json["emoji"]?.array ?? []).compactMap { entry in
      guard let path = entry[0]?.string, let sign = entry[1]?.string else { return nil }
      return Emoji(path: path, sign: sign, count: entry[2]?.integer ?? 0)
    }
    for (user, signs) in json["users"]?.object ?? [:] {
      shown.byUser[user] = (signs.array ?? []).compactMap(\.string)
    }
    shown.isWhole = json["whole"]?.bool ?? true
  }

  var json: JSONValue {
    [
      "emoji": .array(emoji.map { [.string($0.path), .string($0.sign), .integer($0.count)] }),
      "users": .object(shown.byUser.mapValues { .array($0.map { .string($0) }) }),
      "whole": .bool(shown.isWhole),
    ]
  }
}
