import Bytes
import JSON
import Messaging
import Security
import Testing

@testable import Platforms

@Suite("Microsoft Teams by Graph")
struct TeamsGraphTests {
  private static let now = TokenFixture.now.seconds
  private static let tenant = "84bd8158-6d4d-4958-8b9f-9d6445542f95"
  private static let dataKey = (0..<32).map { UInt8($0) }
  private static let secrets = AccountSecrets([
    "clientState": ["new", "old"], "appId": ["app-1"], "privateKey": [TokenFixture.pem],
  ])

  private static let claims: [String: JSONValue] = [
    "aud": "app-1", "iss": .string("https://login.microsoftonline.com/\(tenant)/v2.0"),
    "tid": .string(tenant), "azp": .string(TeamsGraphPlatform.publisher), "iat": .integer(now - 60),
    "nbf": .integer(now - 60), "exp": .integer(now + 3_600),
  ]

  private static let message: [String: JSONValue] = [
    "id": "1795219190000", "chatId": "19:x@thread.v2", "messageType": "message",
    "createdDateTime": "2026-11-20T23:59:50Z", "from": ["user": ["id": "u1", "displayName": "Ana"]],
    "body": ["contentType": "text", "content": "hi"],
  ]

  // MARK: Requests

  private static func sealed(_ content: [String: JSONValue] = message) throws -> [String: JSONValue] {
    var plain = JSONValue.object(content).encoded()
    let padding = 16 - plain.count % 16
    plain += [UInt8](repeating: UInt8(padding), count: padding)
    let data = try #require(AESCBC.seal(plain, key: dataKey, vector: Array(dataKey[..<16])))
    let key = try #require(RSAOAEP(pem: TokenFixture.pem)?.seal(dataKey))
    return [
      "data": .string(Base64.encode(data)), "dataKey": .string(Base64.encode(key)),
      "dataSignature": .string(Base64.encode(HMAC.sha256(data, key: dataKey))),
    ]
  }

  private static func notification(
    _ state: String?, sealed: [String: JSONValue]? = nil, tenant: String = tenant
  ) -> JSONValue {
    var members: [String: JSONValue] = [
      "changeType": "created", "resource": "chats('19:x@thread.v2')/messages('1795219190000')",
      "resourceData": ["@odata.type": "#Microsoft.Graph.chatMessage", "id": "1795219190000"],
      "tenantId": .string(tenant),
    ]
    members["clientState"] = state.map { .string($0) }
    members["encryptedContent"] = sealed.map { .object($0) }
    return .object(members)
  }

  private static func token(_ changes: [String: JSONValue] = [:], id: String? = TokenFixture.keyID) throws
    -> JSONValue
  {
    let signer = try JWTSigner(key: JWTKey(pem: TokenFixture.pem, id: id))
    return .string(try signer.sign(claims.merging(changes) { $1 }))
  }

  private func verdict(
    _ notifications: [JSONValue], tokens: [JSONValue]? = nil, secrets: AccountSecrets = secrets
  ) throws -> WebhookVerdict {
    var body: [String: JSONValue] = ["value": .array(notifications)]
    body["validationTokens"] = tokens.map { .array($0) }
    let keys = [TeamsGraphPlatform.keysURL: try TokenFixture.keySet()]
    return TeamsGraphPlatform().receive(
      WebhookRequest(headers: [], body: JSONValue.object(body).encoded()),
      WebhookContext(secrets: secrets, now: TokenFixture.now, keySets: keys))
  }

  private func isTaken(_ notifications: [JSONValue], tokens: [JSONValue]? = nil) throws -> Bool {
    try verdict(notifications, tokens: tokens) == .accepted(WebhookAnswer(status: 202))
  }

  // MARK: Verifying

  @Test("answers the handshake with the token, and nothing else")
  func handshake() {
    func verdict(_ query: String) -> WebhookVerdict {
      TeamsGraphPlatform().receive(
        WebhookRequest(query: query, headers: [], body: []),
        WebhookContext(secrets: AccountSecrets(), now: TokenFixture.now))
    }
    #expect(verdict("validationToken=a%3Cb%3E%26%20c%2B+d") == .answer(.text("a<b>& c+ d")))
    let long = String(repeating: "x", count: 4_097)
    for query in ["validationToken=", "validationToken=\(long)", "", "other=1"] {
      guard case .refused = verdict(query) else {
        Issue.record("\(query)")
        continue
      }
    }
  }

