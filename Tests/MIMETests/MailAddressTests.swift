import Testing

@testable import MIME

@Suite("Addresses")
struct MailAddressTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let text: String
    let found: [MailAddress]

    init(_ text: String, _ found: (String?, String)...) {
      self.text = text
      self.found = found.map { MailAddress(name: $0.0, address: $0.1) }
    }

    var testDescription: String { text }
  }

  static let cases = [
    Case("ana@example.com", (nil, "ana@example.com")),
    Case("Ana <ana@example.com>", ("Ana", "ana@example.com")),
    Case("<ana@example.com>", (nil, "ana@example.com")),
    Case(
      "\"Doe, Ana\" <ana@example.com>, Bob Lee <bob@x.org>", ("Doe, Ana", "ana@example.com"),
      ("Bob Lee", "bob@x.org")),
    Case("\"Ana \\\"A\\\" Doe\" <a@b>", ("Ana \"A\" Doe", "a@b")),
    Case("ana@example.com (Ana Doe)", ("Ana Doe", "ana@example.com")),
    Case("Ana (at work (today)) Doe <a@b>", ("Ana Doe", "a@b")),
    Case("Team: Ana <a@b>, c@d; e@f", ("Ana", "a@b"), (nil, "c@d"), (nil, "e@f")),
    Case("undisclosed-recipients:;"),
    Case("=?UTF-8?Q?J=C3=BCrgen?= <j@x.de>", ("Jürgen", "j@x.de")),
    Case("\"=?UTF-8?B?SsO8cmdlbg==?=\" <j@x.de>", ("Jürgen", "j@x.de")),
    Case("Jürgen <j@x.de>", ("Jürgen", "j@x.de")),
    Case("'Ana Doe' <a@b>", ("Ana Doe", "a@b")),
    Case("\"a@b\" <a@b>", (nil, "a@b")),
    Case("\"john doe\"@example.com", (nil, "\"john doe\"@example.com")),
    Case("ana @ example . com", (nil, "ana@example.com")),
    Case("Ana Doe ana@example.com", ("Ana Doe", "ana@example.com")),
    Case("<@relay.example:ana@example.com>", (nil, "ana@example.com")),
    Case("Ana <ana@[IPv6:2001:db8::1]>", ("Ana", "ana@[IPv6:2001:db8::1]")),
    Case("ana@[IPv6:2001:db8::1]", (nil, "ana@[IPv6:2001:db8::1]")),
    Case("a@b,,;, c@d,", (nil, "a@b"), (nil, "c@d")),
    Case("Ana <a@b", ("Ana", "a@b")),
    Case("Ana <a@b <c@d>", ("Ana", "c@d")),
    Case("Ana", ("", "")), Case("@b, a@, <>, \"x", ("", "")), Case("", ("", "")), Case("(open", ("", "")),
  ]

  @Test("are read with their names", arguments: cases)
  func list(test: Case) {
    let expected = test.found.filter { !$0.address.isEmpty }
    #expect(MailAddress.list(test.text) == expected)
  }

  @Test("are bounded, and long lists take no long time", .timeLimit(.minutes(5)))
  func bounds() {
    #expect(MailAddress.list(String(repeating: "a@b,", count: 100_000)).count == MailAddress.countMax)
    for piece in ["(", "<", "\"", "a ", "a@", ",", "[", "[:", "a@b. ", ":", "\\"] {
      _ = MailAddress.list(String(repeating: piece, count: 200_000))
    }
  }
}
