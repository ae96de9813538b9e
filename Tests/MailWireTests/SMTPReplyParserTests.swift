import Bytes
import Testing

@testable import MailWire

@Suite("SMTP replies")
struct SMTPReplyParserTests {
  struct Transcript: Equatable {
    var replies: [SMTPReply] = []
    var error: SMTPParseError?
  }

  private func run(_ pieces: [[UInt8]]) -> Transcript {
    var parser = SMTPReplyParser()
    var buffer = ByteBuffer()
    var transcript = Transcript()
    for piece in pieces {
      buffer.append(contentsOf: piece)
      do {
        while case .reply(let reply) = try parser.read(&buffer) { transcript.replies.append(reply) }
      } catch {
        transcript.error = error
        return transcript
      }
    }
    return transcript
  }

  /// The transcript of the whole; every other cut must agree with it.
  private func verify(_ input: String) -> Transcript {
    let bytes = Array(input.utf8)
    let whole = run([bytes])
    #expect(run(bytes.map { [$0] }) == whole)
    for cut in bytes.indices.dropFirst() {
      #expect(run([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole, "cut at \(cut)")
    }
    return whole
  }

  @Test("one line, many lines, a bare code")
  func reads() {
    let transcript = verify(
      "220 mx.test ESMTP\r\n250-mx.test\r\n250-SIZE 10\r\n250 OK\r\n250\r\n250-a\n250 b\n")
    #expect(
      transcript.replies == [
        SMTPReply(220, ["mx.test ESMTP"]), SMTPReply(250, ["mx.test", "SIZE 10", "OK"]), SMTPReply(250, [""]),
        SMTPReply(250, ["a", "b"]),
      ])
    #expect(transcript.error == nil)
  }

  @Test(
    "enhanced codes are read",
    arguments: [
      ("5.7.8 bad", SMTPEnhancedCode(5, 7, 8)), ("2.0.0", SMTPEnhancedCode(2, 0, 0)), ("3.1.1 x", nil),
      ("5.7 x", nil),
      ("x", nil), ("5.-1.1 x", nil), ("5.1234.1 x", nil),
    ] as [(String, SMTPEnhancedCode?)])
  func enhanced(text: String, code: SMTPEnhancedCode?) {
    #expect(SMTPReply(550, [text]).enhancedCode == code)
  }

  @Test(
    "what is no SMTP is refused",
    arguments: [
      "hello\r\n", "22\r\n", "\r\n", "120 x\r\n", "620 x\r\n", "250_x\r\n", "250-a\r\n251 b\r\n", "2a0 x\r\n",
      "220 a\0\r\n",
      "220 a\rb\r\n", "* OK\r\n",
    ])
  func refuses(input: String) {
    #expect(verify(input).error == .malformed)
  }

  @Test("lines are bounded in length and number")
  func bounds() {
    #expect(verify("220 " + String(repeating: "x", count: 4_100)).error == .lineTooLong(limitBytes: 4_096))
    let many = String(repeating: "250-x\r\n", count: 129)
    #expect(run([Array(many.utf8)]).error == .linesTooMany(limit: 128))
  }

  @Test("garbage never traps")
  func garbage() {
    var numbers = SeededNumbers(state: 88_172_645_463_325_252)
    let alphabet = Array("0123456789- \r\n.x\0\u{ff}".utf8)
    for _ in 0..<2_000 {
      let count = Int.random(in: 0..<40, using: &numbers)
      let input = (0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &numbers)] }
      #expect(run([input]) == run(input.map { [$0] }))
    }
  }
}

@Suite("Dot-stuffing")
struct DotStuffingTests {
  private func wire(_ pieces: [String]) -> String {
    var stuffing = DotStuffing()
    var bytes: [UInt8] = []
    for piece in pieces { bytes += stuffing.write(Array(piece.utf8)) }
    return String(decoding: bytes + stuffing.finish(), as: UTF8.self)
  }

  @Test(
    "dots are doubled, line ends made whole, whatever the cut",
    arguments: [
      ("", ".\r\n"), ("a", "a\r\n.\r\n"), ("a\r\n", "a\r\n.\r\n"), (".", "..\r\n.\r\n"),
      ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
      ("a\r.\r\n", "a\r\n..\r\n.\r\n"), ("a\r\n.\r\nMAIL", "a\r\n..\r\nMAIL\r\n.\r\n"),
      ("a\n\r\n", "a\r\n\r\n.\r\n"),
      ("a\r\r\n", "a\r\n\r\n.\r\n"), ("x..y", "x..y\r\n.\r\n"),
    ])
  func stuffs(text: String, expected: String) {
    #expect(wire([text]) == expected)
    #expect(wire(text.unicodeScalars.map { String($0) }) == expected)
  }
}
