import Testing

@testable import MailWire

@Suite("IMAP session")
struct IMAPSessionTests {
  private func session(
    _ security: MailSecurity = .implicitTLS,
    _ credentials: MailCredentials = MailCredentials(user: "u", password: "p")
  ) -> IMAPSession {
    IMAPSession(security: security, credentials: credentials)
  }

  private func write(_ text: String) -> [IMAPSession.Action] { [.write(Array("\(text)\r\n".utf8))] }

  private func greeting(_ capabilities: String...) -> IMAPResponse {
    .status(IMAPStatus(.ok, code: .capability(IMAPCapabilities(Set(capabilities)))))
  }

  private func done(_ tag: String, _ code: IMAPResponseCode? = nil) -> IMAPResponse {
    .completion(tag: tag, IMAPStatus(.ok, code: code))
  }

  private func ready(_ capabilities: String...) -> IMAPSession {
    var machine = session()
    let offered = IMAPCapabilities(Set(capabilities).union(["AUTH=PLAIN", "SASL-IR"]))
    _ = machine.received(.status(IMAPStatus(.ok, code: .capability(offered))))
    #expect(machine.received(done("A1", .capability(offered))) == [.established])
    return machine
  }

  @Test("greeting, capability, login with a literal, capability, ready")
  func login() {
    var machine = session(.implicitTLS, MailCredentials(user: "ü", password: "p\"q"))
    #expect(machine.received(.status(IMAPStatus(.ok))) == write("A1 CAPABILITY"))
    #expect(machine.received(.capability(IMAPCapabilities(["IMAP4REV1"]))) == [])
    #expect(machine.received(done("A1")) == write("A2 LOGIN {2}"))
    #expect(machine.received(.continuation("")) == write("ü \"p\\\"q\""))
    #expect(machine.received(done("A2")) == write("A3 CAPABILITY"))
    #expect(machine.received(done("A3")) == [.established])
    #expect(machine.isReady)
  }

  @Test("STARTTLS comes before anything is said, and what was offered before it is forgotten")
  func startTLS() {
    var machine = session(.startTLS)
    #expect(machine.received(greeting("STARTTLS", "AUTH=PLAIN", "SASL-IR")) == write("A1 STARTTLS"))
    #expect(machine.received(done("A1")) == [.startTLS])
    #expect(machine.tlsStarted() == write("A2 CAPABILITY"))
    #expect(machine.capabilities.names.isEmpty)
    #expect(machine.received(.capability(IMAPCapabilities(["AUTH=PLAIN"]))) == [])
    #expect(machine.received(done("A2")) == write("A3 AUTHENTICATE PLAIN"))
    #expect(machine.received(.continuation("")) == write("AHUAcA=="))
  }

