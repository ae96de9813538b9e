import Testing

@testable import MailWire

@Suite("SMTP session")
struct SMTPSessionTests {
  private func session(
    _ security: MailSecurity = .implicitTLS,
    _ credentials: MailCredentials? = MailCredentials(user: "u", password: "p"),
    sender: String = "a@b.test", to recipients: [String] = ["c@d.test"], bytes: Int = 100,
    is8Bit: Bool = false
  ) -> SMTPSession {
    SMTPSession(
      SMTPSessionConfiguration(security: security, credentials: credentials, clientName: "hub.test"),
      envelope: SMTPEnvelope(sender: sender, recipients: recipients), messageBytes: bytes, is8Bit: is8Bit)
  }

  private func write(_ text: String) -> [SMTPSession.Action] { [.write(Array("\(text)\r\n".utf8))] }
  private func ok(_ lines: String...) -> SMTPReply { SMTPReply(250, lines) }

  /// The session where the message is written.
  private func writing() -> SMTPSession {
    var machine = session(.implicitTLS, nil)
    _ = machine.received(SMTPReply(220, [""]))
    _ = machine.received(ok("mx"))
    _ = machine.received(ok(""))
    _ = machine.received(ok(""))
    #expect(machine.received(SMTPReply(354, [""])) == [.writeMessage])
    return machine
  }

