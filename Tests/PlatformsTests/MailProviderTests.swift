import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

/// What is each mail provider's own in verifying.
@Suite("Mail providers")
struct MailProviderTests {
  private static let now = Timestamp(seconds: 1_795_219_200)

  private func isTaken(_ platform: any Platform, _ request: WebhookRequest, _ secrets: AccountSecrets) -> Bool
  {
    let verdict = platform.receive(request, WebhookContext(secrets: secrets, now: Self.now))
    if case .accepted = verdict { return true }
    return false
  }

  private func json(_ body: JSONValue) -> WebhookRequest {
    WebhookRequest(headers: [WebhookHeader("Content-Type", "application/json")], body: body.encoded())
  }

  private static let event: JSONValue = ["event-data": ["event": "delivered"]]

  @Test(
    "Mailgun's signature holds for fifteen minutes",
    arguments: [(-900, true), (900, true), (-901, false), (901, false), (0, true)] as [(Int64, Bool)])
  func freshness(seconds: Int64, isTaken: Bool) throws {
    let platform = MailgunPlatform()
    let secrets = AccountSecrets(["signingKey": ["k"]])
    let then = Timestamp(seconds: Self.now.seconds + seconds)
    let signed = try #require(platform.signed(json(Self.event), secrets: secrets, now: then, id: "t"))
    #expect(self.isTaken(platform, signed, secrets) == isTaken)
  }

  /// The signed event with its signature object changed.
  private func changed(
    _ signed: WebhookRequest, _ change: (inout [String: JSONValue]) -> Void
  ) throws -> WebhookRequest {
    var members = try #require(JSONValue(parsing: signed.body).object)
    var signature = try #require(members["signature"]?.object)
    change(&signature)
    members["signature"] = .object(signature)
    return json(.object(members))
  }

  @Test("Mailgun's events of a subaccount are also signed by the account above it")
  func parent() throws {
    let platform = MailgunPlatform()
    let secrets = AccountSecrets(["signingKey": ["parent"]])
    let signed = try #require(platform.signed(json(Self.event), secrets: secrets, now: Self.now, id: "t"))
    let request = try changed(signed) { signature in
      let parent = signature
      signature = ["timestamp": "1795219200", "token": "child", "signature": "00"]
      signature["parent-signature"] = .object(parent)
    }
    #expect(isTaken(platform, request, secrets))
    #expect(!isTaken(platform, request, AccountSecrets(["signingKey": ["other"]])))
  }

  @Test(
    "Mailgun's time and token are part of what is signed",
    arguments: [("timestamp", "1795219201"), ("token", "u"), ("signature", "zz"), ("token", "")])
  func parts(name: String, value: String) throws {
    let platform = MailgunPlatform()
    let secrets = AccountSecrets(["signingKey": ["k"]])
    let signed = try #require(platform.signed(json(Self.event), secrets: secrets, now: Self.now, id: "t"))
    #expect(isTaken(platform, try changed(signed) { _ in }, secrets))
    #expect(!isTaken(platform, try changed(signed) { $0[name] = .string(value) }, secrets))
  }

  @Test("SendGrid's signed requests are not taken by their password", arguments: ["Timestamp", "Signature"])
  func noDowngrade(name: String) throws {
    let platform = SendGridPlatform()
    let secrets = AccountSecrets(["webhookToken": ["t"]])
    var request = try #require(platform.signed(json([]), secrets: secrets, now: Self.now, id: "x"))
    #expect(isTaken(platform, request, secrets))
    request.headers.append(WebhookHeader("x-twilio-email-event-webhook-\(name)", "1"))
    #expect(!isTaken(platform, request, secrets))
  }

  @Test(
    "a token is made where nothing is given, and then nothing is wrong", arguments: ["sendgrid", "postmark"])
  func generated(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    let made = platform.generated(for: AccountSecrets()) { [UInt8](repeating: 7, count: $0) }
    #expect(made.keys.sorted() == ["webhookToken"])
    #expect(platform.fault(in: AccountSecrets(made.mapValues { [$0] })) == nil)
    #expect(platform.generated(for: AccountSecrets(["password": ["p"]])) { _ in [] }.isEmpty)
    #expect(platform.fault(in: AccountSecrets()) != nil)
    #expect(platform.fault(in: AccountSecrets(["password": [""]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["password": ["p"], "username": ["a:b"]])) != nil)
  }

  @Test("a password is only taken as it is", arguments: ["sendgrid", "postmark"])
  func passwords(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    let secrets = AccountSecrets(["username": ["u"], "password": ["p:w"], "webhookToken": ["t"]])
    func request(_ header: String?, query: String = "") -> WebhookRequest {
      WebhookRequest(
        query: query, headers: header.map { [WebhookHeader("Authorization", $0)] } ?? [], body: [])
    }
    func basic(_ pair: String) -> String { "Basic \(Base64.encode(Array(pair.utf8)))" }
    #expect(isTaken(platform, request(basic("u:p:w")), secrets))
    #expect(isTaken(platform, request(basic("u:p:w").replacing("Basic", with: "basic")), secrets))
    #expect(isTaken(platform, request(nil, query: "a=b&token=t"), secrets))
    let wrong = [
      basic("u:p"), basic("u:"), basic(":"), basic("v:p:w"), basic("p:w"), "Basic", "Bearer t", "",
    ]
    for header in wrong { #expect(!isTaken(platform, request(header), secrets)) }
    for query in ["token=", "token=x", "Token=t", "token=tt", "%zz", "token"] {
      #expect(!isTaken(platform, request(nil, query: query), secrets))
    }
  }

  @Test("SendGrid's keys are checked when they are given")
  func keys() {
    let platform = SendGridPlatform()
    #expect(platform.fault(in: AccountSecrets(["publicKey": ["bm8="]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["publicKey": [""]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["testKey": ["no"]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["testKey": [TokenFixture.pem]])) != nil)
  }
}
