import Bytes

/// Text of people in header fields: encoded words, phrases, parameters (RFC 2047, 5322, 2231).
///
/// What comes out is made of tokens between which a line may be folded. No token holds a control
/// character, so no text can begin a new line or a new field.
enum HeaderText {
  /// Longer words are encoded, which splits them.
  private static let wordBytesMax = 70
  /// Bytes of one encoded word: 52 digits, so that a line of 76 characters (RFC 2047 section 2) has room
  /// for it and a field's name.
  private static let encodedBytesMax = 39

  /// The text with a space for every control character.
  static func clean(_ text: String) -> String {
    var cleaned = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
      cleaned.append(isControl || scalar.value == 0x2028 || scalar.value == 0x2029 ? " " : scalar)
    }
    return String(cleaned)
  }

  /// A subject.
  static func unstructured(_ text: String) -> [String] {
    let text = clean(text)
    guard !text.isEmpty else { return [] }
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    let isPlain =
      text.utf8.allSatisfy { $0 < 0x80 } && !text.contains("=?")
      && words.allSatisfy { !$0.isEmpty && $0.utf8.count <= wordBytesMax }
    return isPlain ? words : encodedWords(text)
  }

  /// A display name.
  static func phrase(_ text: String) -> [String] {
    let text = clean(text)
    guard !text.isEmpty else { return [] }
    let isShortASCII =
      text.utf8.allSatisfy { $0 < 0x80 } && !text.contains("=?") && text.utf8.count <= wordBytesMax
    guard isShortASCII else { return encodedWords(text) }
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    if words.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isAtomByte) }) { return words }
    return [quoted(text)]
  }

  /// RFC 2047, in base64, no character split between two words.
  static func encodedWords(_ text: String) -> [String] {
    var words: [String] = []
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      let encoded = Array(String(scalar).utf8)
      if bytes.count + encoded.count > encodedBytesMax {
        words.append("=?utf-8?B?\(Base64.encode(bytes))?=")
        bytes = []
      }
      bytes += encoded
    }
    if !bytes.isEmpty { words.append("=?utf-8?B?\(Base64.encode(bytes))?=") }
    return words
  }

  /// `; filename="a b.txt"`, or in the pieces of RFC 2231.
  static func parameter(_ name: String, _ value: String) -> [String] {
    let value = clean(value)
    if value.utf8.count <= wordBytesMax, value.utf8.allSatisfy({ $0 < 0x80 }) {
      return ["\(name)=\(quoted(value))"]
    }
    var pieces: [String] = []
    var piece = "UTF-8''"
    for byte in value.utf8 {
      let text = isParameterByte(byte) ? String(Unicode.Scalar(byte)) : "%" + hex(byte)
      if piece.utf8.count + text.utf8.count > 60 {
        pieces.append(piece)
        piece = ""
      }
      piece += text
    }
    pieces.append(piece)
    guard pieces.count > 1 else { return ["\(name)*=\(piece)"] }
    return pieces.enumerated().map { index, piece in
      "\(name)*\(index)*=\(piece)" + (index + 1 < pieces.count ? ";" : "")
    }
  }

  private static func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }

  private static func hex(_ byte: UInt8) -> String {
    let digits = Array("0123456789ABCDEF")
    return String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
  }

  private static func isAtomByte(_ byte: UInt8) -> Bool {
    isLetterOrDigit(byte) || "!#$%&'*+-/=?^_`{|}~".utf8.contains(byte)
  }

  /// RFC 2231 `attribute-char`.
  private static func isParameterByte(_ byte: UInt8) -> Bool {
    isLetterOrDigit(byte) || "!#$&+-.^_`{|}~".utf8.contains(byte)
  }
}

/// Writes header fields, folded before column 78 where a token allows it.
struct HeaderWriter {
  private static let columnsMax = 77
  private(set) var bytes: [UInt8] = []

  /// - Parameter tokens: separated by a space or a fold; no token is split. Without tokens there is no field.
  mutating func field(_ name: String, _ tokens: [String]) {
    guard !tokens.isEmpty else { return }
    bytes.append(contentsOf: "\(name):".utf8)
    var column = name.utf8.count + 1
    for (index, token) in tokens.enumerated() {
      let length = token.utf8.count + 1
      if index > 0, column + length > Self.columnsMax {
        bytes.append(contentsOf: "\r\n".utf8)
        column = 0
      }
      bytes.append(UInt8(ascii: " "))
      bytes.append(contentsOf: token.utf8)
      column += length
    }
    bytes.append(contentsOf: "\r\n".utf8)
  }

  mutating func field(_ name: String, _ addresses: [MailAddress]) {
    var tokens: [String] = []
    for (index, address) in addresses.enumerated() {
      let comma = index + 1 < addresses.count ? "," : ""
      tokens += HeaderText.phrase(address.name) + ["<\(address.address)>\(comma)"]
    }
    field(name, tokens)
  }

  mutating func endHeader() {
    bytes.append(contentsOf: "\r\n".utf8)
  }
}
