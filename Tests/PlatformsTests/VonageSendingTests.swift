import Bytes
import JSON
import Messaging
import Security
import Testing

@testable import Platforms

@Suite struct VonageSendingTests {
  static let secrets: [String: [String]] = [
    "signatureSecret": ["s"], "apiKey": ["k"], "apiSecret": ["x"], "from": ["447700900001"],
  ]

  private func job(
    _ action: OutboundAction, to id: String = "whatsapp:447700900000",
    secrets: [String: [String]] = secrets, details: JSONValue? = nil
  ) -> SendJob {
    Dialogue.job(action, to: id, secrets: secrets, lastInboundID: "in-1", details: details)
  }

  private func request(_ job: SendJob) throws -> APIRequest {
    try #require(try Dialogue.sender("vonage").next(job, after: []).request)
  }

  private static let text = OutboundAction.message(OutboundMessage(text: "hi"))

  @Test("a text, and its status names it")
  func text() throws {
    let platform = try Dialogue.sender("vonage")
    let job = job(Self.text)
    let request = try request(job)
    #expect(request.line == "POST https://api.nexmo.com/v1/messages" && !request.isRepeatable)
    #expect(request.header("Authorization") == "Basic azp4")
    #expect(
      request.json == [
        "channel": "whatsapp", "to": "447700900000", "from": "447700900001", "message_type": "text",
        "text": "hi", "client_ref": .string(Dialogue.key),
      ])
    let sent = Dialogue.answer(["message_uuid": "u-1", "workflow_id": "w"], status: 202)
    let receipt = try #require(platform.next(job, after: [sent]).receipt)
    #expect(receipt == SendReceipt(messageID: "u-1"))
    let status: JSONValue = [
      "message_uuid": "u-1", "to": "447700900000", "from": "447700900001", "channel": "whatsapp",
      "timestamp": "2026-11-21T00:00:00Z", "status": "delivered", "client_ref": .string(Dialogue.key),
    ]
    let read = try platform.normalise(WebhookDelivery(body: status.encoded(), receivedAt: Dialogue.now))
    guard case .status(let change)? = read.items.first else {
      Issue.record("no status")
      return
    }
    #expect(change.externalID == receipt.messageID && change.conversation == job.conversation)
    #expect(change.clientKey == Dialogue.key)
  }

  @Test("an application signs a token for each call")
  func application() throws {
    var secrets = Self.secrets
    secrets["applicationId"] = ["app-1"]
    secrets["privateKey"] = [TokenFixture.pem]
    let request = try request(job(Self.text, secrets: secrets))
    let token = try #require(request.header("Authorization")?.dropFirst("Bearer ".count))
    let verified = try VerifiedToken(token, keys: try TokenFixture.keySet())
    #expect(try verified.text("application_id") == "app-1")
    #expect(try verified.seconds("exp") == Dialogue.now.seconds + 900)
    #expect(try verified.text("jti")?.hasPrefix(Dialogue.key) == true)
    #expect(VonageAPI.fault(in: AccountSecrets(secrets)) == nil)
    secrets["privateKey"] = ["-----BEGIN PRIVATE KEY-----"]
    #expect(VonageAPI.fault(in: AccountSecrets(secrets)) != nil)
  }

  @Test("the number that was written to answers")
  func from() throws {
    let request = try request(job(Self.text, to: "447700900000", details: ["to": "447700900009"]))
    #expect(request.json?["from"] == "447700900009" && request.json?["channel"] == "sms")
    let given = OutboundMessage(text: "x", extras: ["from": "Acme"])
    #expect(try self.request(job(.message(given), to: "447700900000")).json?["from"] == "Acme")
  }

  @Test("files, quotes, reactions and what only a channel knows")
  func content() throws {
    let message = OutboundMessage(
      kind: .file, text: "see", files: [Dialogue.file(.file, url: "https://hub/a.pdf")], replyTo: "in-1")
    let file = try request(job(.message(message))).json
    #expect(file?["message_type"] == "file" && file?["context"] == ["message_uuid": "in-1"])
    #expect(file?["file"] == ["url": "https://hub/a.pdf", "caption": "see", "name": "a.pdf"])
    let picture = OutboundMessage(kind: .image, files: [Dialogue.file(url: "https://hub/a.png")])
    let mms = try request(job(.message(picture), to: "447700900000")).json
    #expect(mms?["channel"] == "mms" && mms?["image"] == ["url": "https://hub/a.png"])
    let reaction = try request(job(.react(messageID: "in-1", emoji: "👍", isSet: true)))
    #expect(
      reaction.json == [
        "channel": "whatsapp", "to": "447700900000", "from": "447700900001", "message_type": "reaction",
        "reaction": ["action": "react", "emoji": "👍"], "context": ["message_uuid": "in-1"],
        "client_ref": .string(Dialogue.key),
      ])
    #expect(reaction.isRepeatable)
    let template = OutboundMessage(
      extras: [
        "message_type": "template", "template": ["name": "hello"], "whatsapp": ["locale": "en"],
      ])
    let sent = try request(job(.message(template))).json
    #expect(sent?["template"] == ["name": "hello"] && sent?["whatsapp"] == ["locale": "en"])
    #expect(sent?["text"] == nil)
  }

  @Test(
    "a message is marked as read in the region that it names",
    arguments: [
      ("https://api-eu.vonage.com/v1/messages/in-1", "https://api-eu.vonage.com/v1/messages/in-1"),
      ("https://api-us.nexmo.com/v0.1/messages/in-1", "https://api-us.nexmo.com/v1/messages/in-1"),
      ("https://evil.test/x.vonage.com", "https://api.nexmo.com/v1/messages/in-1"),
      ("http://api-eu.vonage.com/v1", "https://api.nexmo.com/v1/messages/in-1"),
    ])
  func read(href: String, url: String) throws {
    let request = try request(
      job(.read(upTo: "in-1"), details: ["_self": ["href": .string(href)]]))
    #expect(request.line == "PATCH \(url)" && request.json == ["status": "read"] && request.isRepeatable)
  }

  @Test("the SMS API takes a form, and receipts name the message")
  func sms() throws {
    let platform = try Dialogue.sender("vonage")
    var secrets = Self.secrets
    secrets["api"] = ["sms"]
    let job = job(.message(OutboundMessage(text: "grüße")), to: "447700900000", secrets: secrets)
    let request = try request(job)
    #expect(request.line == "POST https://rest.nexmo.com/sms/json")
    #expect(
      request.form == [
        "api_key": "k", "api_secret": "x", "from": "447700900001", "to": "447700900000", "text": "grüße",
        "client-ref": Dialogue.key, "type": "unicode",
      ])
    let sent = Dialogue.answer([
      "message-count": "2",
      "messages": [["status": "0", "message-id": "M1"], ["status": "0", "message-id": "M2"]],
    ])
    #expect(platform.next(job, after: [sent]).receipt == SendReceipt(messageID: "M1"))
    let cases: [(JSONValue, APIFailure.Remedy)] = [
      ("1", .pauseAccount(seconds: 1)), ("5", .unknown), ("6", .none),
      ("4", .credentials(action: "give the account its API key and secret")),
      ("9", .credentials(action: "top up the balance at Vonage")),
    ]
    for (status, remedy) in cases {
      let answer = Dialogue.answer(["messages": [["status": status, "error-text": "no"]]])
      #expect(platform.next(job, after: [answer]).failure?.remedy == remedy)
    }
    let file = OutboundMessage(kind: .image, files: [Dialogue.file(url: "https://hub/a.png")])
    var withFile = job
    withFile.action = .message(file)
    #expect(SendRules.refusal(of: withFile, on: platform)?.code == .kindNotSupported)
  }

  @Test("refusals")
  func refusals() throws {
    let platform = try Dialogue.sender("vonage")
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    #expect(code(job(Self.text)) == nil)
    #expect(code(job(Self.text, secrets: ["signatureSecret": ["s"]])) == .missingCredentials)
    #expect(code(job(.react(messageID: "1", emoji: "👍", isSet: true), to: "4477")) == .notSupported)
    #expect(code(job(.message(OutboundMessage(text: "x", replyTo: "1")), to: "4477")) == .notSupported)
    let hidden = OutboundMessage(kind: .image, files: [Dialogue.file()])
    #expect(code(job(.message(hidden))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage()))) == .invalidContent)
    #expect(code(job(.message(OutboundMessage(extras: ["message_type": "custom"])))) == .invalidContent)
    #expect(code(job(.typing(true))) == .notSupported)
    var nameless = Self.secrets
    nameless["from"] = nil
    #expect(code(job(Self.text, secrets: nameless)) == .missingCredentials)
  }

  @Test("failures")
  func failures() throws {
    let platform = try Dialogue.sender("vonage")
    func failure(_ status: Int, _ body: JSONValue = ["title": "no"]) -> APIFailure? {
      platform.next(job(Self.text), after: [Dialogue.answer(body, status: status)]).failure
    }
    #expect(failure(402)?.remedy == .credentials(action: "top up the balance at Vonage"))
    #expect(failure(429)?.remedy == .pauseAccount(seconds: 5))
    #expect(failure(500)?.remedy == .unknown && failure(503)?.remedy == .later(seconds: nil))
    let invalid: JSONValue = [
      "title": "Invalid", "detail": "bad", "invalid_parameters": [["name": "to", "reason": "is short"]],
    ]
    #expect(failure(422, invalid) == APIFailure("bad; to: is short"))
    guard case .credentials? = failure(401)?.remedy else {
      Issue.record("401")
      return
    }
    #expect(failure(202, [:])?.remedy == .unknown)
  }
}
