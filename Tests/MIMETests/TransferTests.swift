import Testing

@testable import MIME

@Suite("Encodings and character sets")
struct TransferTests {
  private func decode(_ encoding: TransferEncoding, _ text: String) -> String {
    String(decoding: encoding.decode(Array(text.utf8)[...]), as: UTF8.self)
  }

  @Test(
    "quoted-printable is decoded",
    arguments: [
      ("Caf=C3=A9", "Café"), ("caf=c3=a9", "café"), ("a=\r\nb", "ab"), ("a=\nb", "ab"), ("a= \t\r\nb", "ab"),
      ("trailing  \r\nx", "trailing\r\nx"), ("end  ", "end"), ("a=20\r\nb", "a \r\nb"), ("a=", "a"),
      ("a=Z1b", "a=Z1b"), ("=", ""), ("", ""), ("a=3", "a=3"), ("=3D", "="), ("a b\tc", "a b\tc"),
    ])
  func quotedPrintable(text: String, expected: String) {
    #expect(decode(.quotedPrintable, text) == expected)
  }

  @Test(
    "base64 is decoded, whatever stands between",
    arguments: [
      ("aGVsbG8=", "hello"), ("aGVs\r\nbG8=\r\n", "hello"), ("aGVsbG8", "hello"), ("aGVsbG8=aGk=", "hellohi"),
      ("*a-G_V.s", "hel"), ("", ""), ("=", ""), ("a", ""),
    ])
  func base64(text: String, expected: String) {
    #expect(decode(.base64, text) == expected)
  }

  @Test(
    "names are known in any case",
    arguments: [
      ("Base64", TransferEncoding.base64), (" QUOTED-PRINTABLE ", .quotedPrintable), ("8bit", .identity),
      ("x-uuencode", .identity), ("base64; x", .base64),
    ])
  func names(name: String, expected: TransferEncoding) {
    #expect(TransferEncoding(name) == expected)
  }

  @Test(
    "character sets are decoded",
    arguments: [
      ([0x43, 0xe9], "iso-8859-1", "Cé"), ([0x80], "ISO-8859-1", "€"),
      ([0x80, 0x9d], "windows-1252", "€\u{9d}"),
      ([0xc3, 0xa9], nil, "é"), ([0xe9], nil, "é"), ([0xe9], "utf-8", "é"), ([0xe9], "us-ascii", "é"),
      ([0xef, 0xbb, 0xbf, 0x41], "utf-8", "A"), ([0xcf, 0xf0, 0xe8], "windows-1251", "При"),
      ([0xa4], "ISO-8859-15", "€"), ([0xb1], "iso-8859-2", "ą"), ([0x93, 0xfa], "Shift_JIS", "日"),
      ([0xc6, 0xfc, 0xcb, 0xdc], "EUC-JP", "日本"), ([0xa7, 0x41], "big5", "你"),
      ([0xbe, 0xc8, 0xb3, 0xe7], "euc-kr", "안녕"), ([0x41, 0xe9], "no-such-set", "Aé"),
      ([0xfe, 0xff, 0, 0x41], "utf-16", "A"), ([0x41, 0], "utf-16le", "A"), ([0, 0x41], "utf-16be", "A"),
      ([], "utf-8", ""),
    ] as [([UInt8], String?, String)])
  func charsets(bytes: [UInt8], name: String?, text: String) {
    #expect(Charset.decode(bytes, name) == text)
  }
}
