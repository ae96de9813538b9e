import Bytes
import Testing

@testable import MIME

@Suite("Header fields")
struct HeaderTests {
  private func headers(_ text: String) -> MailHeaders { MailHeaders(parsing: Array(text.utf8)[...]) }

  @Test("are unfolded and trimmed, and end at the empty line", arguments: ["\r\n", "\n"])
  func folding(end: String) {
    let text = ["Subject: a", " b", "\tc ", "X-Empty:", "to:Ana", "", "Not: here"].joined(separator: end)
    let headers = headers(text)
    #expect(headers["subject"] == "a b\tc")
    #expect(headers["X-EMPTY"] == "")
    #expect(headers["To"] == "Ana")
    #expect(headers["Not"] == nil)
    var body = ArraySlice<UInt8>()
    _ = MailHeaders(parsing: Array(text.utf8)[...], body: &body)
    #expect(String(decoding: body, as: UTF8.self) == "Not: here")
  }

  @Test("pass over lines that are none")
  func malformed() {
    let headers = headers(" starts folded\nFrom ana Fri Nov 20\nno colon\n: no name\nna me: x\nA: 1\nA: 2\n")
    #expect(headers.fields.map(\.name) == ["A", "A"])
    #expect(headers["a"] == "1")
    #expect(headers.all("a") == ["1", "2"])
  }

  @Test("are UTF-8 where they are that, and Western where not")
  func raw() {
    #expect(headers("A: Caf\u{e9}")["A"] == "Café")
    #expect(MailHeaders(parsing: (Array("A: Caf".utf8) + [0xe9, 0x80])[...])["A"] == "Café€")
  }

  @Test("are bounded in number and size")
  func bounds() {
    #expect(headers(String(repeating: "A: b\n", count: 5_000)).fields.count == MailHeaders.fieldsMax)
    let long = "A: b\n" + String(repeating: " xxxxxxxxx\n", count: 200_000) + "B: c\n\nbody"
    var body = ArraySlice<UInt8>()
    let headers = MailHeaders(parsing: Array(long.utf8)[...], body: &body)
    #expect((headers["A"]?.utf8.count ?? 0) <= MailHeaders.bytesMax)
    #expect(headers["B"] == nil)
    #expect(body.elementsEqual("body".utf8))
  }

  @Test(
    "encoded words are decoded",
    arguments: [
      ("=?UTF-8?Q?Caf=C3=A9?=", "Café"),
      ("=?utf-8?q?Caf=c3=a9_au_lait?= now", "Café au lait now"),
      ("=?UTF-8?B?8J+Ygg==?=", "😂"),
      ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
      ("=?ISO-8859-1?Q?a?=  \t =?ISO-8859-2?Q?_b?=", "a b"),
      ("=?UTF-8?Q?a?= c =?UTF-8?Q?b?=", "a c b"),
      // One character over two words.
      ("=?UTF-8?B?8J+Y?= =?utf-8?B?gg==?=", "😂"),
      ("=?US-ASCII*EN?Q?Keith?=", "Keith"),
      ("=?windows-1252?Q?=80_100?=", "€ 100"),
      ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
      ("=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"),
      ("=?GB2312?B?xOO6ww==?=", "你好"),
      ("=?UTF-8?Q?=ZZ?=", "=ZZ"),
      ("=?UTF-8?X?abc?=", "=?UTF-8?X?abc?="),
      ("=?UTF-8?Q?never ends", "=?UTF-8?Q?never ends"),
      ("=?UTF-8?Q?spaces are taken?=", "spaces are taken"),
      ("=?nonsense?Q?Caf=C3=A9?=", "Café"),
      ("1 = 2 ?= 3", "1 = 2 ?= 3"), ("=?", "=?"), ("=", "="), ("", ""), ("=??Q?a?=", "=??Q?a?="),
    ])
  func words(encoded: String, text: String) {
    #expect(EncodedWord.decode(encoded) == text)
  }

