package import Messaging

/// Whether a file is what its message says, and what it is served as.
package enum FileCheck {
  /// Types that a browser may show: none of them runs anything.
  private static let shown: Set<String> = [
    "image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "audio/mpeg",
    "audio/mp4",
    "audio/ogg", "audio/wav", "audio/webm", "audio/flac", "audio/aac", "video/mp4", "video/webm", "video/ogg",
    "video/quicktime", "application/pdf",
  ]
  private static let unknown = "application/octet-stream"
  private static let active = ["html", "svg", "xml", "javascript", "ecmascript"]

  package struct Mismatch: Error, Equatable {
    package let reason: String
  }

  /// The type to serve a file by.
  /// - Parameters:
  ///   - claimed: as the message says.
  ///   - head: the first `MediaSignature.bytes` bytes.
  package static func type(
    _ kind: Attachment.Kind, claimed: String?, name: String?, head: [UInt8]
  ) throws(Mismatch) -> String {
    let found = MediaSignature.type(of: head)
    let claimed = claimed.flatMap(essence)
    if let found, !fits(found, kind, claimed, name) {
      throw Mismatch(reason: "what came is no \(kind.rawValue) but \(found)")
    }
    guard let found else {
      // Media that is not recognised is kept, but nobody is told to show it.
      let isText = kind == .file && claimed.map { !isActive($0) } ?? false
      return isText ? claimed ?? unknown : unknown
    }
    guard let claimed, isContainer(found) else { return refined(found, claimed) }
    // One container, several names: what was recorded as sound stays sound.
    return claimed.hasPrefix("audio/") || claimed.hasPrefix("video/") ? claimed : found
  }

  /// Office documents and the like are archives: their own type says more.
  private static func refined(_ found: String, _ claimed: String?) -> String {
    guard let claimed, ["application/zip", "application/gzip"].contains(found),
      claimed.hasPrefix("application/")
    else { return found }
    return isActive(claimed) && !claimed.contains("openxmlformats") ? found : claimed
  }

  private static func fits(_ found: String, _ kind: Attachment.Kind, _ claimed: String?, _ name: String?)
    -> Bool
  {
    switch kind {
    case .image: return found.hasPrefix("image/") && found != "image/svg+xml" || claimed == found
    case .video: return found.hasPrefix("video/") || found == "image/gif"
    case .audio: return found.hasPrefix("audio/") || isContainer(found)
    case .sticker: return !isActive(found)
    case .file: return found != "text/html" || isMarkup(claimed, name)
    }
  }

  /// A page in place of a file is a login form or an error, unless a page was sent.
  private static func isMarkup(_ claimed: String?, _ name: String?) -> Bool {
    if let claimed, claimed.hasPrefix("text/") || isActive(claimed) { return true }
    let ending = name?.split(separator: ".").last.map { $0.lowercased() } ?? ""
    return ["html", "htm", "xhtml", "md", "txt", "svg", "xml"].contains(ending)
  }

  private static func isContainer(_ type: String) -> Bool {
    ["video/mp4", "video/webm", "video/3gpp", "video/quicktime", "video/ogg", "audio/mp4", "audio/ogg"]
      .contains(type)
  }

  private static func isActive(_ type: String) -> Bool { active.contains { type.contains($0) } }

  /// Type and subtype in lower case, without parameters; nil for what is none.
  private static func essence(_ type: String) -> String? {
    let plain = type.split(separator: ";").first.map(String.init) ?? ""
    let parts = plain.lowercased().filter { $0 != " " }.split(
      separator: "/", omittingEmptySubsequences: false)
    let isWellFormed =
      parts.count == 2
      && parts.allSatisfy { part in
        !part.isEmpty && part.utf8.count < 100
          && part.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (97...122).contains(byte) || "!#$&-^_.+".utf8.contains(byte)
          }
      }
    return isWellFormed ? parts.joined(separator: "/") : nil
  }

  /// Whether a browser may show it in place; everything else is only to be saved.
  package static func isShown(_ type: String) -> Bool { shown.contains(type) }

  /// A type as it may stand in a header field.
  package static func served(_ type: String?) -> String { type.flatMap(essence) ?? unknown }
}
