/// Names of emoji, for platforms that know reactions by name. What is not in the table stays what it is: a
/// name such as `:tada:`.
enum EmojiName {
  private static let table: [(String, String)] = [
    ("👍", "+1"), ("👎", "-1"), ("❤️", "heart"), ("😄", "smile"), ("😃", "smiley"), ("😀", "grinning"),
    ("😂", "joy"), ("🤣", "rofl"), ("😊", "blush"), ("🙂", "slightly_smiling_face"), ("😉", "wink"),
    ("😍", "heart_eyes"), ("😘", "kissing_heart"), ("😎", "sunglasses"), ("🤔", "thinking"),
    ("😐", "neutral_face"), ("😕", "confused"), ("😢", "cry"), ("😭", "sob"), ("😡", "rage"),
    ("😠", "angry"), ("😱", "scream"), ("😮", "open_mouth"), ("😅", "sweat_smile"), ("😴", "sleeping"),
    ("🙄", "roll_eyes"), ("🤷", "shrug"), ("🙏", "pray"), ("👏", "clap"), ("🙌", "raised_hands"),
    ("💪", "muscle"), ("👋", "wave"), ("👌", "ok_hand"), ("✌️", "v"), ("👀", "eyes"), ("🔥", "fire"),
    ("🎉", "tada"), ("🚀", "rocket"), ("⭐", "star"), ("✨", "sparkles"), ("💯", "100"),
    ("✅", "white_check_mark"), ("✔️", "heavy_check_mark"), ("❌", "x"), ("⚠️", "warning"),
    ("❓", "question"), ("❗", "exclamation"), ("💡", "bulb"), ("☕", "coffee"), ("🍺", "beer"),
    ("💔", "broken_heart"), ("💙", "blue_heart"), ("💚", "green_heart"), ("💛", "yellow_heart"),
    ("🐛", "bug"), ("🤝", "handshake"), ("📌", "pushpin"), ("⏳", "hourglass_flowing_sand"),
  ]

  private static let names = Dictionary(
    table.map { (plain($0.0), $0.1) }, uniquingKeysWith: { first, _ in first })
  private static let signs = Dictionary(
    table.map { ($0.1, $0.0) } + [("thumbsup", "👍"), ("thumbsdown", "👎")],
    uniquingKeysWith: { first, _ in first })

  /// Without the mark that asks for the coloured form, which is not always there.
  private static func plain(_ sign: String) -> String {
    String(String.UnicodeScalarView(sign.unicodeScalars.filter { $0.value != 0xfe0f }))
  }

  /// The name, without colons, of a sign or of a name; nil: the sign has none here.
  static func name(_ emoji: String) -> String? {
    if let name = names[plain(emoji)] { return name }
    let bare = emoji.hasPrefix(":") && emoji.hasSuffix(":") ? emoji.dropFirst().dropLast() : emoji[...]
    let isName =
      !bare.isEmpty
      && bare.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"):
          true
        default: false
        }
      }
    return isName ? String(bare) : nil
  }

  /// The sign of a name, or the name in colons.
  static func sign(_ name: String) -> String {
    let bare =
      name.hasPrefix(":") && name.hasSuffix(":") && name.count > 2
      ? String(name.dropFirst().dropLast()) : name
    return signs[bare] ?? ":\(bare):"
  }

  /// Why a reaction cannot be sent; nil: it can.
  static func refusal(_ emoji: String, _ platform: String) -> SendRefusal? {
    guard name(emoji) == nil else { return nil }
    return SendRefusal(.invalidContent, "\(platform) knows reactions by name: give it, as in :tada:")
  }
}