  @Test(
    "parameters are read, those of RFC 2231 too",
    arguments: [
      ("text/plain; charset=UTF-8", "charset", "UTF-8"),
      ("TEXT/Plain ; Charset = \"utf-8\" ; x=y", "charset", "utf-8"),
      ("a/b; name=\"a \\\"b\\\" c.txt\"", "name", "a \"b\" c.txt"),
      ("a/b; name=\"C:\\dir\\x.txt\"", "name", "C:\\dir\\x.txt"),
      ("a/b (comment; x=1); name=x(no)y; z", "name", "xy"),
      ("a/b; name*=UTF-8''caf%C3%A9%20au.txt", "name", "café au.txt"),
      ("a/b; name=plain.txt; name*=iso-8859-1'fr'caf%E9", "name", "café"),
      ("a/b; name*0=\"long \"; name*1=\"name\"", "name", "long name"),
      ("a/b; name*1=name; name*0=long", "name", "longname"),
      ("a/b; name*0*=UTF-8''%E2; name*1*=%82%AC; name*2=\".x\"", "name", "€.x"),
      ("a/b; name*0=a; name*2=c", "name", "a"),
      ("a/b; name=\"=?UTF-8?B?8J+Ygg==?=.png\"", "name", "😂.png"),
      ("a/b; name=first; name=second", "name", "first"),
      ("a/b; name=\"open", "name", "open"), ("a/b; name=", "name", ""),
    ])
  func parameters(value: String, name: String, expected: String) {
    #expect(ParameterizedValue(value)[name] == expected)
  }

  @Test("the value before the parameters is in lower case")
  func value() {
    #expect(ParameterizedValue(" Text/HTML (x) ; a=b").value == "text/html")
    #expect(ParameterizedValue("").value == "")
    #expect(ParameterizedValue("a/b; name*1=x").parameters.isEmpty)
    #expect(ParameterizedValue("a/b" + String(repeating: ";x=y", count: 100_000)).parameters == ["x": "y"])
  }

  @Test(
    "dates are read as RFC 5322 and its ancestors write them",
    arguments: [
      ("Fri, 20 Nov 2026 23:59:58 +0000", "2026-11-20T23:59:58.000Z"),
      ("20 Nov 2026 23:59 +0100", "2026-11-20T22:59:00.000Z"),
      ("Fri, 20 Nov 2026 23:59:58 -0500 (EST)", "2026-11-21T04:59:58.000Z"),
      ("Fri,20 Nov 26 23:59:58 GMT", "2026-11-20T23:59:58.000Z"),
      ("1 Jan 99 00:00:00 PST", "1999-01-01T08:00:00.000Z"),
      ("Fri, 20 November 2026 23:59:58 UT", "2026-11-20T23:59:58.000Z"),
    ])
  func dates(text: String, time: String) {
    #expect(MailDate.parse(text)?.rfc3339 == time)
  }

  @Test(
    "what is no date is none",
    arguments: ["", "yesterday", "31 Feb 2026 00:00:00 +0000", "Nov", "20 Nov", "20 Nov 2026", "x Nov y z:q"])
  func noDates(text: String) {
    #expect(MailDate.parse(text) == nil)
  }

  @Test(
    "identifiers are taken out of what surrounds them",
    arguments: [
      ("<a@b>", ["a@b"]), ("<a@b> <c@d>\t<a@b>", ["a@b", "c@d"]), ("<a@b><c@d>", ["a@b", "c@d"]),
      ("Your message of Monday <a@b> said", ["a@b"]), ("a@b, c@d", ["a@b", "c@d"]), ("<a @ b>", ["a@b"]),
      ("<no end", []), ("<no-at>", ["no-at"]), ("", []), ("<>", []), ("<<a@b>>", ["a@b"]),
    ] as [(String, [String])])
  func identifiers(text: String, ids: [String]) {
    #expect(MessageID.list(text) == ids)
  }
}
