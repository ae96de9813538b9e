import Bytes
import JSON
import Messaging
import Platforms
import Security
import Testing

@Suite("Google Chat")
struct GoogleChatTests {
  private static let chat = "chat@system.gserviceaccount.com"
  private static let projectKeys = "https://www.googleapis.com/service_accounts/v1/metadata/x509/\(chat)"
  private static let identityKeys = "https://www.googleapis.com/oauth2/v1/certs"
  private static let url = "https://hub.example.com/webhooks/google-chat/key"
  private static let now = TokenFixture.now.seconds

  private static let project: [String: JSONValue] = [
    "iss": .string(chat), "aud": "1234567890", "iat": .integer(now - 30), "exp": .integer(now + 3_570),
  ]

  private static let identity: [String: JSONValue] = [
    "iss": "https://accounts.google.com", "aud": .string(url), "email": .string(chat),
    "email_verified": true, "iat": .integer(now - 30), "exp": .integer(now + 3_570),
  ]

  private func platform() throws -> any Platform { try #require(PlatformCatalogue.named("google-chat")) }

  /// - Parameter keysURL: where alone the key is published; nil: in both places.
  private func verdict(
    _ claims: [String: JSONValue], _ secrets: [String: [String]], keysURL: String? = nil,
    id: String? = TokenFixture.keyID
  ) throws -> WebhookVerdict {
    let keys = try JWTKey.keys(
      certificates: JSONValue.object([TokenFixture.keyID: .string(TokenFixture.certificate)]).encoded())
    let urls = keysURL.map { [$0] } ?? [Self.projectKeys, Self.identityKeys]
    let request = WebhookRequest(
      url: Self.url, headers: [try TokenFixture.bearer(claims, id: id)], body: Array("{}".utf8))
    let context = WebhookContext(
      secrets: AccountSecrets(secrets), now: TokenFixture.now,
      keySets: Dictionary(uniqueKeysWithValues: urls.map { ($0, keys) }))
    return try platform().receive(request, context)
  }

  private func isAccepted(_ claims: [String: JSONValue], _ secrets: [String: [String]]) throws -> Bool {
    try verdict(claims, secrets) == .accepted(.json([:]))
  }

  @Test("the token for a project's number: each claim is demanded")
  func projectNumber() throws {
    let secrets = ["audience": ["99", "1234567890"]]
    #expect(try isAccepted(Self.project, secrets))
    let wrong: [[String: JSONValue]] = [
      ["iss": "https://accounts.google.com"], ["iss": nil], ["aud": "5"], ["aud": nil],
      ["exp": .integer(Self.now)], ["exp": nil], ["iat": .integer(Self.now + 61)],
    ]
    for changes in wrong { #expect(try !isAccepted(Self.project.merging(changes) { $1 }, secrets)) }
    #expect(try !isAccepted(Self.identity, secrets))
    // ID tokens' keys do not sign for the Chat service account.
    let other = try verdict(Self.project, secrets, keysURL: Self.identityKeys)
    #expect(other == .needsKeys(url: Self.projectKeys))
  }

  @Test("the ID token for a URL: the service account must have it", arguments: [[url], []])
  func endpoint(audience: [String]) throws {
    let secrets = ["audience": audience]
    #expect(try isAccepted(Self.identity, secrets))
    let wrong: [[String: JSONValue]] = [
      ["email": "someone@gmail.com"], ["email": nil], ["email_verified": false], ["email_verified": nil],
      ["email_verified": "true"], ["aud": "https://hub.example.com/webhooks/google-chat/other"],
      ["iss": .string(Self.chat)], ["exp": .integer(Self.now)],
    ]
    for changes in wrong { #expect(try !isAccepted(Self.identity.merging(changes) { $1 }, secrets)) }
    #expect(try verdict(Self.identity, secrets, id: "new") == .needsKeys(url: Self.identityKeys))
    let agent = "service-7@gcp-sa-gsuiteaddons.iam.gserviceaccount.com"
    let addOn = Self.identity.merging(["email": .string(agent)]) { $1 }
    #expect(try !isAccepted(addOn, secrets))
    #expect(try isAccepted(addOn, secrets.merging(["serviceAccount": [agent]]) { $1 }))
  }

  @Test("both kinds are taken while an app goes over")
  func both() throws {
    let secrets = ["audience": [Self.url, "1234567890"]]
    #expect(try isAccepted(Self.project, secrets))
    #expect(try isAccepted(Self.identity, secrets))
    #expect(
      try !isAccepted(Self.project.merging(["aud": .string(Self.url)]) { $1 }, ["audience": [Self.url]]))
  }

  @Test("takes what it signs with a test key", arguments: [["1234567890"], [url], []])
  func simulation(audience: [String]) throws {
    let platform = try platform()
    let plain = WebhookRequest(url: Self.url, headers: [], body: Array("{}".utf8))
    let production = AccountSecrets(["audience": audience])
    let secrets = AccountSecrets(["audience": audience, "testKey": [TokenFixture.pem]])
    let now = TokenFixture.now
    #expect(platform.signed(plain, secrets: production, now: now, id: "1") == nil)
    let signed = try #require(platform.signed(plain, secrets: secrets, now: now, id: "1"))
    let answer = WebhookVerdict.accepted(.json([:]))
    #expect(platform.receive(signed, WebhookContext(secrets: secrets, now: now)) == answer)
    #expect(platform.receive(signed, WebhookContext(secrets: production, now: now)) != answer)
    let late = Timestamp(seconds: now.seconds + 3_600)
    #expect(platform.receive(signed, WebhookContext(secrets: secrets, now: late)) != answer)
    #expect(platform.fault(in: secrets) == nil)
    #expect(platform.fault(in: AccountSecrets(["audience": ["hub"]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["serviceAccount": ["hub"]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["testKey": ["hub"]])) != nil)
  }

  @Test("keeps the tokens of events out of what is shown")
  func tokens() throws {
    let body = """
      {"type":"HOLOGRAM","token":"s3cr3t","space":{"name":"spaces/A"},"user":{"name":"users/1"},
      "authorizationEventObject":{"systemIdToken":"s3cr3t"}}
      """
    let delivery = WebhookDelivery(body: Array(body.utf8), receivedAt: TokenFixture.now)
    let items = try platform().normalise(delivery).items
    #expect(items.count == 1)
    #expect(!items.map { String(decoding: $0.json.encoded(), as: UTF8.self) }.joined().contains("s3cr3t"))
  }
}
