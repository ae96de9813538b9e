import Bytes
import Foundation
import JSON
import MIME
import Messaging
import Testing

@testable import Platforms

@Suite("Mail")
struct EmailTests {
  private static let now = Timestamp(seconds: 1_795_219_200)

  private func thread(_ text: String) -> EmailThread {
    EmailThread(MailHeaders(parsing: Array(text.utf8)[...]))
  }

  @Test("of one thread is one conversation, in whatever order it comes")
  func threads() {
    let mails = [
      "Message-ID: <1@x>", "Message-ID: <2@x>\nIn-Reply-To: <1@x>\nReferences: <1@x>",
      "Message-ID: <3@x>\nIn-Reply-To: <2@x>\nReferences: <1@x> <2@x>",
      // A client that leaves out what is in between, and one that only names what it answers.
      "Message-ID: <4@x>\nIn-Reply-To: <3@x>\nReferences: <1@x>\n <3@x>",
      "Message-ID: <5@x>\nIn-Reply-To: <1@x>",
    ]
    #expect(Set(mails.map { thread($0).root }) == ["1@x"])
    #expect(mails.map { thread($0).parent } == [nil, "1@x", "2@x", "3@x", "1@x"])
  }

  @Test("without ids has no thread, and long ids stay apart")
  func ids() {
    #expect(thread("Subject: x").root == nil)
    #expect(thread("References: <1@x>").root == "1@x")
    let long = String(repeating: "a", count: 2_000)
    let first = thread("Message-ID: <\(long)1@x>").message
    let second = thread("Message-ID: <\(long)2@x>").message
    #expect(first != second)
    #expect((first?.utf8.count ?? .max) <= 128)
    let references = (1...100).map { "<\($0)@x>" }.joined(separator: " ")
    let thread = thread("References: \(references)")
    #expect(thread.references.count == 20)
    #expect(thread.references.first == "1@x")
    #expect(thread.references.last == "100@x")
  }

  private func items(_ text: String, own: [String] = []) -> [InboundItem] {
    let mail = EmailMessage(MIMEEntity(parsing: Array(text.utf8)))
    return EmailItems(mail, own: own, fallbackID: nil, receivedAt: Self.now).items()
  }

  private func message(_ text: String, own: [String] = []) throws -> InboundMessage {
    for case .message(let message) in items(text, own: own) { return message }
    throw NormaliseError.notJSON
  }

  @Test("from the account's own address is outbound")
  func direction() throws {
    let text = "From: Me <Me@Example.com>\nTo: a@x, me@example.com\nMessage-ID: <1@x>\n\nHi"
    #expect(try message(text).direction == .inbound)
    let own = try message(text, own: ["ME@example.com"])
    #expect(own.direction == .outbound)
    #expect(own.status == .sent)
    #expect(own.sender.id == "me@example.com")
    let joined = items(text, own: ["me@example.com"]).compactMap { item -> [String]? in
      guard case .membership(let change) = item else { return nil }
      return change.joined.map(\.id)
    }
    #expect(joined == [["a@x"]])
  }

  @Test(
    "that nobody wrote says so",
    arguments: [
      ("Auto-Submitted: auto-replied; owner=x", "auto-replied"), ("Auto-Submitted: no", nil),
      ("Precedence: Bulk", "bulk"), ("Precedence: first-class", nil), ("X-Autoreply: yes", "auto-replied"),
      ("X: y", nil),
    ] as [(String, String?)])
  func automatic(header: String, word: String?) throws {
    let message = try message("From: a@x\n\(header)\n\nHi")
    #expect(message.details?["automatic"]?.string == word)
  }

  @Test("without an id is known by what it says")
  func fallback() throws {
    let first = try message("From: a@x\nSubject: s\n\nHi")
    #expect(first.externalID.hasPrefix("sha256:"))
    #expect(first.conversation.externalID == first.externalID)
    #expect(try message("From: a@x\nSubject: s\n\nHi").externalID == first.externalID)
    #expect(try message("From: a@x\nSubject: s\n\nHo").externalID != first.externalID)
    #expect(first.sentAt == Self.now)
  }

  @Test("is whole in its details, and the new words are its text")
  func text() throws {
    let message = try message("From: a@x\n\nNew\n\nOn Nov 20, 2026, Bob wrote:\n> Old\n")
    #expect(message.text == "New")
    #expect(message.details?["fullText"]?.string == "New\n\nOn Nov 20, 2026, Bob wrote:\n> Old")
    #expect(try self.message("From: a@x\n\nNew").details?["fullText"] == nil)
    let html = try self.message(
      "From: a@x\nContent-Type: text/html\n\n<p>New</p><blockquote type=\"cite\">Old</blockquote>")
    #expect(html.text == "New")
    #expect(html.details?["fullText"]?.string == "New\nOld")
    #expect(html.details?["htmlPart"] == "part:mime/")
    let large = "From: a@x\n\n" + String(repeating: "words ", count: 100_000)
    #expect((try self.message(large).text?.utf8.count ?? .max) <= MessageText.bytesMax)
  }

