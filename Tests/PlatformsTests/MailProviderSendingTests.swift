import Bytes
import JSON
import MailWire
import Messaging
import Testing

@testable import Platforms

@Suite("Mail by a provider")
struct MailProviderSendingTests {
  static let names = ["mailgun", "sendgrid", "postmark"]
  private static let secrets: [String: [String]] = [
    "address": ["help@mg.hub.test"], "name": ["Help, \"the\" desk"], "apiKey": ["k"], "serverToken": ["t"],
    "signingKey": ["s"], "webhookToken": ["w"],
  ]
  static let secretsByName = Dictionary(names.map { ($0, secrets) }, uniquingKeysWith: { $1 })
  private static let key = "019aa3a4-5b7c-7d3e-8f00-0123456789ab"
  private static let id = "\(key)@mg.hub.test"

  private func job(
    _ message: OutboundMessage, root: String = "1@peer.test", secrets: [String: [String]] = secrets
  ) -> SendJob {
    SendJob(
      action: .message(message),
      conversation: ConversationRef(externalID: root, kind: .email, title: "Order\nBcc: x"),
      recipient: Person(id: "ada@peer.test", name: "Ada"), lastInboundID: "2@peer.test",
      lastInboundDetails: ["to": [["address": "help@mg.hub.test"], ["address": "eve@peer.test"]]],
      secrets: AccountSecrets(secrets), key: Self.key, now: Dialogue.now)
  }

  private static let message = OutboundMessage(text: "Yes.", extras: ["html": "<p>Yes.</p>"])
  private static let withFile = OutboundMessage(kind: .file, files: [Dialogue.file(.file)])

