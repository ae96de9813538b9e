import Bytes
import Testing

@testable import MailWire

@Suite("IMAP responses")
struct IMAPResponseParserTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let line: String
    let response: IMAPResponse
    var testDescription: String { line }

    init(_ line: String, _ response: IMAPResponse) {
      self.line = line
      self.response = response
    }
  }

  private static func code(_ code: IMAPResponseCode) -> IMAPResponse {
    .status(IMAPStatus(.ok, code: code, text: "x"))
  }

  static let cases: [Case] = [
    Case("* OK hello", .status(IMAPStatus(.ok, text: "hello"))),
    Case("* ok ends with {12}", .status(IMAPStatus(.ok, text: "ends with {12}"))),
    Case("* BYE", .status(IMAPStatus(.bye))),
    Case(
      "A1 NO [AUTHENTICATIONFAILED] no",
      .completion(tag: "A1", IMAPStatus(.no, code: .authenticationFailed, text: "no"))),
    Case("A1 OK [READ-WRITE] done", .completion(tag: "A1", IMAPStatus(.ok, code: .readWrite, text: "done"))),
    Case("A1 NO [TRYCREATE] x", .completion(tag: "A1", IMAPStatus(.no, code: .tryCreate, text: "x"))),
    Case(
      "A2 OK [APPENDUID 38505 3955] x",
      .completion(
        tag: "A2",
        IMAPStatus(.ok, code: .appendUID(uidValidity: 38505, uids: IMAPNumberSet([3955])), text: "x"))),
    Case(
      "A3 OK [COPYUID 7 304,319:320 3956:3958] x",
      .completion(
        tag: "A3",
        IMAPStatus(
          .ok,
          code: .copyUID(
            uidValidity: 7, source: IMAPNumberSet([304, 319, 320]), destination: IMAPNumberSet(3956...3958)),
          text: "x"))),
    Case("* OK [UIDVALIDITY 4294967295] x", code(.uidValidity(.max))),
    Case("* OK [UIDNEXT 12] x", code(.uidNext(12))),
    Case("* OK [HIGHESTMODSEQ 715194045007] x", code(.highestModSeq(715_194_045_007))),
    Case("* OK [NOMODSEQ] x", code(.noModSeq)),
    Case("* OK [ALERT] x", code(.alert)),
    Case("* OK [PERMANENTFLAGS (\\Seen \\*)] x", code(.permanentFlags(["\\Seen", "\\*"]))),
    Case("* OK [BADCHARSET \"a]b\"] x", code(.other("BADCHARSET \"a]b\""))),
    Case("* OK [open x", .status(IMAPStatus(.ok, text: "[open x"))),
    Case("+ idling", .continuation("idling")),
    Case("+", .continuation("")),
    Case("* CAPABILITY IMAP4rev1 idle ", .capability(IMAPCapabilities(["IMAP4REV1", "IDLE"]))),
    Case("* ENABLED CONDSTORE", .enabled(["CONDSTORE"])),
    Case("* 23 EXISTS", .exists(23)),
    Case("* 0 RECENT", .recent(0)),
    Case("* 3 EXPUNGE", .expunge(3)),
    Case(
      "* VANISHED (EARLIER) 41,43:116", .vanished(IMAPNumberSet(ranges: [41...41, 43...116]), earlier: true)),
    Case("* VANISHED 1:4294967295", .vanished(IMAPNumberSet(1...UInt32.max), earlier: false)),
    Case("* SEARCH", .found(IMAPNumberSet(), modSeq: nil)),
    Case("* SEARCH 2 5 6 7 (MODSEQ 917162500)", .found(IMAPNumberSet([2, 5, 6, 7]), modSeq: 917_162_500)),
    Case(
      "* ESEARCH (TAG \"A1\") UID ALL 4,18:21 MODSEQ 9",
      .found(IMAPNumberSet([4, 18, 19, 20, 21]), modSeq: 9)),
    Case("* ESEARCH (TAG \"A1\") UID", .found(IMAPNumberSet(), modSeq: nil)),
    Case(
      "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)",
      .mailboxStatus(
        name: "blurdybloop", values: ["MESSAGES": 231, "UIDNEXT": 44292])),
    Case("* FLAGS (\\Answered Junk)", .flags(["\\Answered", "Junk"])),
    Case(
      "* LIST (\\HasNoChildren \\Sent) \"/\" \"Gesendete Elemente\"",
      .mailbox(
        IMAPMailbox(
          name: "Gesendete Elemente", attributes: ["\\HasNoChildren", "\\Sent"], delimiter: "/"))),
    Case("* LIST () NIL &ZeVnLIqe-", .mailbox(IMAPMailbox(name: "日本語", attributes: [], delimiter: nil))),
    Case("* LIST () \".\" inbox", .mailbox(IMAPMailbox(name: "INBOX", attributes: [], delimiter: "."))),
    Case("* NAMESPACE ((\"\" \"/\")) NIL NIL", .other("NAMESPACE")),
  ]

  @Test("each kind is read the same however it is cut", arguments: cases)
  func reads(of sample: Case) {
    let (whole, disagreements) = IMAPVerifier.verify(sample.line + "\r\n")
    #expect(whole.error == nil)
    #expect(whole.responses == [sample.response])
    #expect(whole.isBetweenResponses)
    #expect(disagreements.isEmpty)
  }

  @Test("a message comes with its flags, date, size and literal, and the next response follows")
  func fetch() throws {
    let body = "Subject: a\r\n\r\n* 1 EXISTS\r\n(\"){3}\r\n"
    let input =
      "* 12 FETCH (UID 7 FLAGS (\\Seen $Label1) INTERNALDATE \" 7-Jul-1996 02:44:25 -0700\" RFC822.SIZE \(body.utf8.count) "
      + "MODSEQ (65402) X-GM-LABELS (\"a b\" (c)) BODY[] {\(body.utf8.count)}\r\n\(body) BODY[HEADER.FIELDS (TO)]<0> \"q\\\"\")\r\n"
      + "* 13 EXISTS\r\n"
    let (whole, disagreements) = IMAPVerifier.verify(input)
    #expect(disagreements.isEmpty)
    var expected = IMAPFetch(sequence: 12)
    expected.uid = 7
    expected.flags = ["\\Seen", "$Label1"]
    expected.internalDate = Timestamp(rfc3339: "1996-07-07T09:44:25Z")
    expected.size = UInt64(body.utf8.count)
    expected.modSeq = 65_402
    expected.sections = [
      IMAPFetch.Section(name: "", origin: nil, bytes: Array(body.utf8)),
      IMAPFetch.Section(name: "HEADER.FIELDS (TO)", origin: 0, bytes: Array("q\"".utf8)),
    ]
    #expect(whole.responses == [.fetch(expected), .exists(13)])
  }

  @Test("an absent body, an empty literal and a literal name are read")
  func literals() {
    let (whole, disagreements) = IMAPVerifier.verify(
      "* 1 FETCH (BODY[] NIL)\r\n* 2 FETCH (BODY[] {0}\r\n)\r\n* LIST () \"/\" {3}\r\na\"b\r\n* 3 FETCH (BODY[] ~{1}\r\n\0)\r\n"
    )
    #expect(disagreements.isEmpty)
    #expect(whole.error == nil)
    let bodies = whole.responses.compactMap { response -> [UInt8]?? in
      if case .fetch(let fetch) = response { return fetch.sections.first?.bytes }
      return nil
    }
    #expect(bodies == [nil, [], [0]])
    #expect(whole.responses[2] == .mailbox(IMAPMailbox(name: "a\"b", attributes: [], delimiter: "/")))
  }

  @Test(
    "what is no IMAP is refused, wherever it is cut",
    arguments: [
      "garbage\r\n", "\r\n", " OK\r\n", "* 1 FETCH (UID\r\n", "* 1 FETCH (UID 1))\r\n", "* 1 FETCH UID 1\r\n",
      "* 1 FETCH (UID x)\r\n", "* 1 FETCH (UID 4294967296)\r\n", "* 1 FETCH (FLAGS \"open)\r\n",
      "* SEARCH x\r\n",
      "* OK bare\n", "* OK \0\r\n", "* LIST ()\r\n", "* VANISHED 1:*\r\n", "* 1 FETCH (BODY[ 1)\r\n",
      "* 1 FETCH {x}\r\n",
      "* 99999999999999999999 EXISTS\r\n", "* OK [UIDNEXT x] y\r\n", "A1 FINE\r\n", "* A\"B\r\n",
    ])
  func refuses(input: String) {
    let (whole, disagreements) = IMAPVerifier.verify(input)
    #expect(whole.error != nil)
    #expect(whole.responses.isEmpty)
    #expect(disagreements.isEmpty)
  }

  @Test("lines, literals and nesting are bounded")
  func bounds() {
    var limits = IMAPLimits()
    limits.lineBytesMax = 64
    limits.literalBytesMax = 10
    limits.literalBytesTotalMax = 15
    limits.literalsMax = 2
    limits.depthMax = 4
    func error(_ input: String) -> IMAPParseError? {
      let (whole, disagreements) = IMAPVerifier.verify(Array(input.utf8), limits: limits)
      #expect(disagreements.isEmpty)
      return whole.error
    }
    #expect(error("* OK " + String(repeating: "x", count: 80)) == .lineTooLong(limitBytes: 64))
    #expect(error("* 1 FETCH (BODY[] {11}\r\n") == .literalTooLong(limitBytes: 10))
    #expect(error("* 1 FETCH (BODY[] {4294967295}\r\n") == .literalTooLong(limitBytes: 10))
    #expect(error("* 1 FETCH (A {10}\r\n0123456789 B {6}\r\n") == .literalTooLong(limitBytes: 15))
    #expect(error("* A {1}\r\nx {1}\r\nx {1}\r\n") == .literalsTooMany(limit: 2))
    #expect(error("* X (((())))\r\n") == nil)
    #expect(error("* X (((((())))))\r\n") == .nestedTooDeep(limit: 4))
  }

  @Test("after an error nothing more is read")
  func staysFailed() {
    var parser = IMAPResponseParser()
    var buffer = ByteBuffer(string: "x\r\n* OK\r\n")
    #expect(throws: IMAPParseError.malformed("response")) { try parser.read(&buffer) }
    #expect(throws: IMAPParseError.malformed("response")) { try parser.read(&buffer) }
  }

  @Test("garbage and damaged responses never trap, and every cut agrees")
  func garbage() {
    var numbers = SeededNumbers(state: 0x9e37_79b9_7f4a_7c15)
    let seeds =
      Self.cases.map { Array("\($0.line)\r\n".utf8) } + [
        Array("* 1 FETCH (UID 2 BODY[] {3}\r\nabc)\r\n".utf8)
      ]
    let alphabet = Array("()[]{}<>\"\\*+ \r\n0123456789ABUIDFETCH~\0\u{ff}".utf8)
    for round in 0..<1_500 {
      var input = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...4, using: &numbers) {
        let place = Int.random(in: 0..<input.count, using: &numbers)
        let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &numbers)]
        if Bool.random(using: &numbers) { input[place] = byte } else { input.insert(byte, at: place) }
      }
      let whole = IMAPVerifier.run([input])
      #expect(
        IMAPVerifier.run(input.map { [$0] }) == whole,
        "\(String(decoding: input, as: UTF8.self).debugDescription)")
    }
  }

  @Test("eight megabytes in pieces cost what they cost at once")
  func isLinear() {
    let body = [UInt8](repeating: UInt8(ascii: "x"), count: 8 << 20)
    var input = Array("* 1 FETCH (UID 1 BODY[] {\(body.count)}\r\n".utf8) + body + Array(")\r\n".utf8)
    input += Array("* SEARCH".utf8)
    for number in 1...100_000 { input += Array(" \(number)".utf8) }
    input += [13, 10]
    let clock = ContinuousClock()
    let once = clock.measure { #expect(IMAPVerifier.run([input]).responses.count == 2) }
    let pieces = stride(from: 0, to: input.count, by: 1_448).map {
      Array(input[$0..<min($0 + 1_448, input.count)])
    }
    let many = clock.measure { #expect(IMAPVerifier.run(pieces).responses.count == 2) }
    // Six thousand pieces: a parser that began anew with each would take a thousand times as long.
    #expect(many < once * 20 + .seconds(1))
  }
}