  @Test("the whole dialogue")
  func dialogue() {
    var machine = session(to: ["c@d.test", "e@f.test"])
    #expect(machine.received(SMTPReply(220, ["mx"])) == write("EHLO hub.test"))
    #expect(
      machine.received(ok("mx", "AUTH LOGIN PLAIN", "SIZE 1000", "DSN")) == write("AUTH PLAIN AHUAcA=="))
    #expect(machine.received(SMTPReply(235, ["2.7.0 welcome"])) == write("MAIL FROM:<a@b.test> SIZE=100"))
    #expect(machine.received(ok("2.1.0")) == write("RCPT TO:<c@d.test>"))
    #expect(machine.received(SMTPReply(251, [""])) == write("RCPT TO:<e@f.test>"))
    #expect(machine.received(ok("2.1.5")) == write("DATA"))
    #expect(machine.received(SMTPReply(354, [""])) == [.writeMessage])
    #expect(!machine.isInDoubt)
    machine.messageEnds()
    #expect(machine.isInDoubt)
    let last = ok("2.0.0 queued as 7")
    #expect(machine.received(last) == [.accepted(last)] + write("QUIT"))
    #expect(machine.received(SMTPReply(221, [""])) == [.close])
    #expect(machine.ended("late") == [])
  }

  @Test("STARTTLS first, and what was offered before it is forgotten")
  func startTLS() {
    var machine = session(.startTLS)
    _ = machine.received(SMTPReply(220, [""]))
    #expect(machine.received(ok("mx", "STARTTLS", "AUTH PLAIN")) == write("STARTTLS"))
    #expect(machine.received(SMTPReply(220, [""])) == [.startTLS])
    #expect(machine.tlsStarted() == write("EHLO hub.test"))
    #expect(machine.extensions == SMTPExtensions())
    #expect(machine.received(ok("mx", "AUTH=LOGIN")) == write("AUTH LOGIN"))
    #expect(machine.received(SMTPReply(334, ["VXNlcm5hbWU6"])) == write("dQ=="))
    #expect(machine.received(SMTPReply(334, ["UGFzc3dvcmQ6"])) == write("cA=="))
    var bare = session(.startTLS)
    _ = bare.received(SMTPReply(220, [""]))
    #expect(bare.received(ok("mx", "AUTH PLAIN")) == [.failed(.notSent("the server offers no STARTTLS"))])
  }

  @Test("a refused token is answered with an empty line before the refusal")
  func token() {
    var machine = session(.implicitTLS, MailCredentials(user: "u", accessToken: "t"))
    _ = machine.received(SMTPReply(220, [""]))
    #expect(
      machine.received(ok("mx", "AUTH XOAUTH2")) == write("AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ=="))
    #expect(machine.received(SMTPReply(334, ["eyJ9"])) == write(""))
    let reply = SMTPReply(535, ["5.7.8 no"])
    #expect(machine.received(reply) == [.failed(.credentials(SMTPRefusal(.login, reply)))])
  }

  @Test(
    "refusals are sorted",
    arguments: [
      (SMTPRefusal.Step.login, 535, "", "credentials"), (.login, 534, "5.7.9 x", "credentials"),
      (.login, 454, "4.7.0 x", "temporary"), (.login, 500, "5.7.0 x", "credentials"),
      (.login, 503, "", "permanent"),
      (.sender, 530, "5.7.0 x", "credentials"), (.sender, 421, "", "temporary"),
      (.greeting, 554, "", "permanent"),
      (.recipient, 450, "4.2.1", "temporary"), (.recipient, 550, "5.1.1", "permanent"),
      (.recipient, 552, "", "temporary"),
      (.recipient, 552, "5.2.2 full", "permanent"), (.message, 451, "", "temporary"),
      (.message, 554, "5.7.1", "permanent"),
    ] as [(SMTPRefusal.Step, Int, String, String)])
  func sorting(step: SMTPRefusal.Step, code: Int, text: String, kind: String) {
    let refusal = SMTPRefusal(step, SMTPReply(code, [text]))
    let expected: SMTPFailure =
      switch kind {
      case "credentials": .credentials(refusal)
      case "temporary": .temporary(refusal)
      default: .permanent(refusal)
      }
    #expect(SMTPFailure.of(refusal) == expected)
  }

  @Test("one refused recipient, and nobody gets it")
  func refusedRecipient() {
    var machine = session(.implicitTLS, nil, to: ["c@d.test", "e@f.test"])
    _ = machine.received(SMTPReply(220, [""]))
    _ = machine.received(ok("mx"))
    _ = machine.received(ok(""))
    _ = machine.received(ok(""))
    let reply = SMTPReply(550, ["5.1.1 who?"])
    #expect(
      machine.received(reply) == [.failed(.permanent(SMTPRefusal(.recipient, reply, recipient: "e@f.test")))])
  }

  @Test("silence before the end is a message not sent, after it nobody knows")
  func silence() {
    var before = writing()
    #expect(before.ended("cut") == [.failed(.notSent("cut"))])
    var after = writing()
    after.messageEnds()
    #expect(after.ended("cut") == [.failed(.unknown("cut"))])
    var refused = writing()
    refused.messageEnds()
    let reply = SMTPReply(452, ["4.3.1 full"])
    #expect(refused.received(reply) == [.failed(.temporary(SMTPRefusal(.message, reply)))])
  }

  @Test(
    "what the server would not take is not said",
    arguments: [
      (["SIZE 99"], "c@d.test", false), (["SIZE 200"], "c@d.test", true), ([], "ü@d.test", false),
      (["SMTPUTF8"], "c d@e.test", false), (["SMTPUTF8"], "c@d.test>\r\nDATA", false),
      ([], "<x>@d.test", false),
    ] as [([String], String, Bool)])
  func unsayable(extensions: [String], recipient: String, is8Bit: Bool) {
    var machine = session(.implicitTLS, nil, to: [recipient], is8Bit: is8Bit)
    _ = machine.received(SMTPReply(220, [""]))
    guard case .failed(.permanent(let refusal))? = machine.received(SMTPReply(250, ["mx"] + extensions)).first
    else {
      Issue.record("it was said")
      return
    }
    #expect(refusal.step == .unsayable)
  }

  @Test("addresses outside ASCII and 8-bit text are announced")
  func utf8() {
    var machine = session(.implicitTLS, nil, to: ["ü@d.test"], is8Bit: true)
    _ = machine.received(SMTPReply(220, [""]))
    #expect(
      machine.received(ok("mx", "SMTPUTF8", "8BITMIME"))
        == write("MAIL FROM:<a@b.test> BODY=8BITMIME SMTPUTF8"))
    #expect(machine.received(ok("")) == write("RCPT TO:<ü@d.test>"))
  }
}
