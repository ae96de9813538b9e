import Foundation

/// Text out of the character sets of mail. Never fails: what a set does not have becomes U+FFFD, and an
/// unknown set is read as UTF-8, or as Western where it is not.
package enum Charset {
  /// - Parameter name: as in a `charset` parameter; nil: not said.
  package static func decode(_ bytes: some Collection<UInt8>, _ name: String?) -> String {
    let label = name.map(normalised) ?? ""
    switch label {
    case "", "us-ascii", "ascii", "ansi_x3.4-1968", "utf-8", "utf8", "unknown-8bit", "8bit", "binary":
      return unicodeOrWestern(bytes)
    // Mail that says ISO-8859-1 and has bytes from 0x80 to 0x9f means windows-1252.
    case "iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1", "windows-1252", "cp1252",
      "cp-1252":
      return western(bytes)
    case "euc-jp", "x-euc-jp": return japanese(bytes)
    default: break
    }
    guard let encoding = encodings[label],
      let text = String(data: Data(bytes), encoding: String.Encoding(rawValue: encoding))
    else { return unicodeOrWestern(bytes) }
    return text.first == "\u{feff}" ? String(text.dropFirst()) : text
  }

  /// UTF-8 where the bytes are that, and windows-1252 where they are not.
  package static func unicodeOrWestern(_ bytes: some Collection<UInt8>) -> String {
    // What is ASCII needs no second look.
    if bytes.allSatisfy({ $0 < 0x80 }) { return String(decoding: bytes, as: UTF8.self) }
    guard let text = String(validating: bytes, as: UTF8.self) else { return western(bytes) }
    guard text.unicodeScalars.first == "\u{feff}" else { return text }
    return String(text.unicodeScalars.dropFirst())
  }

  private static func normalised(_ name: String) -> String {
    // RFC 2231 allows a language behind an asterisk in an encoded word.
    let name = name.prefix { $0 != "*" }
    return String(decoding: ASCII.trimmed(Array(name.utf8)[...]).map(ASCII.lowercased), as: UTF8.self)
  }

  private static func western(_ bytes: some Collection<UInt8>) -> String {
    var scalars = String.UnicodeScalarView()
    for byte in bytes {
      let value = (0x80...0x9f).contains(byte) ? windows1252[Int(byte - 0x80)] : UInt16(byte)
      scalars.append(Unicode.Scalar(value) ?? "\u{fffd}")
    }
    return String(scalars)
  }

  /// What windows-1252 has at 0x80 to 0x9f, as WHATWG's encoding standard reads it.
  private static let windows1252: [UInt16] = [
    0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152,
    0x8d, 0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122,
    0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
  ]

  private static let iso2022JP: UInt = 21

  /// EUC-JP, which Foundation lacks here, has the characters of ISO-2022-JP with the top bits set.
  private static func japanese(_ bytes: some Collection<UInt8>) -> String {
    var output: [UInt8] = []
    var isDouble = false
    var rest = Array(bytes)[...]
    while let first = rest.popFirst() {
      let isPair = first >= 0xa1 && rest.first.map { $0 >= 0xa1 } ?? false
      if isPair != isDouble {
        // ESC $ B begins characters of two bytes, ESC ( B ends them.
        output += isPair ? [0x1b, 0x24, 0x42] : [0x1b, 0x28, 0x42]
        isDouble = isPair
      }
      if isPair, let second = rest.popFirst() {
        output += [first & 0x7f, second & 0x7f]
      } else {
        output.append(first < 0x80 ? first : UInt8(ascii: "?"))
      }
    }
    if isDouble { output += [0x1b, 0x28, 0x42] }
    return String(data: Data(output), encoding: String.Encoding(rawValue: iso2022JP))
      ?? unicodeOrWestern(bytes)
  }

  /// Raw values of `String.Encoding`: Foundation's own, and those of Core Foundation with the top bit set.
  private static let encodings: [String: UInt] = [
    "utf-16": 0x0a, "utf-16be": 0x9000_0100, "utf-16le": 0x9400_0100, "utf-32": 0x8c00_0100,
    "shift_jis": 8, "shift-jis": 8, "sjis": 8, "windows-31j": 8, "cp932": 8, "ms_kanji": 8,
    "iso-2022-jp": iso2022JP,
    "gb2312": 0x8000_0632, "gbk": 0x8000_0632, "gb18030": 0x8000_0632, "cp936": 0x8000_0632,
    "big5": 0x8000_0a03, "big5-hkscs": 0x8000_0a03,
    "euc-kr": 0x8000_0940, "ks_c_5601-1987": 0x8000_0940, "cp949": 0x8000_0940,
    "koi8-r": 0x8000_0a02, "koi8-u": 0x8000_0a08,
    "iso-8859-2": 9, "iso-8859-3": 0x8000_0203, "iso-8859-4": 0x8000_0204, "iso-8859-5": 0x8000_0205,
    "iso-8859-6": 0x8000_0206, "iso-8859-7": 0x8000_0207, "iso-8859-8": 0x8000_0208,
    "iso-8859-8-i": 0x8000_0208, "iso-8859-9": 0x8000_0209, "iso-8859-13": 0x8000_020d,
    "iso-8859-15": 0x8000_020f, "latin-9": 0x8000_020f,
    "windows-1250": 15, "cp1250": 15, "windows-1251": 11, "cp1251": 11, "windows-1253": 13,
    "windows-1254": 14, "windows-1255": 0x8000_0505, "windows-1256": 0x8000_0506,
    "windows-1257": 0x8000_0507, "windows-1258": 0x8000_0508,
    "windows-874": 0x8000_041d, "tis-620": 0x8000_041d,
  ]
}
