import Bytes
import JSON
import MailWire
import Messaging
import Testing

@testable import Platforms

@Suite("Mail of a mailbox")
struct EmailSendingTests {
  private static let secrets: [String: [String]] = [
    "address": ["help@hub.test", "old@hub.test"], "name": ["Help"], "imapHost": ["imap.hub.test"],
    "smtpHost": ["smtp.hub.test"], "password": ["p"],
  ]
  private static let key = "019aa3a4-5b7c-7d3e-8f00-0123456789ab"
  private static let platform = EmailPlatform()

  private func job(
    _ message: OutboundMessage, last: JSONValue? = nil, lastID: String? = "2@peer.test",
    secrets: [String: [String]] = secrets
  ) -> SendJob {
    SendJob(
      action: .message(message),
      conversation: ConversationRef(externalID: "1@peer.test", kind: .email, title: "Order"),
      recipient: Person(id: "ada@peer.test", name: "Ada"), lastInboundID: lastID, lastInboundDetails: last,
      secrets: AccountSecrets(secrets), key: Self.key, now: Dialogue.now)
  }

  private func draft(_ job: SendJob) throws -> MailDraft {
    guard case .mail(let draft) = Self.platform.next(job, after: []) else { throw NormaliseError.notJSON }
    return draft
  }

  @Test("an answer goes to the writer, with the others in copy, in the thread")
  func answer() throws {
    let last: JSONValue = [
      "to": [["address": "help@hub.test"], ["address": "eve@peer.test", "name": "Eve"]],
      "cc": [["address": "alias@hub.test"], ["address": "ADA@peer.test"]], "recipients": ["alias@hub.test"],
      "references": ["1@peer.test", "own@hub.test"],
    ]
    let mail = try draft(job(OutboundMessage(text: "Yes."), last: last))
    #expect(mail.from == MailAddress(name: "Help", "help@hub.test"))
    #expect(mail.to == [MailAddress(name: "Ada", "ada@peer.test")])
    #expect(mail.cc == [MailAddress(name: "Eve", "eve@peer.test")])
    #expect(mail.subject == "Re: Order")
    #expect(mail.text == "Yes.")
    #expect(mail.inReplyTo == "2@peer.test")
    #expect(mail.references == ["1@peer.test", "own@hub.test", "2@peer.test"])
    #expect(mail.messageID == "\(Self.key)@hub.test")
  }

  @Test("a reply to another message names that one, and the thread's first mail stays in front")
  func reply() throws {
    let mail = try draft(job(OutboundMessage(text: "Yes.", replyTo: "1@peer.test")))
    #expect(mail.inReplyTo == "1@peer.test")
    #expect(mail.references == ["1@peer.test", "2@peer.test"])
    let own = try draft(job(OutboundMessage(text: "And", replyTo: "own@hub.test")))
    #expect(own.references == ["1@peer.test", "2@peer.test", "own@hub.test"])
  }

  @Test("Reply-To comes before the writer, and a report is answered to whom the mail did not reach")
  func recipients() throws {
    let wanted = try draft(
      job(OutboundMessage(text: "x"), last: ["replyTo": [["address": "desk@peer.test"]]]))
    #expect(wanted.to.map(\.address) == ["desk@peer.test"])
    let report = try draft(
      job(OutboundMessage(text: "x"), last: ["report": [["action": "failed", "address": "ada@peer.test"]]]))
    #expect(report.to.map(\.address) == ["ada@peer.test"])
    let given: JSONValue = ["to": ["a@x.test"], "cc": ["b@x.test"], "subject": "Other", "html": "<p>x</p>"]
    let mail = try draft(job(OutboundMessage(text: "x", extras: given)))
    #expect(mail.to.map(\.address) == ["a@x.test"])
    #expect(mail.cc.map(\.address) == ["b@x.test"])
    #expect(mail.subject == "Other")
    #expect(mail.html == "<p>x</p>")
  }