  @Test("without STARTTLS nothing secret is said")
  func startTLSMissing() {
    var machine = session(.startTLS)
    #expect(machine.received(greeting("AUTH=PLAIN", "SASL-IR")) == [.failed(.unsupported("no STARTTLS"))])
    var preauth = session(.startTLS)
    #expect(
      preauth.received(.status(IMAPStatus(.preauth)))
        == [.failed(.unsupported("PREAUTH where STARTTLS is wanted"))])
    var early = session(.startTLS)
    _ = early.received(greeting("STARTTLS"))
    _ = early.received(done("A1"))
    #expect(early.received(.exists(1)) == [.failed(.unexpected("a response before the TLS handshake"))])
  }

  @Test("a refused token is answered with an empty line, then it is a matter of credentials")
  func token() {
    var machine = session(.implicitTLS, MailCredentials(user: "u", accessToken: "t"))
    let first = "A1 AUTHENTICATE XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ=="
    #expect(machine.received(greeting("AUTH=XOAUTH2", "SASL-IR")) == write(first))
    #expect(machine.received(.continuation("eyJzdGF0dXMiOiI0MDEifQ==")) == write(""))
    #expect(
      machine.received(.completion(tag: "A1", IMAPStatus(.no, text: "SASL failed")))
        == [.failed(.credentials("SASL failed"))])
  }

  @Test(
    "a refused login says whether to try again",
    arguments: [
      (
        IMAPStatus(.no, code: .authenticationFailed, text: "Too many failures"),
        IMAPFailure.credentials("Too many failures")
      ),
      (IMAPStatus(.no, code: .unavailable, text: "x"), .unavailable("x")),
      (IMAPStatus(.no, code: .inUse, text: "x"), .unavailable("x")),
      (
        IMAPStatus(.no, code: .alert, text: "Too many simultaneous connections"),
        .unavailable("Too many simultaneous connections")
      ),
      (
        IMAPStatus(.no, code: .alert, text: "Application-specific password required"),
        .credentials("Application-specific password required")
      ),
      (IMAPStatus(.bad, text: "x"), .unexpected("login: x")),
    ] as [(IMAPStatus, IMAPFailure)])
  func refusedLogin(status: IMAPStatus, failure: IMAPFailure) {
    var machine = session()
    _ = machine.received(greeting("AUTH=PLAIN", "SASL-IR"))
    #expect(machine.received(.completion(tag: "A1", status)) == [.failed(failure)])
  }

  @Test("ENABLE is asked for where it is offered")
  func enable() {
    var machine = session()
    let offered = IMAPCapabilities(["AUTH=PLAIN", "SASL-IR", "ENABLE", "QRESYNC", "CONDSTORE"])
    _ = machine.received(.status(IMAPStatus(.ok, code: .capability(offered))))
    #expect(machine.received(done("A1", .capability(offered))) == write("A2 ENABLE QRESYNC"))
    #expect(machine.received(.enabled(["QRESYNC"])) == [])
    #expect(machine.received(done("A2")) == [.established])
    #expect(machine.hasQResync)
  }

  @Test("SELECT gathers what the mailbox is; what happens in it is counted")
  func select() {
    var machine = ready("CONDSTORE")
    #expect(
      machine.begin(.select(mailbox: "INBOX", isReadOnly: true)) == write("A2 EXAMINE \"INBOX\" (CONDSTORE)"))
    let answers: [IMAPResponse] = [
      .exists(3), .status(IMAPStatus(.ok, code: .uidValidity(7))),
      .status(IMAPStatus(.ok, code: .uidNext(10))),
      .status(IMAPStatus(.ok, code: .highestModSeq(99))),
    ]
    for answer in answers { #expect(machine.received(answer) == [.deliver(answer)]) }
    #expect(machine.received(done("A2", .readOnly)) == [.completed(IMAPStatus(.ok, code: .readOnly))])
    var expected = IMAPSelection(mailbox: "INBOX")
    expected.uidValidity = 7
    expected.uidNext = 10
    expected.highestModSeq = 99
    expected.exists = 3
    expected.isReadOnly = true
    #expect(machine.selection == expected)
    _ = machine.received(.expunge(1))
    _ = machine.received(.vanished(IMAPNumberSet([4]), earlier: false))
    _ = machine.received(.vanished(IMAPNumberSet(1...1_000), earlier: true))
    #expect(machine.selection?.exists == 1)
    _ = machine.begin(.select(mailbox: "none", isReadOnly: true))
    #expect(machine.received(.completion(tag: "A3", IMAPStatus(.no))) == [.completed(IMAPStatus(.no))])
    #expect(machine.selection == nil)
    #expect(machine.isReady)
  }

  @Test("IDLE: leave, news, DONE, end")
  func idle() {
    var machine = ready("IDLE")
    #expect(machine.begin(.idle) == write("A2 IDLE"))
    #expect(machine.received(.exists(1)) == [.deliver(.exists(1))])
    #expect(machine.received(.continuation("idling")) == [.idling])
    #expect(machine.received(.exists(2)) == [.deliver(.exists(2))])
    #expect(machine.finishIdle() == write("DONE"))
    #expect(machine.finishIdle() == [])
    #expect(machine.received(.exists(3)) == [.deliver(.exists(3))])
    #expect(machine.received(done("A2")) == [.completed(IMAPStatus(.ok))])
    #expect(machine.isReady)
  }

  @Test("a literal goes out on leave, and not at all after a refusal")
  func append() {
    var machine = ready()
    let command = IMAPCommand.append(mailbox: "S", flags: [], date: nil, message: [65])
    #expect(machine.begin(command) == write("A2 APPEND \"S\" {1}"))
    #expect(machine.received(.continuation("")) == write("A"))
    #expect(machine.received(done("A2")) == [.completed(IMAPStatus(.ok))])
    #expect(machine.begin(command) == write("A3 APPEND \"S\" {1}"))
    let refusal = IMAPStatus(.no, code: .tryCreate)
    #expect(machine.received(.completion(tag: "A3", refusal)) == [.completed(refusal)])
    #expect(machine.isReady)
  }

  @Test("a server that leaves, or loses count, ends the session")
  func endings() {
    var bye = ready()
    #expect(bye.received(.status(IMAPStatus(.bye, text: "shutdown"))) == [.failed(.unavailable("shutdown"))])
    #expect(bye.ended() == [])
    var wrongTag = ready()
    _ = wrongTag.begin(.noop)
    #expect(wrongTag.received(done("A9")) == [.failed(.unexpected("the tag A9"))])
    var unasked = ready()
    #expect(unasked.received(.continuation("")) == [.failed(.unexpected("a continuation"))])
    var closed = ready()
    #expect(closed.ended() == [.failed(.connection("the server closed the connection"))])
    var loggedOut = ready()
    _ = loggedOut.begin(.logout)
    #expect(loggedOut.received(.status(IMAPStatus(.bye))) == [])
    #expect(loggedOut.received(done("A2")) == [.completed(IMAPStatus(.ok))])
  }

  @Test("secrets are not printed")
  func secrets() {
    let machine = session(.implicitTLS, MailCredentials(user: "u", password: "canary"))
    var text = "\(machine)"
    dump(machine, to: &text)
    #expect(!text.contains("canary"))
  }
}
