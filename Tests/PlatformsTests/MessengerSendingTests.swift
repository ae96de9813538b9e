import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Messenger and Instagram.
@Suite struct MessengerSendingTests {
  private static let page = ["accessToken": "EAA", "pageId": "PAGE"]
  private static let instagram = ["accessToken": "IGA", "instagramAccountId": "IG"]

  private static func job(_ action: OutboundAction, isInstagram: Bool = false) -> SendJob {
    ChatJobs.job(action, to: "PSID", isInstagram ? instagram : page)
  }

  private static let sent = ChatJobs.answer(["recipient_id": "PSID", "message_id": "m_1"])

  @Test("sends a text, and knows it again in the page's echo")
  func text() throws {
    let platform = try ChatJobs.sender("messenger")
    let job = Self.job(.message(OutboundMessage(text: "hi", replyTo: "m_0")))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == "https://graph.facebook.com/v25.0/PAGE/messages" && !request.isRepeatable)
    #expect(ChatJobs.header(request, "Authorization") == "Bearer EAA")
    #expect(
      try ChatJobs.json(request) == [
        "recipient": ["id": "PSID"], "messaging_type": "RESPONSE", "reply_to": ["mid": "m_0"],
        "message": ["text": "hi", "metadata": .string(ChatJobs.key)],
      ])
    let receipt = try ChatJobs.receipt(platform.next(job, after: [Self.sent]))
    let echo: JSONValue = [
      "sender": ["id": "PAGE"], "recipient": ["id": "PSID"], "timestamp": 1_795_219_201_000,
      "message": ["mid": "m_1", "is_echo": true, "metadata": .string(ChatJobs.key), "text": "hi"],
    ]
    let items = try ChatJobs.read("messenger", ["entry": [["id": "PAGE", "messaging": [echo]]]])
    guard case .message(let message)? = items.first else {
      Issue.record("no message")
      return
    }
    #expect(message.externalID == receipt.messageID && message.text == "hi" && message.direction == .outbound)
    #expect(message.conversation == job.conversation)
    #expect(message.details?["clientKey"]?.string == ChatJobs.key)
  }

  @Test("sends a file in one call, by upload or by its address")
  func files() throws {
    let file = ChatJobs.file(.image, "image/png", name: "a.png", url: "https://hub.example.com/f/1")
    let message = OutboundAction.message(OutboundMessage(kind: .image, files: [file]))
    let upload = try ChatJobs.call(ChatJobs.sender("messenger").next(Self.job(message), after: []))
    #expect(
      try ChatJobs.parts(upload) == [
        APIPart(
          "message",
          "{\"attachment\":{\"payload\":{\"is_reusable\":false},\"type\":\"image\"},\"metadata\":\"\(ChatJobs.key)\"}"
        ), APIPart("messaging_type", "RESPONSE"), APIPart("recipient", "{\"id\":\"PSID\"}"),
        APIPart("filedata", file: 0, filename: "a.png", type: "image/png"),
      ])
    let job = Self.job(message, isInstagram: true)
    let request = try ChatJobs.call(ChatJobs.sender("instagram").next(job, after: []))
    #expect(request.url == "https://graph.facebook.com/v25.0/me/messages")
    #expect(
      try ChatJobs.json(request)["message"] == [
        "attachment": ["type": "image", "payload": ["url": "https://hub.example.com/f/1"]]
      ])
  }

  @Test("reacts, tells that it read and that it writes")
  func actions() throws {
    let platform = try ChatJobs.sender("messenger")
    let cases: [(OutboundAction, JSONValue)] = [
      (
        .react(messageID: "m_0", emoji: "😊", isSet: true),
        ["sender_action": "react", "payload": ["message_id": "m_0", "reaction": "😊"]]
      ),
      (
        .react(messageID: "m_0", emoji: "😊", isSet: false),
        ["sender_action": "unreact", "payload": ["message_id": "m_0"]]
      ), (.read(upTo: "m_0"), ["sender_action": "mark_seen"]),
      (.typing(true), ["sender_action": "typing_on"]), (.typing(false), ["sender_action": "typing_off"]),
    ]
    for (action, expected) in cases {
      #expect(try ChatJobs.refusal("messenger", Self.job(action)) == nil)
      let request = try ChatJobs.call(platform.next(Self.job(action), after: []))
      let whole = (expected.object ?? [:]).merging(["recipient": ["id": "PSID"]]) { $1 }
      #expect(try ChatJobs.json(request) == .object(whole) && request.isRepeatable)
      let answer = ChatJobs.answer(["recipient_id": "PSID"])
      #expect(try ChatJobs.receipt(platform.next(Self.job(action), after: [answer])) == SendReceipt())
    }
    let heart = Self.job(.react(messageID: "m_0", emoji: "❤️", isSet: true), isInstagram: true)
    let request = try ChatJobs.call(ChatJobs.sender("instagram").next(heart, after: []))
    #expect(try ChatJobs.json(request)["payload"]?["reaction"] == "love")
  }

  @Test("sends tags, quick replies and templates")
  func extras() throws {
    let message = OutboundMessage(
      text: "hi", extras: ["tag": "HUMAN_AGENT", "quick_replies": [["content_type": "text"]]])
    var job = Self.job(.message(message))
    job.lastInboundAt = Timestamp(seconds: ChatJobs.now.seconds - 200_000)
    #expect(try ChatJobs.refusal("messenger", job) == nil)
    let body = try ChatJobs.json(ChatJobs.call(ChatJobs.sender("messenger").next(job, after: [])))
    #expect(body["messaging_type"] == "MESSAGE_TAG" && body["tag"] == "HUMAN_AGENT")
    #expect(body["message"]?["quick_replies"] == [["content_type": "text"]])
    let template = OutboundMessage(extras: ["attachment": ["type": "template", "payload": [:]]])
    let other = try ChatJobs.json(
      ChatJobs.call(ChatJobs.sender("messenger").next(Self.job(.message(template)), after: [])))
    #expect(other["message"]?["attachment"]?["type"] == "template" && other["message"]?["text"] == nil)
  }

  @Test("refuses before the network")
  func refuses() throws {
    let image = ChatJobs.file(.image, "image/png")
    let cases: [(OutboundMessage, Bool, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), false, .invalidContent),
      (OutboundMessage(kind: .image, text: "x", files: [image]), false, .invalidContent),
      (OutboundMessage(kind: .image, files: [image, image]), false, .invalidContent),
      (
        OutboundMessage(kind: .video, files: [ChatJobs.file(.video, "video/mp4", size: 25 << 20 + 1)]), false,
        .invalidContent
      ), (OutboundMessage(kind: .image, files: [image]), true, .invalidContent),
      (OutboundMessage(text: String(repeating: "é", count: 501)), true, .textTooLong),
      (OutboundMessage(kind: .location), false, .kindNotSupported),
    ]
    for (message, isInstagram, code) in cases {
      let job = Self.job(.message(message), isInstagram: isInstagram)
      #expect(try ChatJobs.refusal(isInstagram ? "instagram" : "messenger", job) == code)
    }
    let bare = ChatJobs.job(.message(OutboundMessage(text: "x")), to: "P", ["pageId": "PAGE"])
    #expect(try ChatJobs.refusal("messenger", bare) == .missingCredentials)
  }

  static let errors: [(Int, JSONValue, APIFailure.Remedy)] = [
    (400, ["error": ["code": 613]], .pauseAccount(seconds: 60)),
    (400, ["error": ["code": 32]], .pauseAccount(seconds: 60)),
    (400, ["error": ["code": 4]], .pauseApp(seconds: 60)),
    (400, ["error": ["code": 10, "error_subcode": 2_018_278]], .none), (400, ["error": ["code": 551]], .none),
    (400, ["error": ["code": 100, "message": "No matching user found"]], .none),
    (400, ["error": ["code": 1200]], .later(seconds: nil)), (500, ["error": ["code": 2]], .unknown),
    (400, ["error": ["code": 190]], .credentials(action: "give the account a new access token")),
    (
      403, ["error": ["code": 200]],
      .credentials(action: "give the account a token with the permissions that its README names")
    ), (504, [:], .unknown), (200, ["recipient_id": "PSID"], .unknown),
  ]

  @Test("knows what an error means", arguments: errors)
  func error(status: Int, json: JSONValue, remedy: APIFailure.Remedy) throws {
    for name in ["messenger", "instagram"] {
      let job = Self.job(.message(OutboundMessage(text: "hi")), isInstagram: name == "instagram")
      #expect(try ChatJobs.remedy(name, job, ChatJobs.answer(json, status: status)) == remedy)
    }
    // Saying again that one writes is harmless.
    let job = Self.job(.typing(true))
    #expect(try ChatJobs.remedy("messenger", job, ChatJobs.answer([:], status: 502)) == .later(seconds: nil))
  }
}