  @Test("what was sent, read from the sent mail, is the same message and names its job")
  func echo() throws {
    let job = job(OutboundMessage(text: "Yes, of course."))
    let mail = try draft(job)
    let bytes = try MailWriter.write(mail, token: "t0").bytes
    let fetched = FetchedDelivery(bytes: bytes, role: .sent, uid: 1, date: Dialogue.now)
    let read = try Self.platform.normalise(
      fetched.delivery(receivedAt: Dialogue.now, secrets: AccountSecrets(Self.secrets)))
    let message = try #require(read.messages.first)
    let answer = APIAnswer(status: 250, body: [])
    guard case .done(let receipt) = Self.platform.next(job, after: [answer]) else {
      Issue.record("not done")
      return
    }
    #expect(message.externalID == receipt.messageID)
    #expect(message.conversation.externalID == job.conversation.externalID)
    #expect(message.direction == .outbound)
    #expect(message.text == "Yes, of course.")
    #expect(message.details?["clientKey"] == .string(Self.key))
  }

  @Test("what cannot be sent is refused")
  func refusals() {
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: Self.platform)?.code }
    var silent = Self.secrets
    silent["smtpHost"] = nil
    #expect(code(job(OutboundMessage(text: "x"), secrets: silent)) == .missingCredentials)
    #expect(code(job(OutboundMessage())) == .invalidContent)
    #expect(code(job(OutboundMessage(text: "x", extras: ["to": "a@x.test"]))) == .invalidContent)
    #expect(code(job(OutboundMessage(text: "x", extras: ["cc": ["a\r\nBcc: b@x.test"]]))) == .invalidContent)
    var alone = job(OutboundMessage(text: "x"), lastID: nil)
    alone.recipient = nil
    #expect(code(alone) == .invalidContent)
    #expect(code(job(OutboundMessage(text: "x"))) == nil)
  }

  @Test(
    "credentials that cannot work are named",
    arguments: [
      ("address", "nobody"), ("imapPort", "0"), ("imapSecurity", "ssl"), ("imapSecurity", "none"),
      ("smtpSecurity", "none"), ("smtpPort", "x"), ("sentCopy", "append"), ("imapHost", ""), ("password", ""),
    ])
  func faults(field: String, value: String) {
    var secrets = Self.secrets
    #expect(Self.platform.fault(in: AccountSecrets(secrets)) == nil)
    secrets[field] = [value]
    #expect(Self.platform.fault(in: AccountSecrets(secrets))?.contains(field) == true)
  }

  @Test("a server on the same machine may be open, and a refresh token takes the place of the password")
  func access() throws {
    var secrets = Self.secrets
    secrets["imapHost"] = ["127.0.0.1"]
    secrets["imapSecurity"] = ["none"]
    #expect(Self.platform.fault(in: AccountSecrets(secrets)) == nil)
    let open = try #require(Self.platform.mailbox(AccountSecrets(secrets), token: nil))
    #expect(open.incoming.port == 143)
    #expect(open.outgoing?.port == 465)
    secrets["smtpHost"] = nil
    let silent = try #require(Self.platform.mailbox(AccountSecrets(secrets), token: nil))
    #expect(silent.outgoing == nil)
    secrets["password"] = nil
    secrets["refreshToken"] = ["r"]
    #expect(Self.platform.fault(in: AccountSecrets(secrets)) != nil)
    secrets["tokenURL"] = ["https://login.test/token"]
    secrets["clientId"] = ["c"]
    #expect(Self.platform.fault(in: AccountSecrets(secrets)) == nil)
    #expect(Self.platform.mailbox(AccountSecrets(secrets), token: nil) == nil)
    #expect(Self.platform.mailbox(AccountSecrets(secrets), token: "t")?.hasToken == true)
    let request = Self.platform.tokenRequest(AccountSecrets(secrets), refresh: "newer", now: Dialogue.now)
    #expect(
      request?.form == ["grant_type": "refresh_token", "refresh_token": "newer", "client_id": "c"])
  }
}
