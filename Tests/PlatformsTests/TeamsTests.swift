import Bytes
import JSON
import Platforms
import Security
import Testing

@Suite("Microsoft Teams")
struct TeamsTests {
  private static let keysURL = "https://login.botframework.com/v1/.well-known/openidconfiguration"
  private static let body = #"{"type":"message","serviceUrl":"https://smba.example/","channelId":"msteams"}"#
  private static let now = TokenFixture.now.seconds

  private static let claims: [String: JSONValue] = [
    "iss": "https://api.botframework.com", "aud": "app-1", "serviceurl": "https://smba.example/",
    "nbf": .integer(now - 60), "exp": .integer(now + 3_600),
  ]

  private func platform(_ name: String = "teams") throws -> any Platform {
    try #require(PlatformCatalogue.named(name))
  }

  private func verdict(
    _ changes: [String: JSONValue] = [:], body: String = body, endorsements: JSONValue = ["msteams"],
    secrets: AccountSecrets = AccountSecrets(["appId": ["app-2", "app-1"]]), id: String? = TokenFixture.keyID
  ) throws -> WebhookVerdict {
    let bearer = try TokenFixture.bearer(Self.claims.merging(changes) { $1 }, id: id)
    let keys = try TokenFixture.keySet(["endorsements": endorsements])
    return try platform().receive(
      WebhookRequest(headers: [bearer], body: Array(body.utf8)),
      WebhookContext(secrets: secrets, now: TokenFixture.now, keySets: [Self.keysURL: keys]))
  }

  private func isAccepted(
    _ changes: [String: JSONValue] = [:], body: String = body, endorsements: JSONValue = ["msteams"]
  ) throws -> Bool {
    TokenFixture.isAccepted(try verdict(changes, body: body, endorsements: endorsements))
  }

