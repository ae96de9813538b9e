import Bytes
import Foundation
import JSON
import Platforms
import Testing

/// Every platform's own signature: what is signed is taken, with any of several secrets, and nothing else.
@Suite struct SigningTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let platform: String
    let sample: String
    /// The first value is the account's new one, the second the one that is still valid.
    let secrets: [String: [String]]
    /// Credentials that are not secrets.
    var rest: [String: [String]] = [:]
    /// Some platforms send their secret instead of signing what they send.
    var coversBody = true

    var testDescription: String { "\(platform) \(secrets.keys.sorted())" }
  }

  private static let seeds = [String(repeating: "01", count: 32), String(repeating: "02", count: 32)]

  static let cases = [
    Case(
      platform: "telegram", sample: "text", secrets: ["webhookSecret": ["new", "old"]], coversBody: false),
    Case(
      platform: "custom", sample: "text",
      secrets: [
        "webhookSecret": ["n", "o"].map {
          "whsec_" + Base64.encode(Array(String(repeating: $0, count: 32).utf8))
        }
      ]),
    Case(
      platform: "teams-outgoing-webhook", sample: "text",
      secrets: ["securityToken": ["new", "old"].map { Base64.encode(Array($0.utf8)) }]),
    Case(platform: "whatsapp", sample: "text", secrets: ["appSecret": ["new", "old"]]),
    Case(platform: "messenger", sample: "text", secrets: ["appSecret": ["new", "old"]]),
    Case(platform: "instagram", sample: "text", secrets: ["appSecret": ["new", "old"]]),
    Case(platform: "slack", sample: "text", secrets: ["signingSecret": ["new", "old"]]),
    Case(platform: "slack", sample: "button", secrets: ["signingSecret": ["new", "old"]]),
    Case(
      platform: "discord", sample: "button", secrets: ["testKey": seeds],
      rest: ["publicKey": [String(repeating: "a", count: 64)]]),
    Case(platform: "line", sample: "text", secrets: ["channelSecret": ["new", "old"]]),
    Case(platform: "viber", sample: "text", secrets: ["authToken": ["new", "old"]]),
    Case(platform: "twilio", sample: "sms", secrets: ["authToken": ["new", "old"]]),
    Case(platform: "twilio", sample: "conversation_json", secrets: ["authToken": ["new", "old"]]),
    Case(
      platform: "twilio", sample: "sms", secrets: ["sharedKey": ["new", "old"]],
      rest: ["sharedKeyId": ["key-1"]]),
  ]

  static let more = [
    Case(platform: "x", sample: "text", secrets: ["consumerSecret": ["new", "old"]]),
    Case(platform: "linkedin", sample: "comment", secrets: ["clientSecret": ["new", "old"]]),
    Case(platform: "intercom", sample: "replied", secrets: ["clientSecret": ["new", "old"]]),
    Case(platform: "mastodon", sample: "status", secrets: ["webhookSecret": ["new", "old"]]),
    Case(platform: "matrix", sample: "text", secrets: ["hsToken": ["new", "old"]], coversBody: false),
    Case(platform: "mattermost", sample: "text", secrets: ["token": ["new", "old"]], coversBody: false),
    Case(platform: "mattermost", sample: "form", secrets: ["token": ["new", "old"]], coversBody: false),
    Case(platform: "rocketchat", sample: "text", secrets: ["token": ["new", "old"]], coversBody: false),
    Case(
      platform: "rocketchat", sample: "livechat", secrets: ["livechatToken": ["new", "old"]],
      coversBody: false),
    Case(
      platform: "zalo", sample: "text", secrets: ["oaSecret": ["new", "old"]], rest: ["appId": ["2553928453"]]
    ),
    Case(
      platform: "kakaotalk", sample: "text", secrets: ["headerSecret": ["new", "old"]], coversBody: false),
    Case(platform: "signal", sample: "text", secrets: ["token": ["new", "old"]], coversBody: false),
    Case(platform: "vonage", sample: "text", secrets: ["signatureSecret": ["new", "old"]]),
    Case(platform: "vonage", sample: "sms_post", secrets: ["signatureSecret": ["new", "old"]]),
    Case(platform: "messagebird", sample: "text", secrets: ["signingKey": ["new", "old"]]),
    Case(platform: "bird", sample: "text", secrets: ["signingKey": ["new", "old"]]),
    Case(platform: "wechat", sample: "text", secrets: ["token": ["new", "old"]], coversBody: false),
    Case(
      platform: "wechat", sample: "text",
      secrets: ["encodingAESKey": ["n", "o"].map { String(repeating: $0, count: 42) + "A" }],
      rest: ["token": ["t"], "appId": ["wx1"]]),
    Case(
      platform: "teams-graph", sample: "created_without_data", secrets: ["clientState": ["new", "old"]],
      coversBody: false),
    Case(platform: "zulip", sample: "direct", secrets: ["token": ["new", "old"]], coversBody: false),
  ]

  static let mail = [
    Case(platform: "mailgun", sample: "text", secrets: ["signingKey": ["new", "old"]], coversBody: false),
    Case(
      platform: "mailgun", sample: "attachments", secrets: ["signingKey": ["new", "old"]], coversBody: false),
    Case(
      platform: "mailgun", sample: "event_delivered", secrets: ["signingKey": ["new", "old"]],
      coversBody: false),
    Case(platform: "sendgrid", sample: "events", secrets: ["testKey": TokenFixture.p256]),
    Case(platform: "sendgrid", sample: "attachments", secrets: ["testKey": TokenFixture.p256]),
    Case(
      platform: "sendgrid", sample: "text", secrets: ["password": ["new", "old"]], rest: ["username": ["u"]],
      coversBody: false),
    Case(platform: "sendgrid", sample: "text", secrets: ["webhookToken": ["new", "old"]], coversBody: false),
    Case(
      platform: "postmark", sample: "text", secrets: ["password": ["new", "old"]], rest: ["username": ["u"]],
      coversBody: false),
    Case(
      platform: "postmark", sample: "delivery", secrets: ["webhookToken": ["n+w", "old"]], coversBody: false),
  ]

  private static let now = Timestamp(seconds: 1_795_219_200)

  private static func request(_ test: Case) throws -> WebhookRequest {
    let url = SampleTests.root.appending(path: "Webhooks/\(test.platform)/samples/\(test.sample).json")
    let sample = try #require(WebhookSample(JSONValue(parsing: Data(contentsOf: url))))
    return sample.request(url: "https://hub.example.com/webhooks/\(test.platform)/key")
  }

  @Test("takes what is signed with a valid secret, new or old", arguments: cases + more + mail)
  func takes(test: Case) throws {
    let platform = try #require(PlatformCatalogue.named(test.platform))
    let all = AccountSecrets(test.secrets.merging(test.rest) { $1 })
    #expect(platform.fault(in: all) == nil)
    for index in 0..<2 {
      let one = AccountSecrets(test.secrets.mapValues { [$0[index]] }.merging(test.rest) { $1 })
      let signed = try #require(
        platform.signed(try Self.request(test), secrets: one, now: Self.now, id: "msg_1"))
      #expect(Self.isTaken(signed, all, platform))
      let stranger = AccountSecrets(
        test.secrets.mapValues { _ in [Self.other(test)] }.merging(test.rest) { $1 })
      #expect(!Self.isTaken(signed, stranger, platform))
      #expect(!Self.isTaken(signed, AccountSecrets(), platform))
    }
  }

  @Test("refuses what was changed, left out or said twice", arguments: cases + more + mail)
  func refuses(test: Case) throws {
    let platform = try #require(PlatformCatalogue.named(test.platform))
    let secrets = AccountSecrets(test.secrets.merging(test.rest) { $1 })
    let plain = try Self.request(test)
    // Signed with one: Standard Webhooks sign with all, and one good signature among them is enough.
    let one = AccountSecrets(test.secrets.mapValues { [$0[0]] }.merging(test.rest) { $1 })
    let signed = try #require(platform.signed(plain, secrets: one, now: Self.now, id: "msg_1"))
    let added = Array(signed.headers.dropFirst(plain.headers.count))
    for header in added {
      var without = signed
      without.headers.removeAll { $0 == header }
      #expect(!Self.isTaken(without, secrets, platform))
      var twice = signed
      twice.headers.append(header)
      #expect(!Self.isTaken(twice, secrets, platform))
      var longer = without
      longer.headers.append(WebhookHeader(header.name, header.value + "x"))
      #expect(!Self.isTaken(longer, secrets, platform))
      var empty = without
      empty.headers.append(WebhookHeader(header.name, ""))
      #expect(!Self.isTaken(empty, secrets, platform))
    }
    guard test.coversBody else { return }
    for place in stride(from: 0, to: signed.body.count, by: max(1, signed.body.count / 97)) {
      var changed = signed
      changed.body[place] ^= 1
      #expect(!Self.isTaken(changed, secrets, platform))
    }
    var cut = signed
    cut.body.removeLast()
    #expect(!Self.isTaken(cut, secrets, platform))
  }

  /// Those with tokens by the platform's own key have tests of their own, with several ids.
  @Test("judges every platform")
  func isComplete() {
    let judged = Set((Self.cases + Self.more + Self.mail).map(\.platform)).union(["teams", "google-chat"])
    let senders = PlatformCatalogue.all.filter(\.hasWebhook).map(\.name.rawValue)
    #expect(senders.filter { !judged.contains($0) } == [])
  }

  @Test("refuses what is from another time", arguments: ["slack", "discord"])
  func refusesStale(name: String) throws {
    let test = try #require(Self.cases.first { $0.platform == name })
    let platform = try #require(PlatformCatalogue.named(name))
    let secrets = AccountSecrets(test.secrets.merging(test.rest) { $1 })
    for (seconds, isTaken) in [(-300, true), (300, true), (-301, false), (301, false)] as [(Int64, Bool)] {
      let then = Timestamp(seconds: Self.now.seconds + seconds)
      let signed = try #require(
        platform.signed(try Self.request(test), secrets: secrets, now: then, id: "msg_1"))
      #expect(Self.isTaken(signed, secrets, platform) == isTaken)
    }
  }

  /// A usable secret that nobody signed with.
  private static func other(_ test: Case) -> String {
    switch test.platform {
    case "discord": String(repeating: "03", count: 32)
    case "custom": "whsec_" + Base64.encode([UInt8](repeating: 3, count: 32))
    case "teams-outgoing-webhook": Base64.encode(Array("other".utf8))
    case "wechat" where test.rest["appId"] != nil: String(repeating: "x", count: 42) + "A"
    default: "other"
    }
  }

  private static func isTaken(
    _ request: WebhookRequest, _ secrets: AccountSecrets, _ platform: any Platform
  ) -> Bool {
    switch platform.receive(request, WebhookContext(secrets: secrets, now: now)) {
    case .accepted: true
    case .answer, .refused, .needsKeys: false
    }
  }
}
