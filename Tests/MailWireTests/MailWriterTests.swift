import Bytes
import Testing

@testable import MailWire

@Suite("Writing mail")
struct MailWriterTests {
  private func draft(_ change: (inout MailDraft) -> Void = { _ in }) -> MailDraft {
    var draft = MailDraft(
      from: MailAddress(name: "Ada", "ada@hub.test"), messageID: "1@hub.test",
      date: Timestamp(seconds: 880_106_106))
    draft.to = [MailAddress("bob@example.test")]
    draft.subject = "Hello"
    draft.text = "Hi Bob,\nsee you."
    change(&draft)
    return draft
  }

  private func text(_ draft: MailDraft, allows8Bit: Bool = false) throws -> String {
    String(decoding: try MailWriter.write(draft, token: "tok", allows8Bit: allows8Bit).bytes, as: UTF8.self)
  }

  /// The header's fields, unfolded.
  private func fields(_ message: String) -> [String] {
    let header = message.components(before: "\r\n\r\n")
    return header.replacing("\r\n ", with: " ").split(separator: "\r\n").map(String.init)
  }

  @Test("a short text is written as it is")
  func plain() throws {
    #expect(
      try text(draft()) == """
        Date: Fri, 21 Nov 1997 09:55:06 +0000\r
        From: Ada <ada@hub.test>\r
        To: <bob@example.test>\r
        Subject: Hello\r
        Message-ID: <1@hub.test>\r
        MIME-Version: 1.0\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Transfer-Encoding: 7bit\r
        \r
        Hi Bob,\r
        see you.\r

        """)
  }

  @Test("names and subjects outside ASCII are encoded words that decode to what was said")
  func encodedWords() throws {
    let subject = String(repeating: "Grüße aus Köln 😀 ", count: 12)
    let message = try text(
      draft {
        $0.subject = subject
        $0.from.name = "Jürgen \"J\" Müller"
        $0.cc = [MailAddress(name: "O'Neil, Bob", "c@d.test"), MailAddress(name: "a \"b\" \\", "e@f.test")]
      })
    #expect(message.utf8.allSatisfy { $0 < 0x80 })
    for line in message.split(separator: "\r\n") { #expect(line.utf8.count <= 78) }
    let words = fields(message).first { $0.hasPrefix("Subject: ") }?.dropFirst(9).split(separator: " ") ?? []
    let decoded = words.flatMap { word in Base64.decode(word.dropFirst(10).dropLast(2)) ?? [] }
    #expect(String(decoding: decoded, as: UTF8.self) == subject)
    #expect(words.allSatisfy { $0.hasPrefix("=?utf-8?B?") && $0.utf8.count <= 75 })
    #expect(message.contains("Cc: \"O'Neil, Bob\" <c@d.test>, \"a \\\"b\\\" \\\\\" <e@f.test>\r\n"))
  }

  @Test(
    "no text can begin a field, a part or another message",
    arguments: [
      "a\r\nBcc: x@y.test", "a\nBcc: x@y.test", "a\rBcc: x@y.test", "a\r\n\r\nbody", "a\u{85}b\u{2028}Bcc: c",
      "\0", "a\u{b}b",
      "=?utf-8?Q?a?=", "a  b ", String(repeating: "x", count: 2_000),
    ])
  func injection(text evil: String) throws {
    let message = try text(
      draft {
        $0.subject = evil
        $0.from.name = evil
        $0.to[0].name = evil
        $0.inReplyTo = evil
        $0.references = [evil, "<good@x.test>"]
        $0.attachments = [MailAttachment(name: evil, mediaType: evil, bytes: [1])]
      })
    let names = fields(message).map { $0.components(before: ":") }
    let allowed: Set = [
      "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "MIME-Version",
      "Content-Type",
    ]
    #expect(Set(names).isSubset(of: allowed), "\(names)")
    #expect(Set(names).count == names.count)
    for line in message.split(separator: "\r\n") {
      #expect(line.utf8.count <= 998)
      #expect(!line.contains { $0 == "\r" || $0 == "\n" || $0 == "\0" })
    }
  }

  @Test(
    "addresses and ids that are none are no message",
    arguments: [
      "", "a", "@b", "a@", "a b@c.test", "a@b.test\r\nX: y", "<a@b.test>", "a@b,c@d", "\"a b\"@c.test",
      "a@b test",
    ])
  func badAddresses(address: String) {
    #expect(throws: MailDraftError.addressMalformed(address)) {
      try MailWriter.write(draft { $0.to.append(MailAddress(address)) }, token: "t")
    }
    if !address.contains("@") || address.contains(" ") {
      #expect(throws: MailDraftError.self) {
        try MailWriter.write(draft { $0.messageID = address + " " }, token: "t")
      }
    }
  }

  @Test("long references keep the first and the latest")
  func references() throws {
    let ids = (0..<100).map { "\($0)@x.test" }
    let message = try text(
      draft {
        $0.references = ids
        $0.inReplyTo = "<99@x.test>"
        $0.isAutomatic = true
      })
    let field = try #require(fields(message).first { $0.hasPrefix("References: ") })
    let written = field.dropFirst(12).split(separator: " ").map(String.init)
    #expect(written == (["0@x.test"] + ids.suffix(29)).map { "<\($0)>" })
    #expect(message.contains("\r\nIn-Reply-To: <99@x.test>\r\n"))
    #expect(message.contains("\r\nAuto-Submitted: auto-generated\r\n"))
  }

  @Test(
    "texts travel as fits them",
    arguments: [
      ("plain", false, "7bit"),
      ("Grüße und mehr Text dahinter, damit es sich lohnt", false, "quoted-printable"),
      ("Grüße", true, "8bit"), ("日本語の本文", false, "base64"),
      (String(repeating: "x", count: 1_000), true, "quoted-printable"),
      ("a =_ b", false, "quoted-printable"), ("a\0b", true, "quoted-printable"), ("", false, "7bit"),
    ])
  func encodings(body: String, allows8Bit: Bool, encoding: String) throws {
    let message = try text(draft { $0.text = body }, allows8Bit: allows8Bit)
    #expect(message.contains("\r\nContent-Transfer-Encoding: \(encoding)\r\n\r\n"))
  }

  @Test("quoted-printable says the same, in short lines, with no blank at an end")
  func quotedPrintable() throws {
    let body = "é=1 \nend\t\n" + String(repeating: "ä ", count: 90) + "\n.\nlast"
    let encoded = String(
      decoding: BodyEncoding.quotedPrintable.encode(BodyEncoding.lines(body)), as: UTF8.self)
    var decoded: [UInt8] = []
    var rest = Array(encoded.replacing("=\r\n", with: "").utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "=") else {
        decoded.append(byte)
        continue
      }
      decoded.append(try #require(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)))
      rest = rest.dropFirst(2)
    }
    #expect(decoded == BodyEncoding.lines(body))
    for line in encoded.split(separator: "\r\n") {
      #expect(line.utf8.count <= 76)
      #expect(line.last != " " && line.last != "\t")
    }
  }

  @Test("text, HTML and files stand in parts, and file names survive")
  func multipart() throws {
    let message = try text(
      draft {
        $0.html = "<p>Hi</p>"
        $0.attachments = [
          MailAttachment(name: "a \"b\".txt", mediaType: "Text/Plain", bytes: Array("x".utf8)),
          MailAttachment(
            name: "Übersicht.pdf", mediaType: "message/rfc822", bytes: [UInt8](repeating: 0, count: 100)),
          MailAttachment(name: String(repeating: "ä", count: 60), mediaType: "bad", bytes: []),
        ]
      })
    #expect(message.contains("Content-Type: multipart/mixed; boundary=\"=_2_tok\"\r\n\r\n--=_2_tok\r\n"))
    #expect(
      message.contains("Content-Type: multipart/alternative; boundary=\"=_1_tok\"\r\n\r\n--=_1_tok\r\n"))
    #expect(message.hasSuffix("--=_2_tok--\r\n"))
    #expect(message.contains("Content-Type: text/plain; name=\"a \\\"b\\\".txt\"\r\n"))
    #expect(message.contains("Content-Type: application/octet-stream; name*=UTF-8''%C3%9Cbersicht.pdf\r\n"))
    #expect(message.contains("filename*0*=UTF-8''%C3%A4"))
    #expect(message.contains("\r\n filename*6*="))
    #expect(message.components(separatedBy: "--=_2_tok\r\n") == 4)
  }
}

extension String {
  fileprivate func components(before separator: String) -> String {
    firstRange(of: separator).map { String(self[..<$0.lowerBound]) } ?? self
  }

  /// How often `part` occurs.
  fileprivate func components(separatedBy part: String) -> Int {
    ranges(of: part).count
  }
}