  @Test("lines that were broken for the way are whole again")
  func flowed() {
    func unwrapped(_ text: String, _ type: String = "text/plain; format=flowed") -> String {
      FlowedText.unwrapped(text, ParameterizedValue(type))
    }
    #expect(unwrapped("a \nb\nc") == "a b\nc")
    #expect(unwrapped("a \nb", "text/plain") == "a \nb")
    #expect(unwrapped("a \nb", "text/plain; format=flowed; delsp=yes") == "ab")
    #expect(unwrapped("> a \n> b\n>> c \nd") == "> a b\n>> c \nd")
    #expect(unwrapped("a\n-- \nb") == "a\n-- \nb")
    #expect(unwrapped(" >a\n\n\nb") == ">a\n\n\nb")
    #expect(unwrapped("") == "")
  }

  // MARK: Reports

  private static func report(_ fields: String, original: String) -> String {
    """
    From: MAILER-DAEMON@x
    Message-ID: <bounce@x>
    Content-Type: multipart/report; boundary=b

    --b

    Words for people
    --b
    Content-Type: message/delivery-status

    Reporting-MTA: dns; x

    \(fields)
    --b
    \(original)
    --b--
    """
  }

  private func statuses(_ text: String) -> [StatusChange] {
    items(text).compactMap { if case .status(let status) = $0 { status } else { nil } }
  }

  @Test(
    "reports become a status of the mail they are about",
    arguments: [
      ("Action: failed\nStatus: 5.1.1", MessageStatus.failed), ("Action: delivered", .delivered),
      ("Action: relayed", .delivered), ("Action: delayed", nil), ("Status: 5.1.1", nil),
      ("Action: delivered\n\nAction: failed", .failed),
    ] as [(String, MessageStatus?)])
  func reports(fields: String, status: MessageStatus?) {
    let original = "Content-Type: message/rfc822\n\nMessage-ID: <mine@x>\nReferences: <root@x>\n\nHello"
    let found = statuses(Self.report(fields, original: original))
    #expect(found.map(\.status) == (status.map { [$0] } ?? []))
    #expect(found.allSatisfy { $0.externalID == "mine@x" && $0.conversation.externalID == "root@x" })
  }

  @Test("reports that name no mail are mails")
  func nameless() throws {
    let text = Self.report("Action: failed", original: "Content-Type: text/plain\n\nnothing")
    #expect(statuses(text).isEmpty)
    let message = try message(text)
    #expect(message.kind == .system)
    #expect(message.conversation.externalID == "bounce@x")
    #expect(message.text == "Words for people")
  }

  // MARK: Files

  @Test(
    "files are taken out of the delivery that they came in", arguments: ["mailgun", "sendgrid", "postmark"])
  func files(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    var count = 0
    for path in SampleTests.samples where path.hasPrefix("\(name)/") {
      let url = SampleTests.root.appending(path: "Webhooks/\(name)/samples/\(path.split(separator: "/")[1])")
      let sample = try #require(WebhookSample(JSONValue(parsing: Data(contentsOf: url))))
      let delivery = SampleTests.delivery(sample, platform)
      for case .message(let message) in try platform.normalise(delivery).items {
        for attachment in message.attachments where attachment.url == nil {
          let id = try #require(attachment.externalID)
          let bytes = try #require(platform.file(id, in: delivery), "\(path) \(id)")
          #expect(!bytes.isEmpty)
          if let size = attachment.sizeBytes { #expect(Int64(bytes.count) == size) }
          if attachment.mimeType == "image/png" { #expect(bytes.starts(with: [0x89, 0x50, 0x4e, 0x47])) }
          count += 1
        }
        if let part = message.details?["htmlPart"]?.string {
          let bytes = try #require(platform.file(part, in: delivery), "\(path) \(part)")
          #expect(String(decoding: bytes, as: UTF8.self).contains("<"))
        }
      }
      for id in [
        "", "part:", "part:mime/9.9", "part:field/none", "part:field/Attachments/-1",
        "part:field/Attachments/9",
      ] {
        #expect(platform.file(id, in: delivery)?.isEmpty ?? true)
      }
    }
    #expect(count >= 2)
  }
}
