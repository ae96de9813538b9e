/// A Content-Disposition field (RFC 6266): whether a browser shows a file or keeps it, and under what name.
package enum ContentDisposition {
  package enum Kind: String, Sendable { case inline, attachment }

  /// The name twice: in ASCII for old clients, and in UTF-8 (RFC 8187) when it has more than that.
  package static func field(_ kind: Kind, filename: String?) -> String {
    guard let name = filename.map(harmless), !name.isEmpty else { return kind.rawValue }
    var ascii = ""
    for character in name.unicodeScalars {
      let isPlain = character.isASCII && character != "\"" && character != "\\" && character != "%"
      ascii.unicodeScalars.append(isPlain ? character : "_")
    }
    let field = "\(kind.rawValue); filename=\"\(ascii)\""
    return ascii == name ? field : field + "; filename*=UTF-8''" + PercentEncoding.encode(name)
  }

  /// The last element of a path, without control characters and without those that turn the direction of
  /// writing, with which a name pretends another ending.
  private static func harmless(_ name: String) -> String {
    let last = name.split { $0 == "/" || $0 == "\\" }.last ?? ""
    var kept = ""
    for scalar in last.unicodeScalars {
      switch scalar.value {
      case 0...31, 127...159, 0x200e, 0x200f, 0x202a...0x202e, 0x2066...0x2069: continue
      default: kept.unicodeScalars.append(scalar)
      }
    }
    while kept.first == "." || kept.first == " " { kept.removeFirst() }
    return String(kept.prefix(200))
  }
}
