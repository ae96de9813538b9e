import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct TwilioSendingTests {
  private static let secrets = ["accountSid": "AC1", "authToken": "t", "from": "+15550001"]
  private static let conversation = "CH" + String(repeating: "a", count: 32)

  private static func job(
    _ message: OutboundMessage, to id: String = "+15550002", _ more: [String: String] = [:]
  ) -> SendJob {
    ChatJobs.job(
      .message(message), to: id, id.hasPrefix("CH") ? .group : .direct, secrets.merging(more) { $1 })
  }

  private static func form(_ job: SendJob) throws -> [String: String] {
    try ChatJobs.form(ChatJobs.call(ChatJobs.sender("twilio").next(job, after: [])))
  }

  @Test("sends a text, and statuses name it")
  func text() throws {
    let platform = try ChatJobs.sender("twilio")
    let job = Self.job(OutboundMessage(text: "hi"))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json")
    #expect(ChatJobs.header(request, "Authorization") == "Basic QUMxOnQ=" && !request.isRepeatable)
    #expect(try ChatJobs.form(request) == ["To": "+15550002", "From": "+15550001", "Body": "hi"])
    let sent = ChatJobs.answer(
      [
        "sid": "SM1", "status": "queued", "date_created": "Fri, 20 Nov 2026 23:59:58 +0000",
        "error_code": nil,
      ], status: 201)
    let receipt = try ChatJobs.receipt(platform.next(job, after: [sent]))
    #expect(receipt == SendReceipt(messageID: "SM1", sentAt: Timestamp(rfc3339: "2026-11-20T23:59:58Z")))
    let body = Array("MessageSid=SM1&MessageStatus=delivered&To=%2B15550002&From=%2B15550001".utf8)
    let read = try #require(PlatformCatalogue.named("twilio"))
    let headers = KeptHeaders([WebhookHeader("content-type", "application/x-www-form-urlencoded")])
    let delivery = WebhookDelivery(body: body, headers: headers, receivedAt: ChatJobs.now)
    let items = try read.normalise(delivery).items
    guard case .status(let status)? = items.first else {
      Issue.record("no status")
      return
    }
    #expect(status.externalID == receipt.messageID && status.conversation == job.conversation)
  }

  @Test("writes over WhatsApp, a service, with files, templates and a callback")
  func fields() throws {
    let whatsapp = try Self.form(Self.job(OutboundMessage(text: "hi"), to: "whatsapp:+15550002"))
    #expect(whatsapp["From"] == "whatsapp:+15550001" && whatsapp["To"] == "whatsapp:+15550002")
    let service = try Self.form(
      Self.job(OutboundMessage(text: "hi"), ["messagingServiceSid": "MG1", "statusCallback": "https://h/s"]))
    #expect(service["MessagingServiceSid"] == "MG1" && service["From"] == nil)
    #expect(service["StatusCallback"] == "https://h/s")
    let files = (1...2).map { ChatJobs.file(.image, "image/png", url: "https://hub.example.com/\($0)") }
    let media = try Self.form(Self.job(OutboundMessage(kind: .image, files: files)))
    #expect(
      media["MediaUrl"] == "https://hub.example.com/1,https://hub.example.com/2" && media["Body"] == nil)
    let template = OutboundMessage(extras: ["contentSid": "HX1", "contentVariables": ["1": "Ana"]])
    let content = try Self.form(Self.job(template))
    #expect(content["ContentSid"] == "HX1" && content["ContentVariables"] == "{\"1\":\"Ana\"}")
  }

  @Test("writes into Conversations")
  func conversations() throws {
    let platform = try ChatJobs.sender("twilio")
    let message = OutboundMessage(text: "hi", extras: ["author": "agent"])
    let job = Self.job(message, to: Self.conversation)
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == "https://conversations.twilio.com/v1/Conversations/\(Self.conversation)/Messages")
    #expect(try ChatJobs.form(request) == ["Author": "agent", "Body": "hi"])
    let sent = ChatJobs.answer(
      ["sid": "IM1", "index": 7, "date_created": "2026-11-20T23:59:58Z"], status: 201)
    let receipt = try ChatJobs.receipt(platform.next(job, after: [sent]))
    #expect(
      receipt == SendReceipt(messageID: "IM1", sentAt: Timestamp(rfc3339: "2026-11-20T23:59:58Z"), order: 7))
  }

  @Test("stores a file before it writes it into a conversation")
  func conversationFiles() throws {
    let platform = try ChatJobs.sender("twilio")
    let file = ChatJobs.file(.image, "image/png", name: "a b.png")
    let message = OutboundMessage(kind: .image, text: "look", files: [file])
    let job = Self.job(message, to: Self.conversation, ["chatServiceSid": "IS1"])
    #expect(try ChatJobs.refusal("twilio", job) == nil)
    let upload = try ChatJobs.call(platform.next(job, after: []))
    #expect(upload.url.hasPrefix("https://mcs.us1.twilio.com/v1/Services/IS1/Media?Filename=a"))
    #expect(upload.body == .file(0, type: "image/png") && upload.isRepeatable)
    let stored = ChatJobs.answer(["sid": "ME1"], status: 201)
    let send = try ChatJobs.call(platform.next(job, after: [stored]))
    #expect(try ChatJobs.form(send) == ["Body": "look", "MediaSid": "ME1"])
    let sent = ChatJobs.answer(["sid": "IM1"], status: 201)
    #expect(try ChatJobs.receipt(platform.next(job, after: [stored, sent])).messageID == "IM1")
    #expect(try ChatJobs.remedy("twilio", job, ChatJobs.answer([:], status: 500)) == .later(seconds: nil))
  }

  @Test("refuses before the network")
  func refuses() throws {
    let file = ChatJobs.file(.image, "image/png", url: "https://hub.example.com/1")
    let cases: [(OutboundMessage, String, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), "+1", .invalidContent),
      (OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/png")]), "+1", .invalidContent),
      (OutboundMessage(kind: .image, files: Array(repeating: file, count: 11)), "+1", .invalidContent),
      (OutboundMessage(kind: .image, files: [file]), Self.conversation, .missingCredentials),
      (OutboundMessage(text: String(repeating: "a", count: 1_601)), "+1", .textTooLong),
      (OutboundMessage(kind: .location), "+1", .kindNotSupported),
    ]
    for (message, to, code) in cases {
      #expect(try ChatJobs.refusal("twilio", Self.job(message, to: to)) == code)
    }
    for name in ["accountSid", "authToken", "from"] {
      let some = Self.secrets.filter { $0.key != name }
      let job = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "+1", some)
      #expect(try ChatJobs.refusal("twilio", job) == .missingCredentials)
    }
  }

  static let errors: [(Int, JSONValue, APIFailure.Remedy)] = [
    (400, ["code": 21_211, "message": "Invalid 'To'"], .none), (400, ["code": 63_016], .none),
    (400, ["code": 21_610], .none),
    (429, ["code": 20_429, "message": "Too many"], .pauseAccount(seconds: 5)),
    (400, ["code": 21_611], .later(seconds: 60)),
    (401, ["code": 20_003], .credentials(action: "give the account its SID and auth token")),
    (500, [:], .unknown),
    (201, ["sid": "SM1", "status": "failed", "error_code": 30_007, "error_message": "filtered"], .none),
    (201, [:], .unknown),
  ]

  @Test("refuses what is only told")
  func oneWay() throws {
    for action in [OutboundAction.read(upTo: "1"), .typing(true)] {
      let job = ChatJobs.job(action, to: "1", Self.secrets)
      #expect(try ChatJobs.refusal("twilio", job) == .notSupported)
    }
  }

  @Test("knows what an error means", arguments: errors)
  func error(status: Int, json: JSONValue, remedy: APIFailure.Remedy) throws {
    let job = Self.job(OutboundMessage(text: "hi"))
    #expect(try ChatJobs.remedy("twilio", job, ChatJobs.answer(json, status: status)) == remedy)
  }
}
