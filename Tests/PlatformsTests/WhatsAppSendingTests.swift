import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct WhatsAppSendingTests {
  static let secrets = ["accessToken": "EAA", "phoneNumberId": "106540352242922"]
  private static let messages = "https://graph.facebook.com/v25.0/106540352242922/messages"

  private static func job(
    _ action: OutboundAction, to id: String = "16505551234", _ kind: ConversationRef.Kind = .direct
  ) -> SendJob {
    ChatJobs.job(action, to: id, kind, secrets)
  }

  private static let accepted = ChatJobs.answer([
    "messaging_product": "whatsapp", "contacts": [["input": "16505551234", "wa_id": "16505551234"]],
    "messages": [["id": "wamid.OUT"]],
  ])

  @Test("sends a text as an answer")
  func text() throws {
    let platform = try ChatJobs.sender("whatsapp")
    let job = Self.job(.message(OutboundMessage(text: "hi", replyTo: "wamid.IN")))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.method == "POST" && request.url == Self.messages && !request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Bearer EAA")
    #expect(
      try ChatJobs.json(request) == [
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "16505551234",
        "type": "text", "text": ["body": "hi"], "context": ["message_id": "wamid.IN"],
        "biz_opaque_callback_data": .string(ChatJobs.key),
      ])
    #expect(
      try ChatJobs.receipt(platform.next(job, after: [Self.accepted])) == SendReceipt(messageID: "wamid.OUT"))
  }

  @Test("its statuses name the message that was sent")
  func statuses() throws {
    let platform = try ChatJobs.sender("whatsapp")
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    let receipt = try ChatJobs.receipt(platform.next(job, after: [Self.accepted]))
    let status: JSONValue = [
      "id": "wamid.OUT", "status": "delivered", "timestamp": "1795219201", "recipient_id": "16505551234",
      "biz_opaque_callback_data": .string(ChatJobs.key),
    ]
    let items = try ChatJobs.read(
      "whatsapp",
      [
        "entry": [
          [
            "id": "W",
            "changes": [
              ["field": "messages", "value": ["metadata": ["phone_number_id": "106"], "statuses": [status]]]
            ],
          ]
        ]
      ])
    guard case .status(let change)? = items.first else {
      Issue.record("no status")
      return
    }
    #expect(change.externalID == receipt.messageID && change.status == .delivered)
    #expect(change.conversation == job.conversation)
  }

  @Test("writes to user ids and groups by their own names")
  func recipients() throws {
    let platform = try ChatJobs.sender("whatsapp")
    let message = OutboundAction.message(OutboundMessage(text: "hi"))
    let user = try ChatJobs.json(
      ChatJobs.call(platform.next(Self.job(message, to: "US.13491208655302741918"), after: [])))
    #expect(user["recipient"] == "US.13491208655302741918" && user["to"] == nil)
    let group = try ChatJobs.json(
      ChatJobs.call(platform.next(Self.job(message, to: "G1", .group), after: [])))
    #expect(group["to"] == "G1" && group["recipient_type"] == "group")
  }

  @Test("uploads a file and sends its id")
  func file() throws {
    let platform = try ChatJobs.sender("whatsapp")
    let file = ChatJobs.file(.file, "application/pdf; x=1", name: "bill.pdf")
    let job = Self.job(.message(OutboundMessage(kind: .file, text: "your bill", files: [file])))
    let upload = try ChatJobs.call(platform.next(job, after: []))
    #expect(upload.url == "https://graph.facebook.com/v25.0/106540352242922/media" && upload.isRepeatable)
    #expect(
      try ChatJobs.parts(upload) == [
        APIPart("messaging_product", "whatsapp"), APIPart("type", "application/pdf"),
        APIPart("file", file: 0, filename: "bill.pdf", type: "application/pdf"),
      ])
    let uploaded = ChatJobs.answer(["id": "MEDIA"])
    let send = try ChatJobs.call(platform.next(job, after: [uploaded]))
    #expect(!send.isRepeatable)
    let body = try ChatJobs.json(send)
    #expect(
      body["document"] == ["id": "MEDIA", "caption": "your bill", "filename": "bill.pdf"]
        && body["type"] == "document")
    #expect(
      try ChatJobs.receipt(platform.next(job, after: [uploaded, Self.accepted])).messageID == "wamid.OUT")
    // A failed upload sent nothing: it can be tried again.
    let away = ChatJobs.answer([:], status: 500)
    #expect(try ChatJobs.remedy("whatsapp", job, away) == .later(seconds: nil))
  }

  static let contents: [(OutboundAction, JSONValue)] = [
    (
      .message(
        OutboundMessage(kind: .location, extras: ["location": ["latitude": 1, "longitude": 2, "name": "x"]])),
      ["type": "location", "location": ["latitude": 1, "longitude": 2, "name": "x"]]
    ),
    (
      .message(OutboundMessage(kind: .contact, extras: ["contacts": [["name": ["formatted_name": "A"]]]])),
      ["type": "contacts", "contacts": [["name": ["formatted_name": "A"]]]]
    ),
    (
      .message(OutboundMessage(extras: ["template": ["name": "t", "language": ["code": "en"]]])),
      ["type": "template", "template": ["name": "t", "language": ["code": "en"]]]
    ),
    (
      .message(OutboundMessage(extras: ["interactive": ["type": "button"]])),
      ["type": "interactive", "interactive": ["type": "button"]]
    ),
    (
      .react(messageID: "wamid.IN", emoji: "👍", isSet: true),
      ["type": "reaction", "reaction": ["message_id": "wamid.IN", "emoji": "👍"]]
    ),
    (
      .react(messageID: "wamid.IN", emoji: "👍", isSet: false),
      ["type": "reaction", "reaction": ["message_id": "wamid.IN", "emoji": ""]]
    ),
  ]

  @Test("sends every content", arguments: contents)
  func content(action: OutboundAction, expected: JSONValue) throws {
    let job = Self.job(action)
    #expect(try ChatJobs.refusal("whatsapp", job) == nil)
    let request = try ChatJobs.call(ChatJobs.sender("whatsapp").next(job, after: []))
    let body = try #require(try ChatJobs.json(request).object)
    for (name, value) in expected.object ?? [:] { #expect(body[name] == value) }
  }

  @Test("tells that it read, and that it writes")
  func receipts() throws {
    let platform = try ChatJobs.sender("whatsapp")
    let read = try ChatJobs.json(ChatJobs.call(platform.next(Self.job(.read(upTo: "wamid.IN")), after: [])))
    #expect(read == ["messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN"])
    let typing = try ChatJobs.json(ChatJobs.call(platform.next(Self.job(.typing(true)), after: [])))
    #expect(
      typing == [
        "messaging_product": "whatsapp", "status": "read", "message_id": "IN-1",
        "typing_indicator": ["type": "text"],
      ])
    #expect(try ChatJobs.receipt(platform.next(Self.job(.typing(false)), after: [])) == SendReceipt())
  }

  static let refused: [(OutboundMessage, SendRefusal.Code)] = [
    (OutboundMessage(kind: .location), .invalidContent), (OutboundMessage(kind: .contact), .invalidContent),
    (OutboundMessage(kind: .poll), .kindNotSupported),
    (OutboundMessage(text: String(repeating: "a", count: 4_097)), .textTooLong),
    (
      OutboundMessage(
        kind: .image, text: String(repeating: "a", count: 1_025),
        files: [ChatJobs.file(.image, "image/png")]), .textTooLong
    ),
    (OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/gif")]), .invalidContent),
    (
      OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/png", size: 5 << 20 + 1)]),
      .invalidContent
    ),
    (
      OutboundMessage(kind: .audio, text: "x", files: [ChatJobs.file(.audio, "audio/ogg")]), .invalidContent
    ),
    (
      OutboundMessage(
        kind: .image, files: [ChatJobs.file(.image, "image/png"), ChatJobs.file(.image, "image/png")]),
      .invalidContent
    ),
  ]

  @Test("refuses before the network", arguments: refused)
  func refuses(message: OutboundMessage, code: SendRefusal.Code) throws {
    #expect(try ChatJobs.refusal("whatsapp", Self.job(.message(message))) == code)
  }

  @Test("needs credentials, and the customer's word within a day")
  func needs() throws {
    let message = OutboundAction.message(OutboundMessage(text: "hi"))
    for name in ["accessToken", "phoneNumberId"] {
      let some = Self.secrets.filter { $0.key != name }
      #expect(try ChatJobs.refusal("whatsapp", ChatJobs.job(message, to: "1", some)) == .missingCredentials)
    }
    var job = Self.job(message)
    job.lastInboundAt = Timestamp(seconds: ChatJobs.now.seconds - 86_401)
    #expect(try ChatJobs.refusal("whatsapp", job) == .replyWindowClosed)
    job.action = .message(OutboundMessage(extras: ["template": ["name": "t"]]))
    #expect(try ChatJobs.refusal("whatsapp", job) == nil)
    #expect(
      try ChatJobs.refusal("whatsapp", Self.job(.edit(OutboundEdit(messageID: "1", text: "x"))))
        == .notSupported)
  }

  static let errors: [(Int, JSONValue, [String: String], APIFailure.Remedy)] = [
    (
      401, ["error": ["code": 190, "message": "expired"]], [:],
      .credentials(action: "give the account a new access token")
    ),
    (400, ["error": ["code": 4]], [:], .pauseApp(seconds: 60)),
    (400, ["error": ["code": 80007]], [:], .pauseAccount(seconds: 60)),
    (429, ["error": ["code": 130429]], [:], .pauseAccount(seconds: 5)),
    (400, ["error": ["code": 131056]], [:], .later(seconds: 6)),
    (400, ["error": ["code": 131048]], [:], .later(seconds: 3_600)),
    (400, ["error": ["code": 131047, "error_data": ["details": "24 hours"]]], [:], .none),
    (400, ["error": ["code": 131026]], [:], .none), (400, ["error": ["code": 131062]], [:], .none),
    (500, ["error": ["code": 131016]], [:], .later(seconds: nil)),
    (500, ["error": ["code": 131000]], [:], .unknown),
    (500, ["error": ["code": 1]], [:], .unknown),
    (400, ["error": ["code": 7, "is_transient": true]], [:], .later(seconds: nil)),
    (
      400, ["error": ["code": 80007]],
      [
        "X-Business-Use-Case-Usage":
          "{\"1\":[{\"type\":\"whatsapp\",\"estimated_time_to_regain_access\":7}]}"
      ], .pauseAccount(seconds: 420)
    ),
    (429, [:], ["Retry-After": "9"], .pauseAccount(seconds: 9)), (502, [:], [:], .unknown),
    (200, [:], [:], .unknown),
    (503, [:], [:], .later(seconds: nil)), (200, ["messages": []], [:], .unknown),
  ]

  @Test("knows what an error means", arguments: errors)
  func error(
    status: Int, json: JSONValue, headers: [String: String], remedy: APIFailure.Remedy
  ) throws {
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    #expect(
      try ChatJobs.remedy("whatsapp", job, ChatJobs.answer(json, status: status, headers: headers)) == remedy)
  }

  @Test("says what the platform said, and sends to another address when told")
  func words() throws {
    let job = Self.job(.message(OutboundMessage(text: "hi")))
    let answer = ChatJobs.answer(
      ["error": ["code": 131047, "message": "m", "error_data": ["details": "more than 24 hours"]]],
      status: 400)
    let failure = try ChatJobs.failure(ChatJobs.sender("whatsapp").next(job, after: [answer]))
    #expect(failure.reason == "131047: more than 24 hours")
    let other = ChatJobs.job(
      job.action, to: "1", Self.secrets.merging(["apiURL": "http://127.0.0.1:9/"]) { $1 })
    let request = try ChatJobs.call(ChatJobs.sender("whatsapp").next(other, after: []))
    #expect(request.url == "http://127.0.0.1:9/v25.0/106540352242922/messages")
  }
}
