/// Zulip's names of emoji (tools/setup/emoji/custom_emoji_names.py of its server): some that others know it
/// has not, and some mean other signs there, such as `smile` and `x`.
enum ZulipEmoji {
  private static let own = [
    "😄": "big_smile", "🙂": "smile", "😘": "heart_kiss", "😐": "neutral", "👌": "ok", "✌": "peace_sign",
    "✅": "check", "✔": "check_mark", "❌": "cross_mark", "⏳": "time_ticking", "📌": "push_pin",
  ]

  /// The name of a sign, or a name in colons without them; nil: the sign has none here.
  static func name(_ emoji: String) -> String? {
    let plain = String(String.UnicodeScalarView(emoji.unicodeScalars.filter { $0.value != 0xfe0f }))
    return own[plain] ?? EmojiName.name(emoji)
  }
}
