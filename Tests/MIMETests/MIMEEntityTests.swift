import Testing

@testable import MIME

@Suite("Messages")
struct MIMEEntityTests {
  static let message = """
    From: Ana <ana@example.com>\r
    Subject: =?UTF-8?Q?Caf=C3=A9?=\r
    MIME-Version: 1.0\r
    Content-Type: multipart/mixed; boundary="outer"\r
    \r
    A preamble that nobody reads.\r
    --outer\r
    Content-Type: multipart/alternative; boundary=outer-inner\r
    \r
    --outer-inner\r
    Content-Type: text/plain; charset=iso-8859-1\r
    Content-Transfer-Encoding: quoted-printable\r
    \r
    Caf=E9=\r
     au lait\r
    --outer-inner\r
    Content-Type: text/html; charset=utf-8\r
    \r
    <p>Café</p>\r
    --outer-inner--\r
    --outer\r
    Content-Type: image/png; name="a.png"\r
    Content-ID: <cid1@x>\r
    Content-Transfer-Encoding: base64\r
    Content-Disposition: attachment; filename*=UTF-8''b%C3%A9.png\r
    \r
    iVBORw0KGgo=\r
    --outer\r
    Content-Type: message/rfc822\r
    \r
    Subject: Inside\r
    \r
    Words\r
    --outer--\r
    An epilogue.\r

    """

  private func entity(_ text: String) -> MIMEEntity { MIMEEntity(parsing: Array(text.utf8)) }

  @Test("are read as a tree", arguments: ["\r\n", "\n"])
  func tree(end: String) throws {
    let entity = entity(Self.message.replacing("\r\n", with: end))
    #expect(entity.contentType.value == "multipart/mixed")
    #expect(entity.children.count == 3)
    #expect(entity["1.1"]?.text == "Café au lait")
    #expect(entity["1.2"]?.text == "<p>Café</p>")
    let image = try #require(entity["2"])
    #expect(image.bytes == [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
    #expect(image.filename == "bé.png")
    #expect(image.contentID == "cid1@x")
    #expect(image.disposition?.value == "attachment")
    #expect(entity["3.1"]?.headers["Subject"] == "Inside")
    #expect(entity["3.1"]?.text == "Words")
    #expect(entity["4"] == nil)
    #expect(entity["1.1.1"] == nil)
    #expect(entity[""]?.section == "")
  }

  @Test("without a header, or with a wrong one, are still read")
  func lenient() {
    #expect(entity("\r\nJust words").text == "Just words")
    #expect(entity("").text == "")
    #expect(entity("Content-Type: multipart/mixed\n\nno boundary").text == "no boundary")
    #expect(entity("Content-Type: multipart/mixed; boundary=b\n\nno parts").children.isEmpty)
    let open = entity("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nfirst\n--b\n\nnever closed")
    #expect(open.children.map(\.text) == ["first", "never closed"])
    let digest = entity("Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nx\n--b--")
    #expect(digest["1.1"]?.headers["Subject"] == "one")
    #expect(entity("Content-Type: text/plain; charset=latin1\n\nCaf\u{e9}").text == "CafÃ©")
    #expect(entity("A: b\n\n\r\r\n\n").text == "\n\n\n")
  }

  @Test("are read when they are cut anywhere")
  func cuts() {
    let bytes = Array(Self.message.utf8)
    for count in 0...bytes.count {
      let entity = MIMEEntity(parsing: Array(bytes[..<count]))
      Self.visit(entity)
    }
  }

  @Test("are read with any byte changed")
  func garbage() {
    let bytes = Array(Self.message.utf8)
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= [1, 0x20, 0x80, 0x0a][index % 4]
      Self.visit(MIMEEntity(parsing: changed))
    }
  }

  /// Asks an entity everything.
  private static func visit(_ entity: MIMEEntity) {
    _ = (entity.text, entity.filename, entity.contentID)
    for child in entity.children { visit(child) }
  }

  private static func count(_ entity: MIMEEntity) -> Int {
    1 + entity.children.reduce(0) { $0 + count($1) }
  }

  @Test("are bounded in depth and number, and in time", .timeLimit(.minutes(5)))
  func bounds() {
    let type = "Content-Type: multipart/mixed; boundary=b\n\n"
    var deep = ""
    for level in 0..<20_000 { deep += "Content-Type: multipart/mixed; boundary=b\(level)\n\n--b\(level)\n" }
    #expect(Self.count(entity(deep)) <= MIMEEntity.depthMax + 1)
    let same = String(repeating: "--b\n" + type, count: 50_000)
    #expect(Self.count(entity(type + same)) <= MIMEEntity.partsMax)
    let messages = String(repeating: "Content-Type: message/rfc822\n\n", count: 50_000)
    #expect(Self.count(entity(messages)) <= MIMEEntity.depthMax + 1)
    let many = type + String(repeating: "--b\n\nx\n", count: 100_000)
    #expect(Self.count(entity(many)) <= MIMEEntity.partsMax)
    Self.visit(entity(type + String(repeating: "\n--", count: 300_000)))
    Self.visit(
      entity("Content-Transfer-Encoding: quoted-printable\n\n" + String(repeating: "= ", count: 300_000)))
  }
}
