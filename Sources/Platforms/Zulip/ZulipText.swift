import JSON

/// What the hub writes around a user's words, since a Zulip message is one text: before them what is
/// answered, as Zulip's own apps quote it, behind them links to files.
enum ZulipText {
  private static let fenceMark: Character = "`"

  static func link(_ name: String, _ address: String) -> String {
    "[\(name.filter { !"[]\n".contains($0) })](\(address))"
  }

  /// With a fence that is longer than any in what is quoted.
  static func quote(_ message: JSONValue?, _ id: String, server: String) -> String {
    let content = message?["content"]?.string ?? ""
    let name = message?["sender_full_name"]?.string ?? ""
    let sender = message?["sender_id"]?.identifier ?? ""
    var fence = "```"
    while content.holds(fence) { fence.append(fenceMark) }
    return
      "@_**\(name)|\(sender)** [said](\(server)/#narrow/near/\(id)):\n\(fence)quote\n\(content)\n\(fence)"
  }

  /// The user's words alone, of a text that the hub may have made. Its links are files by now: see
  /// `ZulipUploads`.
  static func written(_ text: String) -> String {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
    if let first = lines.first, first.hasPrefix("@_**"), first.holds("[said]("), first.hasSuffix("):"),
      let opening = lines.dropFirst().first, opening.hasSuffix("quote")
    {
      let fence = opening.dropLast("quote".count)
      let isFence = fence.count >= 3 && fence.allSatisfy { $0 == fenceMark }
      if isFence, let end = lines.dropFirst(2).firstIndex(of: fence) { lines = lines[(end + 1)...] }
    }
    return lines.joined(separator: "\n")
  }
}
