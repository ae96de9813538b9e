/// URLs out of payloads that a frontend will follow.
enum WebAddress {
  private static let bytesMax = 4_096

  /// The text when it is an http or https URL of reasonable length, else nil.
  static func checked(_ text: String?) -> String? {
    guard let text, text.hasPrefix("https://") || text.hasPrefix("http://"), text.utf8.count <= bytesMax,
      text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
    else { return nil }
    return text
  }
}
