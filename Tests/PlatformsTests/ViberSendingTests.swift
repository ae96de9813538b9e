import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct ViberSendingTests {
  private static let secrets = ["authToken": "445d", "senderName": "Support"]

  private static func job(_ message: OutboundMessage) -> SendJob {
    ChatJobs.job(.message(message), to: "01234567890A=", secrets)
  }

  private static let url = "https://hub.example.com/f/1"

  @Test("sends a text, and statuses name it exactly")
  func text() throws {
    let platform = try ChatJobs.sender("viber")
    let job = Self.job(OutboundMessage(text: "hi"))
    let request = try ChatJobs.call(platform.next(job, after: []))
    #expect(request.url == "https://chatapi.viber.com/pa/send_message" && !request.isRepeatable)
    #expect(ChatJobs.header(request, "X-Viber-Auth-Token") == "445d")
    #expect(
      try ChatJobs.json(request) == [
        "receiver": "01234567890A=", "type": "text", "text": "hi", "sender": ["name": "Support"],
        "tracking_data": .string(ChatJobs.key),
      ])
    let sent = APIAnswer(
      status: 200,
      body: Array(#"{"status":0,"status_message":"ok","message_token":5741311803571721087}"#.utf8))
    let receipt = try ChatJobs.receipt(platform.next(job, after: [sent]))
    #expect(receipt == SendReceipt(messageID: "5741311803571721087"))
    let items = try ChatJobs.read(
      "viber",
      [
        "event": "seen", "timestamp": 1_795_219_201_000, "message_token": 5_741_311_803_571_721_087,
        "user_id": "01234567890A=",
      ])
    guard case .status(let status)? = items.first else {
      Issue.record("no status")
      return
    }
    #expect(status.externalID == receipt.messageID && status.conversation == job.conversation)
  }

  @Test("sends every content")
  func contents() throws {
    let cases: [(OutboundMessage, JSONValue)] = [
      (
        OutboundMessage(
          kind: .image, text: "look", files: [ChatJobs.file(.image, "image/jpeg", url: Self.url)]),
        ["type": "picture", "text": "look", "media": .string(Self.url)]
      ),
      (
        OutboundMessage(
          kind: .video, files: [ChatJobs.file(.video, "video/mp4", size: 9, url: Self.url)],
          extras: ["duration": 3]),
        ["type": "video", "media": .string(Self.url), "size": 9, "duration": 3]
      ),
      (
        OutboundMessage(
          kind: .file, files: [ChatJobs.file(.file, "application/pdf", name: "a.pdf", size: 9, url: Self.url)]
        ),
        ["type": "file", "media": .string(Self.url), "size": 9, "file_name": "a.pdf"]
      ),
      (
        OutboundMessage(kind: .sticker, extras: ["sticker_id": 46_105]),
        ["type": "sticker", "sticker_id": 46_105]
      ),
      (
        OutboundMessage(kind: .location, extras: ["location": ["lat": 1, "lon": 2]]),
        ["type": "location", "location": ["lat": 1, "lon": 2]]
      ),
      (
        OutboundMessage(kind: .contact, extras: ["contact": ["name": "A", "phone_number": "1"]]),
        ["type": "contact", "contact": ["name": "A", "phone_number": "1"]]
      ),
      (
        OutboundMessage(text: "x", extras: ["keyboard": ["Type": "keyboard"]]),
        ["type": "text", "text": "x", "keyboard": ["Type": "keyboard"]]
      ),
    ]
    for (message, expected) in cases {
      #expect(try ChatJobs.refusal("viber", Self.job(message)) == nil)
      let body = try ChatJobs.json(ChatJobs.call(ChatJobs.sender("viber").next(Self.job(message), after: [])))
      let rest = (body.object ?? [:]).filter { !["receiver", "sender", "tracking_data"].contains($0.key) }
      #expect(.object(rest) == expected)
    }
  }

  @Test("refuses before the network")
  func refuses() throws {
    let picture = ChatJobs.file(.image, "image/jpeg", url: Self.url)
    let cases: [(OutboundMessage, SendRefusal.Code)] = [
      (OutboundMessage(text: ""), .invalidContent), (OutboundMessage(kind: .sticker), .invalidContent),
      (OutboundMessage(kind: .image, files: [ChatJobs.file(.image, "image/jpeg")]), .invalidContent),
      (OutboundMessage(kind: .image, files: [picture, picture]), .invalidContent),
      (
        OutboundMessage(
          kind: .image, files: [ChatJobs.file(.image, "image/jpeg", size: 1 << 20 + 1, url: Self.url)]),
        .invalidContent
      ),
      (
        OutboundMessage(kind: .file, text: "x", files: [ChatJobs.file(.file, "text/plain", url: Self.url)]),
        .invalidContent
      ), (OutboundMessage(text: "x", replyTo: "1"), .notSupported),
      (OutboundMessage(text: String(repeating: "a", count: 7_001)), .textTooLong),
    ]
    for (message, code) in cases { #expect(try ChatJobs.refusal("viber", Self.job(message)) == code) }
    let message = OutboundAction.message(OutboundMessage(text: "x"))
    #expect(
      try ChatJobs.refusal("viber", ChatJobs.job(message, to: "1", ["authToken": "t"])) == .missingCredentials
    )
    #expect(
      try ChatJobs.refusal("viber", ChatJobs.job(message, to: "g", .group, Self.secrets)) == .notSupported)
  }

  static let errors: [(Int64, APIFailure.Remedy)] = [
    (12, .pauseAccount(seconds: 5)), (2, .credentials(action: "give the account the bot's token")),
    (3, .none), (5, .none),
    (6, .none), (10, .credentials(action: "set the bot's webhook to the account's URL")),
    (24, .credentials(action: "see to the bot's billing")), (99, .unknown), (-1, .unknown),
  ]

  @Test("refuses what is only told")
  func oneWay() throws {
    for action in [OutboundAction.read(upTo: "1"), .typing(true)] {
      let job = ChatJobs.job(action, to: "1", Self.secrets)
      #expect(try ChatJobs.refusal("viber", job) == .notSupported)
    }
  }

  @Test("knows what a status means", arguments: errors)
  func error(status: Int64, remedy: APIFailure.Remedy) throws {
    let answer = ChatJobs.answer(["status": .integer(status), "status_message": "words"])
    let job = Self.job(OutboundMessage(text: "x"))
    let failure = try ChatJobs.failure(ChatJobs.sender("viber").next(job, after: [answer]))
    #expect(failure == APIFailure("\(status): words", remedy))
    #expect(try ChatJobs.remedy("viber", job, ChatJobs.answer([:], status: 502)) == .unknown)
    #expect(try ChatJobs.remedy("viber", job, ChatJobs.answer([:])) == .unknown)
  }
}
