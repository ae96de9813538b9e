/// Identifiers of messages as header fields name them (RFC 5322 section 3.6.4), without angle brackets.
package enum MessageID {
  private static let idsMax = 1_000

  /// Of `Message-ID`, `In-Reply-To` or `References`: each identifier once, in its order. Words around
  /// identifiers in brackets do not count; without any brackets the words with an `@` are taken.
  package static func list(_ value: String) -> [String] {
    var found: [String] = []
    var seen: Set<String> = []
    func add(_ bytes: ArraySlice<UInt8>) {
      // White space inside comes from folding.
      let id = String(decoding: bytes.filter { $0 > 0x20 && $0 != 0x7f }, as: UTF8.self)
      if !id.isEmpty, found.count < idsMax, seen.insert(id).inserted { found.append(id) }
    }
    let bytes = Array(value.utf8)
    var start: Int?
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "<") { start = index + 1 }
      if byte == UInt8(ascii: ">"), let open = start {
        add(bytes[open..<index])
        start = nil
      }
    }
    if found.isEmpty {
      for word in bytes.split(whereSeparator: { ASCII.isSpace($0) || $0 == UInt8(ascii: ",") })
      where word.contains(UInt8(ascii: "@")) {
        add(word.drop { $0 == UInt8(ascii: "<") })
      }
    }
    return found
  }
}