  @Test("demands each claim, with five minutes of leeway")
  func claims() throws {
    #expect(try isAccepted())
    #expect(try isAccepted(["exp": .integer(Self.now - 299)]))
    #expect(try isAccepted(["nbf": .integer(Self.now + 300)]))
    let wrong: [[String: JSONValue]] = [
      ["exp": .integer(Self.now - 300)], ["exp": nil], ["nbf": .integer(Self.now + 301)],
      ["iss": "https://sts.windows.net/x/"], ["iss": nil], ["aud": "app-3"], ["aud": nil],
      ["aud": ["app-1", "app-3"]], ["serviceurl": "https://smba.example"], ["serviceurl": nil],
    ]
    for changes in wrong { #expect(try !isAccepted(changes), "\(changes)") }
  }

  @Test("binds the token to the activity's service and channel")
  func binding() throws {
    #expect(try !isAccepted(endorsements: ["webchat"]))
    #expect(try !isAccepted(endorsements: []))
    #expect(try !isAccepted(body: #"{"serviceUrl":"https://evil.example/","channelId":"msteams"}"#))
    #expect(try !isAccepted(body: #"{"serviceUrl":"https://smba.example/","channelId":"webchat"}"#))
    #expect(try !isAccepted(body: #"{"serviceUrl":"https://smba.example/"}"#))
    #expect(try !isAccepted(body: #"{"channelId":"msteams"}"#))
    #expect(try !isAccepted(["serviceurl": nil], body: #"{"serviceUrl":null,"channelId":"msteams"}"#))
    #expect(try !isAccepted(body: "[]"))
    #expect(try verdict(secrets: AccountSecrets()) != .accepted(.ok))
  }

  @Test("asks for the keys when the token names one that is not there")
  func keys() throws {
    #expect(try verdict(id: "rotated") == .needsKeys(url: Self.keysURL))
    let request = WebhookRequest(
      headers: [try TokenFixture.bearer(Self.claims)], body: Array(Self.body.utf8))
    let context = WebhookContext(secrets: AccountSecrets(["appId": ["app-1"]]), now: TokenFixture.now)
    #expect(try platform().receive(request, context) == .needsKeys(url: Self.keysURL))
  }

  @Test(
    "refuses other headers", arguments: ["", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer a.b.c"])
  func headers(value: String) throws {
    let context = WebhookContext(secrets: AccountSecrets(["appId": ["app-1"]]), now: TokenFixture.now)
    let verdict = try platform().receive(
      WebhookRequest(headers: [WebhookHeader("Authorization", value)], body: Array(Self.body.utf8)), context)
    guard case .refused = verdict else {
      Issue.record("\(verdict)")
      return
    }
  }

  @Test("an invoke is answered with a document")
  func invoke() throws {
    let body = #"{"type":"invoke","serviceUrl":"https://smba.example/","channelId":"msteams"}"#
    #expect(try verdict(body: body) == .accepted(.json([:])))
    #expect(try verdict() == .accepted(.ok))
  }

  @Test("takes what it signs with a test key, and only while the account has it")
  func simulation() throws {
    let platform = try platform()
    let plain = WebhookRequest(headers: [], body: Array(Self.body.utf8))
    let production = AccountSecrets(["appId": ["app-1"]])
    let secrets = AccountSecrets(["appId": ["app-1"], "testKey": [TokenFixture.pem]])
    let now = TokenFixture.now
    #expect(platform.signed(plain, secrets: production, now: now, id: "1") == nil)
    let signed = try #require(platform.signed(plain, secrets: secrets, now: now, id: "1"))
    func isAccepted(_ request: WebhookRequest, _ secrets: AccountSecrets, at now: Timestamp) -> Bool {
      TokenFixture.isAccepted(platform.receive(request, WebhookContext(secrets: secrets, now: now)))
    }
    #expect(isAccepted(signed, secrets, at: now))
    #expect(!isAccepted(signed, production, at: now))
    #expect(!isAccepted(signed, secrets, at: Timestamp(seconds: now.seconds + 3_900)))
    let value = try #require(signed.header("Authorization"))
    let spoilt = WebhookHeader("Authorization", String(value.dropLast(4)) + "AAAA")
    #expect(!isAccepted(plain.adding(spoilt), secrets, at: now))
    #expect(platform.fault(in: secrets) == nil)
    #expect(platform.fault(in: AccountSecrets(["appId": ["app-1"], "testKey": ["x"]])) != nil)
    #expect(platform.fault(in: AccountSecrets()) != nil)
  }

  @Test("an outgoing webhook takes each of its tokens, and no other byte")
  func outgoing() throws {
    let platform = try platform("teams-outgoing-webhook")
    let old = AccountSecrets(["securityToken": [Base64.encode(Array("old key".utf8))]])
    let both = AccountSecrets([
      "securityToken": [Base64.encode(Array("new key".utf8)), Base64.encode(Array("old key".utf8))],
      "answer": ["Noted."],
    ])
    let plain = WebhookRequest(headers: [], body: Array(Self.body.utf8))
    let now = TokenFixture.now
    let signed = try #require(platform.signed(plain, secrets: old, now: now, id: "1"))
    let answer = WebhookVerdict.accepted(.json(["type": "message", "text": "Noted."]))
    #expect(platform.receive(signed, WebhookContext(secrets: both, now: now)) == answer)
    for index in signed.body.indices {
      var changed = signed
      changed.body[index] ^= 1
      #expect(!TokenFixture.isAccepted(platform.receive(changed, WebhookContext(secrets: both, now: now))))
    }
    let bare = WebhookHeader(
      "Authorization", try #require(signed.header("Authorization")?.dropFirst(5)).description)
    #expect(
      !TokenFixture.isAccepted(platform.receive(plain.adding(bare), WebhookContext(secrets: both, now: now))))
    #expect(!TokenFixture.isAccepted(platform.receive(plain, WebhookContext(secrets: both, now: now))))
    #expect(platform.fault(in: AccountSecrets(["securityToken": [""]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["securityToken": ["?"]])) != nil)
  }
}
