import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite("MessageBird and Bird")
struct BirdSendingTests {
  static let secrets: [String: [String: [String]]] = [
    "messagebird": ["signingKey": ["s"], "accessKey": ["k"]],
    "bird": ["signingKey": ["s"], "accessKey": ["k"], "workspaceId": ["w1"]],
  ]
  private static let key = "01932f5e-8a00-7000-8000-000000000001"

  private func job(_ name: String, _ action: OutboundAction, to id: String? = nil) -> SendJob {
    var job = Dialogue.job(
      action, to: id ?? (name == "bird" ? "c1:+31612345678" : "2e15"), secrets: Self.secrets[name] ?? [:])
    job.key = Self.key
    return job
  }

  private func request(_ name: String, _ message: OutboundMessage) throws -> APIRequest {
    let sender = try Dialogue.sender(name)
    return try #require(sender.next(job(name, .message(message)), after: []).request)
  }

  private static let text = OutboundMessage(text: "hi")

  @Test("MessageBird is written to in the conversation")
  func messageBird() throws {
    let request = try request("messagebird", Self.text)
    #expect(request.line == "POST https://conversations.messagebird.com/v1/conversations/2e15/messages")
    #expect(request.header("Authorization") == "AccessKey k" && !request.isRepeatable)
    #expect(request.json == ["type": "text", "content": ["text": "hi"]])
    let image = OutboundMessage(
      kind: .image, text: "see", files: [Dialogue.file(url: "https://hub/a.png")],
      extras: ["channelId": "853e"])
    #expect(
      try self.request("messagebird", image).json == [
        "type": "image", "content": ["image": ["url": "https://hub/a.png", "caption": "see"]],
        "channelId": "853e",
      ])
    let place = OutboundMessage(kind: .location, extras: ["location": ["latitude": 1, "longitude": 2]])
    #expect(
      try self.request("messagebird", place).json == [
        "type": "location", "content": ["location": ["latitude": 1, "longitude": 2]],
      ])
    let template = OutboundMessage(extras: ["hsm": ["templateName": "t"]])
    #expect(try self.request("messagebird", template).json?["type"] == "hsm")
  }

  @Test("what MessageBird was sent comes back as the same message")
  func messageBirdEcho() throws {
    let platform = try Dialogue.sender("messagebird")
    let sent: JSONValue = [
      "id": "m-out", "conversationId": "2e15", "channelId": "853e", "direction": "sent", "status": "pending",
      "type": "text", "content": ["text": "hi"], "createdDatetime": "2026-11-20T23:59:58Z",
      "from": "+31200000000", "to": "+31612345678", "platform": "sms",
    ]
    let receipt = platform.next(
      job("messagebird", .message(Self.text)), after: [Dialogue.answer(sent, status: 202)]
    ).receipt
    let event: JSONValue = [
      "type": "message.created", "contact": ["id": "c1"], "conversation": ["id": "2e15"], "message": sent,
    ]
    let read = try platform.normalise(WebhookDelivery(body: event.encoded(), receivedAt: Dialogue.now))
    let message = try #require(read.messages.first)
    #expect(receipt == SendReceipt(messageID: message.externalID, sentAt: message.sentAt))
    #expect(message.direction == .outbound && message.text == "hi" && platform.echoes)
  }

  @Test("Bird is written to over the channel")
  func bird() throws {
    let request = try request("bird", Self.text)
    #expect(request.line == "POST https://api.bird.com/workspaces/w1/channels/c1/messages")
    #expect(request.header("Authorization") == "AccessKey k")
    #expect(
      request.json == [
        "receiver": [
          "contacts": [["identifierValue": "+31612345678", "identifierKey": "phonenumber"]]
        ], "reference": .string(Self.key), "body": ["type": "text", "text": ["text": "hi"]],
      ])
    let images = OutboundMessage(
      kind: .image, text: "see", files: ["1", "2"].map { Dialogue.file(url: "https://hub/\($0)") })
    #expect(
      try self.request("bird", images).json?["body"] == [
        "type": "image",
        "image": [
          "images": [["mediaUrl": "https://hub/1"], ["mediaUrl": "https://hub/2"]], "text": "see",
        ],
      ])
    let file = OutboundMessage(kind: .file, files: [Dialogue.file(.file, url: "https://hub/a")])
    #expect(
      try self.request("bird", file).json?["body"]?["file"] == [
        "files": [
          ["mediaUrl": "https://hub/a", "contentType": "application/pdf", "filename": "a.pdf"]
        ]
      ])
    let template = OutboundMessage(extras: ["template": ["projectId": "p"]])
    let sent = try self.request("bird", template).json
    #expect(sent?["template"] == ["projectId": "p"] && sent?["body"] == nil)
  }

  @Test("what Bird was sent comes back as the same message, with the key")
  func birdEcho() throws {
    let platform = try Dialogue.sender("bird")
    let job = job("bird", .message(Self.text))
    let sent: JSONValue = [
      "id": "b-1", "channelId": "c1", "status": "accepted", "createdAt": "2026-11-20T23:59:58Z",
      "reference": .string(Self.key), "body": ["type": "text", "text": ["text": "hi"]],
      "receiver": ["contacts": [["id": "x", "identifierValue": "+31612345678"]]],
    ]
    let receipt = platform.next(job, after: [Dialogue.answer(sent, status: 202)]).receipt
    let event: JSONValue = ["service": "channels", "event": "sms.outbound", "payload": sent]
    let read = try platform.normalise(WebhookDelivery(body: event.encoded(), receivedAt: Dialogue.now))
    let message = try #require(read.messages.first)
    #expect(receipt == SendReceipt(messageID: message.externalID, sentAt: message.sentAt))
    #expect(message.conversation.externalID == job.conversation.externalID)
    #expect(message.details?["clientKey"] == .string(Self.key))
  }

  @Test("refusals", arguments: ["messagebird", "bird"])
  func refusals(name: String) throws {
    let platform = try Dialogue.sender(name)
    func code(_ job: SendJob) -> SendRefusal.Code? { SendRules.refusal(of: job, on: platform)?.code }
    #expect(code(job(name, .message(Self.text))) == nil)
    var poor = job(name, .message(Self.text))
    poor.secrets = AccountSecrets(["signingKey": ["s"]])
    #expect(code(poor) == .missingCredentials)
    #expect(code(job(name, .message(OutboundMessage()))) == .invalidContent)
    let hidden = OutboundMessage(kind: .image, files: [Dialogue.file()])
    #expect(code(job(name, .message(hidden))) == .invalidContent)
    #expect(code(job(name, .read(upTo: "1"))) == .notSupported)
    if name == "bird" {
      #expect(code(job(name, .message(Self.text), to: "updates")) == .invalidContent)
      let mixed = OutboundMessage(
        kind: .image, files: [Dialogue.file(url: "https://h"), Dialogue.file(.file, url: "https://h")])
      #expect(code(job(name, .message(mixed))) == .invalidContent)
    }
  }

  @Test("failures", arguments: ["messagebird", "bird"])
  func failures(name: String) throws {
    let platform = try Dialogue.sender(name)
    func failure(_ status: Int, _ body: JSONValue) -> APIFailure? {
      platform.next(
        job(name, .message(Self.text)), after: [Dialogue.answer(body, status: status)]
      ).failure
    }
    let key = APIFailure.Remedy.credentials(action: "give the account an access key that may send")
    #expect(failure(401, ["message": "no"])?.remedy == key)
    #expect(failure(422, ["errors": [["code": 2, "description": "no key"]]])?.remedy == key)
    #expect(
      failure(422, ["errors": [["code": 25, "description": "no money"]]])
        == APIFailure("no money", .credentials(action: "top up the balance")))
    #expect(failure(422, ["errors": [["code": 21, "description": "bad"]]]) == APIFailure("bad"))
    #expect(failure(404, ["code": "NotFound", "message": "no channel"]) == APIFailure("no channel"))
    #expect(failure(429, [:])?.remedy == .pauseAccount(seconds: 5))
    #expect(failure(500, [:])?.remedy == .unknown && failure(503, [:])?.remedy == .later(seconds: nil))
    #expect(failure(200, ["status": "sent"])?.remedy == .unknown)
  }
}
