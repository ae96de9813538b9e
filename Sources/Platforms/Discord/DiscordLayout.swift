import JSON

/// The words of a message without a text: of its components (https://discord.com/developers/docs/components),
/// else of its embeds.
enum DiscordLayout {
  private static let depthMax = 6
  private static let partsMax = 100

  /// Empty: there are none.
  static func words(_ message: JSONReader) -> String {
    let components = lines(message["components"], depth: 0)
    let found =
      components.isEmpty ? (message["embeds"]?.array ?? []).prefix(partsMax).flatMap(said) : components
    return found.joined(separator: "\n")
  }

  /// Text displays, in containers and sections too; what buttons are called is no part of what is said.
  private static func lines(_ components: JSONValue?, depth: Int) -> [String] {
    guard depth < depthMax else { return [] }
    return (components?.array ?? []).prefix(partsMax).flatMap { component in
      let own = component["type"]?.integer == 10 ? component["content"]?.string ?? "" : ""
      return (own.isEmpty ? [] : [own]) + lines(component["components"], depth: depth + 1)
    }
  }

  private static func said(_ embed: JSONValue) -> [String] {
    let texts = ["title", "description"].compactMap { embed[$0]?.string }
    let fields = (embed["fields"]?.array ?? []).prefix(partsMax).map { field in
      [field["name"], field["value"]].compactMap { $0?.string }.joined(separator: ": ")
    }
    return (texts + fields).filter { !$0.isEmpty }
  }
}
