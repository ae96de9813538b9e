/// What a file is by its first bytes, for the types that browsers show and for those that are dangerous to
/// show. https://mimesniff.spec.whatwg.org/
package enum MediaSignature {
  /// As many bytes as are looked at.
  package static let bytes = 512

  private static let plain: [(signature: [UInt8], type: String)] = [
    ([0xff, 0xd8, 0xff], "image/jpeg"), ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "image/png"),
    (Array("GIF87a".utf8), "image/gif"), (Array("GIF89a".utf8), "image/gif"),
    ([0x49, 0x49, 0x2a, 0x00], "image/tiff"), ([0x4d, 0x4d, 0x00, 0x2a], "image/tiff"),
    ([0x00, 0x00, 0x01, 0x00], "image/x-icon"), (Array("ID3".utf8), "audio/mpeg"),
    (Array("fLaC".utf8), "audio/flac"), (Array("#!AMR".utf8), "audio/amr"),
    (Array("%PDF-".utf8), "application/pdf"), ([0x1f, 0x8b, 0x08], "application/gzip"),
    ([0x50, 0x4b, 0x03, 0x04], "application/zip"), ([0x00, 0x00, 0x01, 0xba], "video/mpeg"),
    ([0x00, 0x00, 0x01, 0xb3], "video/mpeg"),
  ]

  /// nil: none that is known here.
  package static func type(of head: [UInt8]) -> String? {
    let head = Array(head.prefix(bytes))
    if let found = plain.first(where: { head.starts(with: $0.signature) }) { return found.type }
    return riff(head) ?? isoMedia(head) ?? matroska(head) ?? ogg(head) ?? frames(head) ?? bitmap(head)
      ?? markup(head)
  }

  private static func has(_ head: [UInt8], _ text: String, at offset: Int) -> Bool {
    head.dropFirst(offset).starts(with: text.utf8)
  }

  private static func contains(_ head: [UInt8], _ text: String) -> Bool {
    let wanted = Array(text.utf8)
    guard head.count >= wanted.count else { return false }
    return (0...(head.count - wanted.count)).contains { head[$0...].starts(with: wanted) }
  }

  private static func riff(_ head: [UInt8]) -> String? {
    guard has(head, "RIFF", at: 0) else { return nil }
    if has(head, "WEBP", at: 8) { return "image/webp" }
    if has(head, "WAVE", at: 8) { return "audio/wav" }
    return has(head, "AVI ", at: 8) ? "video/x-msvideo" : nil
  }

  /// MP4 and its family (ISO/IEC 14496-12): the major brand says which.
  private static func isoMedia(_ head: [UInt8]) -> String? {
    guard has(head, "ftyp", at: 4), head.count >= 12 else { return nil }
    let brand = String(decoding: head[8..<12], as: UTF8.self)
    switch brand {
    case "avif", "avis": return "image/avif"
    case "heic", "heix", "hevc", "heim", "heis", "mif1", "msf1": return "image/heic"
    case "M4A ", "M4B ", "M4P ": return "audio/mp4"
    case "qt  ": return "video/quicktime"
    default: return brand.hasPrefix("3g") ? "video/3gpp" : "video/mp4"
    }
  }

  private static func matroska(_ head: [UInt8]) -> String? {
    guard head.starts(with: [0x1a, 0x45, 0xdf, 0xa3]) else { return nil }
    return contains(head, "webm") ? "video/webm" : "video/x-matroska"
  }

  private static func ogg(_ head: [UInt8]) -> String? {
    guard has(head, "OggS", at: 0) else { return nil }
    return contains(head, "theora") ? "video/ogg" : "audio/ogg"
  }

  /// MPEG audio without a tag, and AAC in ADTS: eleven or twelve bits of synchronisation.
  private static func frames(_ head: [UInt8]) -> String? {
    guard head.count >= 4, head[0] == 0xff else { return nil }
    if head[1] & 0xf6 == 0xf0 { return "audio/aac" }
    let (layer, rate) = (head[1] >> 1 & 3, head[2] >> 4)
    let isFrame = head[1] & 0xe0 == 0xe0 && head[1] >> 3 & 3 != 1 && layer != 0 && rate != 15
    return isFrame ? "audio/mpeg" : nil
  }

  private static func bitmap(_ head: [UInt8]) -> String? {
    has(head, "BM", at: 0) && head.count >= 14 && head[6..<10].allSatisfy { $0 == 0 } ? "image/bmp" : nil
  }

  /// Text that a browser would run.
  private static func markup(_ head: [UInt8]) -> String? {
    let text = String(decoding: head, as: UTF8.self).lowercased()
    let start = text.drop { $0.isWhitespace || $0 == "\u{feff}" }
    guard start.hasPrefix("<") else { return nil }
    if start.hasPrefix("<svg") { return "image/svg+xml" }
    let html = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<!--", "<div", "<table"]
    if start.hasPrefix("<?xml") || start.hasPrefix("<!doctype svg") {
      return start.contains("<svg") || start.contains("doctype svg") ? "image/svg+xml" : "text/xml"
    }
    return html.contains { start.hasPrefix($0) } ? "text/html" : nil
  }
}