  @Test("takes every valid clientState, and no other")
  func states() throws {
    #expect(try isTaken([Self.notification("new")]))
    #expect(try isTaken([Self.notification("old")]))
    for state in ["", "ne", "neww", "NEW"] { #expect(try !isTaken([Self.notification(state)])) }
    #expect(try !isTaken([Self.notification(nil)]))
    #expect(try !isTaken([]))
    #expect(
      try verdict([Self.notification("new")], secrets: AccountSecrets())
        != .accepted(WebhookAnswer(status: 202)))
  }

  @Test("of a batch only what has a clientState is read, and the rest is said")
  func mixed() throws {
    let batch = [Self.notification("new"), Self.notification("wrong")]
    #expect(try isTaken(batch))
    let body = JSONValue.object(["value": .array(batch)]).encoded()
    let result = try TeamsGraphPlatform().normalise(
      WebhookDelivery(body: body, receivedAt: TokenFixture.now, secrets: Self.secrets))
    #expect(result.items.count == 1)
    #expect(result.faults == [.wrongValue(path: "value[1].clientState", expected: "the account's")])
    let shown = result.items.map { String(decoding: $0.json.encoded(), as: UTF8.self) }.joined()
    #expect(!shown.contains("clientState"))
  }

  @Test("content needs a token, with each claim")
  func tokens() throws {
    let notification = Self.notification("new", sealed: try Self.sealed())
    #expect(try isTaken([notification], tokens: [Self.token()]))
    let old: [String: JSONValue] = [
      "azp": nil, "appid": .string(TeamsGraphPlatform.publisher),
      "iss": .string("https://sts.windows.net/\(Self.tenant)/"),
    ]
    #expect(try isTaken([notification], tokens: [Self.token(old)]))
    #expect(try !isTaken([notification]))
    #expect(try !isTaken([notification], tokens: []))
    #expect(try !isTaken([notification], tokens: ["x"]))
    let wrong: [[String: JSONValue]] = [
      ["aud": "app-2"], ["aud": ["app-1", "app-2"]], ["aud": nil], ["azp": "someone"],
      ["azp": nil], ["iss": "https://login.microsoftonline.com/other/v2.0"], ["iss": nil],
      ["tid": "other"], ["tid": nil], ["exp": .integer(Self.now - 301)], ["exp": nil],
      ["nbf": .integer(Self.now + 301)],
    ]
    for changes in wrong {
      #expect(try !isTaken([notification], tokens: [Self.token(changes)]), "\(changes)")
      #expect(try !isTaken([notification], tokens: [Self.token(), Self.token(changes)]), "\(changes)")
    }
    let elsewhere = Self.notification("new", sealed: try Self.sealed(), tenant: "other")
    #expect(try !isTaken([elsewhere], tokens: [Self.token()]))
    #expect(
      try verdict([notification], tokens: [Self.token(id: "rotated")])
        == .needsKeys(url: TeamsGraphPlatform.keysURL))
  }

  @Test("content whose signature is wrong is refused; what no key opens is kept")
  func content() throws {
    let good = try Self.sealed()
    for name in ["data", "dataSignature"] {
      let text = try #require(good[name]?.string)
      var bytes = try #require(Base64.decode(text))
      bytes[3] ^= 1
      let changed = good.merging([name: .string(Base64.encode(bytes))]) { $1 }
      #expect(try !isTaken([Self.notification("new", sealed: changed)], tokens: [Self.token()]))
    }
    var key = try #require(good["dataKey"]?.string.flatMap { Base64.decode($0) })
    key[3] ^= 1
    let locked = Self.notification(
      "new", sealed: good.merging(["dataKey": .string(Base64.encode(key))]) { $1 })
    #expect(try isTaken([locked], tokens: [Self.token()]))
    let delivery = WebhookDelivery(
      body: JSONValue.object(["value": [locked]]).encoded(), receivedAt: TokenFixture.now,
      secrets: Self.secrets)
    let result = try TeamsGraphPlatform().normalise(delivery)
    #expect(result.items.isEmpty && result.faults == [.cannotDecrypt])
  }

  @Test("takes what it signs, with content by a test key")
  func simulation() throws {
    var secrets = Self.secrets
    let plain = WebhookRequest(
      headers: [],
      body: JSONValue.object(["value": [Self.notification("x", sealed: try Self.sealed())]]).encoded())
    let platform = TeamsGraphPlatform()
    #expect(platform.signed(plain, secrets: secrets, now: TokenFixture.now, id: "1") == nil)
    secrets.set("testKey", [TokenFixture.pem])
    let signed = try #require(platform.signed(plain, secrets: secrets, now: TokenFixture.now, id: "1"))
    func verdict(_ secrets: AccountSecrets) -> WebhookVerdict {
      platform.receive(signed, WebhookContext(secrets: secrets, now: TokenFixture.now))
    }
    #expect(TokenFixture.isAccepted(verdict(secrets)))
    #expect(!TokenFixture.isAccepted(verdict(Self.secrets)))
    #expect(platform.fault(in: secrets) == nil)
  }

  @Test("says what is wrong with credentials")
  func faults() {
    let platform = TeamsGraphPlatform()
    #expect(platform.fault(in: AccountSecrets()) != nil)
    #expect(platform.fault(in: AccountSecrets(["clientState": [""]])) != nil)
    let long = String(repeating: "x", count: 129)
    #expect(platform.fault(in: AccountSecrets(["clientState": [long]])) != nil)
    #expect(platform.fault(in: AccountSecrets(["clientState": ["s"]])) == nil)
    #expect(
      platform.fault(in: AccountSecrets(["clientState": ["s"], "privateKey": ["x"], "appId": ["a"]])) != nil)
    #expect(
      platform.fault(in: AccountSecrets(["clientState": ["s"], "privateKey": [TokenFixture.pem]])) != nil)
  }

  // MARK: Reading

  private static func items(_ changes: [String: JSONValue], _ change: String) throws -> [InboundItem] {
    let content = JSONReader(message.merging(changes) { $1 })
    return try GraphMessage(content, GraphPlace(""), secrets: secrets, TokenFixture.now).items(change)
  }

  @Test("tells what happened by the dates")
  func changes() throws {
    guard case .message? = try Self.items([:], "updated").first else { throw NormaliseError.notJSON }
    let edited: [String: JSONValue] = ["lastEditedDateTime": "2026-11-20T23:59:58Z"]
    guard case .edit? = try Self.items(edited, "updated").first else { throw NormaliseError.notJSON }
    guard case .message? = try Self.items(edited, "created").first else { throw NormaliseError.notJSON }
    let deleted = edited.merging(["deletedDateTime": "2026-11-20T23:59:59Z"]) { $1 }
    guard case .delete? = try Self.items(deleted, "updated").first else { throw NormaliseError.notJSON }
    guard case .delete? = try Self.items([:], "deleted").first else { throw NormaliseError.notJSON }
  }

  @Test("survives any member of another type")
  func garbage() {
    let values: [JSONValue] = [nil, true, -1, 0.5, "", [], [nil], [:], .integer(.max), [["a": "b"]]]
    let more: [String: JSONValue] = [
      "eventDetail": [
        "@odata.type": "#microsoft.graph.membersAddedEventMessageDetail", "members": [["id": "1"]],
      ],
      "reactions": [["reactionType": "like", "user": ["user": ["id": "u1"]]]],
      "attachments": [["contentType": "messageReference", "content": "{}"]],
      "channelIdentity": ["channelId": "19:c@thread.tacv2"], "replyToId": "1",
      "lastEditedDateTime": "2026-11-20T23:59:58Z", "messageType": "systemEventMessage",
    ]
    let whole = Self.message.merging(more) { $1 }
    for name in whole.keys {
      for value in values {
        for change in ["created", "updated", ""] {
          _ = try? Self.items(whole.merging([name: value]) { $1 }, change)
        }
      }
    }
    for html in [
      "<", "<at ", "<img src=\"", "<emoji alt=\"x", "<at id=0>", "</at>", "<img src=\"javascript:1\">",
    ] {
      let body: JSONValue = ["contentType": "html", "content": .string(html)]
      #expect((try? Self.items(["body": body], "created")) != nil)
    }
  }
}
