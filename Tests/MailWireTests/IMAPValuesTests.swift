import Testing

@testable import MailWire

@Suite("IMAP names, sets and commands")
struct IMAPValuesTests {
  @Test(
    "mailbox names go both ways",
    arguments: [
      ("INBOX", "INBOX"), ("Entwürfe", "Entw&APw-rfe"), ("A & B", "A &- B"), ("日本語", "&ZeVnLIqe-"),
      ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"), ("😀", "&2D3eAA-"), ("a\tb", "a&AAk-b"),
      ("", ""),
    ])
  func names(name: String, wire: String) {
    #expect(IMAPMailboxName.encode(name) == wire)
    #expect(IMAPMailboxName.decode(wire) == name)
  }

  @Test(
    "names that are no modified UTF-7 are told apart",
    arguments: ["&", "&x", "&AP-", "&2D0-", "&AGEAYg-", "ü", "&U/BTFw-", "&ZeVnLIqe-&ZeU-x", "&AB-"])
  func badNames(wire: String) {
    #expect(IMAPMailboxName.decode(wire) == nil)
  }

  @Test("sets are merged, and never spelled out")
  func sets() throws {
    #expect(IMAPNumberSet([5, 3, 4, 9, 9, 1]).description == "1,3:5,9")
    #expect(IMAPNumberSet(ranges: [1...5, 3...4, 6...8]).description == "1:8")
    let all = try #require(IMAPNumberSet(wire: Array("4294967295:1".utf8)))
    #expect(all.count == 4_294_967_295)
    #expect(all.prefix(3) == [1, 2, 3])
    #expect(all.contains(77))
    #expect(all.clamped(to: 8...9).description == "8:9")
    let some = IMAPNumberSet(ranges: [1...2, 5...9])
    #expect(
      [0, 1, 2, 3, 4, 5, 9, 10].map(some.contains) == [false, true, true, false, false, true, true, false])
    for bad in ["", "1,", "1:2:3", "a", "*", "-1", "1:*"] {
      #expect(IMAPNumberSet(wire: Array(bad.utf8)) == nil)
    }
  }

  private func text(_ command: IMAPCommand, _ capabilities: Set<String> = []) -> [String] {
    IMAPCommandWriter.encode(command, tag: "T", capabilities: IMAPCapabilities(capabilities)).pieces
      .map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("commands are written as the standard has them")
  func commands() {
    #expect(text(.select(mailbox: "Entwürfe", isReadOnly: true)) == ["T EXAMINE \"Entw&APw-rfe\"\r\n"])
    #expect(
      text(.select(mailbox: "a", isReadOnly: false), ["CONDSTORE"]) == ["T SELECT \"a\" (CONDSTORE)\r\n"])
    #expect(text(.searchUIDs(first: 4, last: nil), ["ESEARCH"]) == ["T UID SEARCH RETURN (ALL) UID 4:*\r\n"])
    #expect(text(.searchUIDs(first: 4, last: 9)) == ["T UID SEARCH UID 4:9\r\n"])
    #expect(
      text(.fetch(IMAPNumberSet([1, 2, 5]), [.flags, .size, .body(bytesMax: 9)], changedSince: nil))
        == ["T UID FETCH 1:2,5 (UID FLAGS RFC822.SIZE BODY.PEEK[]<0.9>)\r\n"])
    #expect(
      text(.store(IMAPNumberSet([1]), .add, flags: ["\\Seen", "a b", "$Label"]))
        == ["T UID STORE 1 +FLAGS.SILENT (\\Seen $Label)\r\n"])
    let command = IMAPCommandWriter.encode(
      .fetch(IMAPNumberSet(1...9), [.flags], changedSince: 7), tag: "T", capabilities: IMAPCapabilities(),
      hasQResync: true)
    #expect(
      command.pieces.map { String(decoding: $0, as: UTF8.self) }
        == ["T UID FETCH 1:9 (UID FLAGS) (CHANGEDSINCE 7 VANISHED)\r\n"])
  }

  @Test("a literal waits for leave, unless the server needs none")
  func literals() {
    let append = IMAPCommand.append(mailbox: "Sent", flags: ["\\Seen"], date: nil, message: Array("abc".utf8))
    #expect(text(append) == ["T APPEND \"Sent\" (\\Seen) {3}\r\n", "abc\r\n"])
    #expect(text(append, ["LITERAL+"]) == ["T APPEND \"Sent\" (\\Seen) {3+}\r\nabc\r\n"])
    #expect(text(append, ["LITERAL-"]) == ["T APPEND \"Sent\" (\\Seen) {3+}\r\nabc\r\n"])
    let large = IMAPCommand.append(
      mailbox: "Sent", flags: [], date: nil, message: [UInt8](repeating: 65, count: 5_000))
    #expect(text(large, ["LITERAL-"]).count == 2)
  }

  @Test("no name can begin a command of its own")
  func injection() {
    let pieces = text(.create(mailbox: "a\"\r\nT2 LOGOUT\r\n\\"))
    #expect(pieces == ["T CREATE \"a\\\"&AA0ACg-T2 LOGOUT&AA0ACg-\\\\\"\r\n"])
  }
}