  @Test("Mailgun takes a form")
  func mailgun() throws {
    let platform = try Dialogue.sender("mailgun")
    let request = try #require(platform.next(job(Self.message), after: []).request)
    #expect(request.url == "https://api.mailgun.net/v3/mg.hub.test/messages" && !request.isRepeatable)
    #expect(request.header("Authorization") == "Basic YXBpOms=")
    #expect(
      request.body
        == .multipart([
          APIPart("from", #""Help, \"the\" desk" <help@mg.hub.test>"#),
          APIPart("to", #""Ada" <ada@peer.test>"#), APIPart("cc", "eve@peer.test"),
          APIPart("subject", "Re: Order Bcc: x"), APIPart("text", "Yes."), APIPart("html", "<p>Yes.</p>"),
          APIPart("h:Message-ID", "<\(Self.id)>"), APIPart("h:In-Reply-To", "<2@peer.test>"),
          APIPart("h:References", "<1@peer.test> <2@peer.test>"),
          APIPart("v:hub-conversation", "1@peer.test"), APIPart("v:hub-message", Self.id),
        ]))
    let files = try #require(platform.next(job(Self.withFile), after: []).request)
    guard case .multipart(let parts) = files.body else {
      Issue.record("no form")
      return
    }
    #expect(parts.last == APIPart("attachment", file: 0, filename: "a.pdf", type: "application/pdf"))
    #expect(parts.contains(APIPart("text", " ")))
    let sent = Dialogue.answer(["id": "<other@mg.hub.test>", "message": "Queued. Thank you."])
    #expect(platform.next(job(Self.message), after: [sent]).receipt == SendReceipt(messageID: Self.id))
    var regional = Self.secrets
    regional["apiURL"] = ["https://api.eu.mailgun.net/"]
    regional["domain"] = ["news.hub.test"]
    let european = try #require(platform.next(job(Self.message, secrets: regional), after: []).request)
    #expect(european.url == "https://api.eu.mailgun.net/v3/news.hub.test/messages")
  }

  @Test("SendGrid takes JSON")
  func sendGrid() throws {
    let platform = try Dialogue.sender("sendgrid")
    let request = try #require(platform.next(job(Self.message), after: []).request)
    #expect(request.line == "POST https://api.sendgrid.com/v3/mail/send")
    #expect(request.header("Authorization") == "Bearer k")
    let body: JSONValue = [
      "personalizations": [
        ["to": [["email": "ada@peer.test", "name": "Ada"]], "cc": [["email": "eve@peer.test"]]]
      ], "from": ["email": "help@mg.hub.test", "name": "Help, \"the\" desk"], "subject": "Re: Order Bcc: x",
      "content": [
        ["type": "text/plain", "value": "Yes."], ["type": "text/html", "value": "<p>Yes.</p>"],
      ],
      "headers": [
        "Message-ID": .string("<\(Self.id)>"), "In-Reply-To": "<2@peer.test>",
        "References": "<1@peer.test> <2@peer.test>",
      ], "custom_args": ["hub-conversation": "1@peer.test", "hub-message": .string(Self.id)],
    ]
    #expect(request.json == body)
    let files = try #require(platform.next(job(Self.withFile), after: []).request)
    guard case .jsonWithFiles(let document, let places) = files.body else {
      Issue.record("no document")
      return
    }
    let attachment: JSONValue = [
      "content": "", "type": "application/pdf", "filename": "a.pdf", "disposition": "attachment",
    ]
    #expect(document["attachments"] == [attachment])
    #expect(places == [APIFilePlace(["attachments", "0", "content"], file: 0)])
    let sent = APIAnswer(status: 202, headers: [APIField("X-Message-Id", "sg1")], body: [])
    #expect(platform.next(job(Self.message), after: [sent]).receipt == SendReceipt(messageID: Self.id))
    // A page of something between is no answer of SendGrid's.
    let page = APIAnswer(status: 200, headers: [], body: Array("<html>".utf8))
    #expect(platform.next(job(Self.message), after: [page]).failure?.remedy == .unknown)
  }

  @Test("Postmark takes JSON, and metadata in pieces")
  func postmark() throws {
    let platform = try Dialogue.sender("postmark")
    let root = String(repeating: "r", count: 170) + "@peer.test"
    let request = try #require(platform.next(job(Self.message, root: root), after: []).request)
    #expect(request.line == "POST https://api.postmarkapp.com/email")
    #expect(request.header("X-Postmark-Server-Token") == "t")
    let pieces = String(repeating: "r", count: 80)
    #expect(
      request.json == [
        "From": #""Help, \"the\" desk" <help@mg.hub.test>"#, "To": #""Ada" <ada@peer.test>"#,
        "Cc": "eve@peer.test", "Subject": "Re: Order Bcc: x", "TextBody": "Yes.", "HtmlBody": "<p>Yes.</p>",
        "Headers": [
          ["Name": "Message-ID", "Value": .string("<\(Self.id)>")],
          ["Name": "In-Reply-To", "Value": "<2@peer.test>"],
          ["Name": "References", "Value": .string("<\(root)> <2@peer.test>")],
          ["Name": "X-PM-KeepID", "Value": "true"],
        ],
        "Metadata": [
          "hub-conversation": .string(pieces), "hub-conversation-2": .string(pieces),
          "hub-conversation-3": "rrrrrrrrrr@peer.test", "hub-message": .string(Self.id),
        ],
      ])
    let sent = Dialogue.answer([
      "ErrorCode": 0, "Message": "OK", "MessageID": "0a129aee", "SubmittedAt": "2026-11-20T23:59:58Z",
    ])
    #expect(
      platform.next(job(Self.message), after: [sent]).receipt
        == SendReceipt(messageID: Self.id, sentAt: Timestamp(rfc3339: "2026-11-20T23:59:58Z")))
    let event: JSONValue = [
      "RecordType": "Delivery", "MessageID": "0a129aee", "DeliveredAt": "2026-11-21T00:00:01Z",
      "Metadata": try #require(request.json?["Metadata"]),
    ]
    try expectDelivered(platform, event, conversation: root)
  }

  private func expectDelivered(_ platform: any Platform, _ body: JSONValue, conversation: String) throws {
    let headers = KeptHeaders([WebhookHeader("content-type", "application/json")])
    let read = try platform.normalise(
      WebhookDelivery(body: body.encoded(), headers: headers, receivedAt: Dialogue.now))
    guard case .status(let change)? = read.items.first else {
      Issue.record("no status")
      return
    }
    #expect(change.externalID == Self.id && change.status == .delivered && change.clientKey == Self.key)
    #expect(change.conversation.externalID == conversation)
  }

  @Test("events name the message and its conversation by what was given with it")
  func events() throws {
    let mailgun: JSONValue = [
      "event-data": [
        "event": "delivered", "timestamp": 1_795_219_201.5,
        "user-variables": ["hub-conversation": "1@peer.test", "hub-message": .string(Self.id)],
        "message": ["headers": ["message-id": "other@mg.hub.test"]],
      ]
    ]
    try expectDelivered(try Dialogue.sender("mailgun"), mailgun, conversation: "1@peer.test")
    let sendGrid: JSONValue = [
      [
        "event": "delivered", "timestamp": 1_795_219_201, "hub-conversation": "1@peer.test",
        "hub-message": .string(Self.id), "smtp-id": "<x@ismtpd>", "sg_event_id": "e",
      ]
    ]
    try expectDelivered(try Dialogue.sender("sendgrid"), sendGrid, conversation: "1@peer.test")
  }

  @Test("what cannot be sent is refused", arguments: names)
  func refusals(name: String) throws {
    let platform = try Dialogue.sender(name)
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    #expect(code(job(Self.message)) == nil && code(job(Self.withFile)) == nil)
    for field in ["address", name == "postmark" ? "serverToken" : "apiKey"] {
      var poor = Self.secrets
      poor[field] = nil
      #expect(code(job(Self.message, secrets: poor)) == .missingCredentials)
    }
    var wrong = Self.secrets
    wrong["address"] = ["help@mg.hub.test>\r\nBcc: x"]
    #expect(code(job(Self.message, secrets: wrong)) == .invalidContent)
    #expect(code(job(OutboundMessage())) == .invalidContent)
    let large = OutboundFile(
      kind: .file, name: "a", mimeType: "a/b", sizeBytes: 30 << 20, storageKey: "k")
    #expect(code(job(OutboundMessage(kind: .file, files: [large]))) == .invalidContent)
    var edit = job(Self.message)
    edit.action = .edit(OutboundEdit(messageID: "1", text: "x"))
    #expect(code(edit) == .notSupported)
    edit.action = .typing(true)
    #expect(code(edit) == .notSupported)
  }

  @Test("failures are what they are", arguments: names)
  func failures(name: String) throws {
    let platform = try Dialogue.sender(name)
    func remedy(_ answer: APIAnswer) -> APIFailure.Remedy? {
      platform.next(job(Self.message), after: [answer]).failure?.remedy
    }
    let isJSON: JSONValue = ["message": "no", "Message": "no", "errors": [["message": "no"]]]
    guard case .credentials? = remedy(Dialogue.answer(isJSON, status: 401)) else {
      Issue.record("401")
      return
    }
    #expect(remedy(Dialogue.answer(isJSON, status: 429, ["Retry-After": "7"])) == .pauseAccount(seconds: 7))
    let reset = ["X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "\(Dialogue.now.seconds + 9)"]
    #expect(remedy(Dialogue.answer(isJSON, status: 429, reset)) == .pauseAccount(seconds: 9))
    #expect(remedy(Dialogue.answer(isJSON, status: 500)) == .unknown)
    #expect(remedy(Dialogue.answer(isJSON, status: 503)) == .later(seconds: nil))
    #expect(remedy(Dialogue.answer(isJSON, status: name == "postmark" ? 422 : 400)) == APIFailure.Remedy.none)
    #expect(remedy(APIAnswer(status: 400, body: Array("Forbidden".utf8))) == APIFailure.Remedy.none)
  }

  @Test("each provider's own words are told")
  func words() throws {
    func reason(_ name: String, _ json: JSONValue, _ status: Int) throws -> String? {
      let step = try Dialogue.sender(name).next(
        job(Self.message), after: [Dialogue.answer(json, status: status)])
      return step.failure?.reason
    }
    #expect(try reason("mailgun", ["message": "'to' is not valid"], 400) == "'to' is not valid")
    let errors: JSONValue = ["errors": [["field": "from.email", "message": "is not verified"]]]
    #expect(try reason("sendgrid", errors, 400) == "from.email: is not verified")
    let inactive: JSONValue = ["ErrorCode": 406, "Message": "inactive recipient"]
    #expect(try reason("postmark", inactive, 422) == "406: inactive recipient")
    let plain = APIAnswer(status: 401, body: Array("Forbidden".utf8))
    #expect(
      try Dialogue.sender("mailgun").next(job(Self.message), after: [plain]).failure?.reason == "Forbidden")
  }

  @Test("a file stands in a document where it is told to, and nothing else changes")
  func pieces() {
    let document: JSONValue = ["a": [1, ["b": "data:x;base64,"]], "c": "\"", "d": nil, "e": true]
    let pieces = APIPiece.pieces(
      of: document, files: [APIFilePlace(["a", "1", "b"], file: 3), APIFilePlace(["none"], file: 4)])
    #expect(
      pieces == [
        .bytes(Array(#"{"a":[1,{"b":"data:x;base64,"#.utf8)), .base64(3),
        .bytes(Array(#""}],"c":"\"","d":null,"e":true}"#.utf8)),
      ])
    #expect(APIPiece.pieces(of: document, files: []) == [.bytes(document.encoded())])
  }
}
