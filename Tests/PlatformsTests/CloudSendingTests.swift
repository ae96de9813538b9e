import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Dialogues with Teams, Google Chat, Intercom, Bluesky and Reddit.
@Suite struct CloudSendingTests {
  static let secrets: [String: [String: [String]]] = [
    "teams": ["appId": ["app"], "appPassword": ["pw"]],
    "google-chat": ["serviceAccountKey": [serviceAccount]],
    "mastodon": ["server": ["https://m"], "accessToken": ["tok"]],
    "intercom": ["accessToken": ["tok"], "adminId": ["9"]],
    "bluesky": ["identifier": ["hub.test"], "appPassword": ["pw"]],
    "reddit": ["clientId": ["id"], "clientSecret": ["sec"], "refreshToken": ["r"], "username": ["hub"]],
  ]

  static var serviceAccount: String {
    let key: JSONValue = [
      "client_email": "hub@project.iam", "private_key": .string(TokenFixture.pem), "private_key_id": "k1",
      "token_uri": "https://token",
    ]
    return String(decoding: key.encoded(), as: UTF8.self)
  }

  static func next(
    _ platform: String, _ action: OutboundAction, to conversation: String, _ answers: [APIAnswer] = [],
    lastInboundID: String? = nil, details: JSONValue? = nil
  ) throws -> SendStep {
    let job = Dialogue.job(
      action, to: conversation, secrets: Self.secrets[platform] ?? [:], token: "tok",
      lastInboundID: lastInboundID, details: details)
    return try Dialogue.sender(platform).next(job, after: answers)
  }

  static let text = OutboundAction.message(OutboundMessage(text: "hi"))

  // MARK: Teams

  @Test("Teams: writes where the conversation's activities came from")
  func teams() throws {
    let usual = try #require(try Self.next("teams", Self.text, to: "19:a@thread").request)
    #expect(
      usual.line
        == "POST https://smba.trafficmanager.net/teams/v3/conversations/19%3Aa%40thread/activities")
    #expect(usual.json == ["type": "message", "text": "hi"])
    #expect(usual.header("Authorization") == "Bearer tok")
    let told: JSONValue = ["serviceUrl": "https://smba.trafficmanager.net/emea/"]
    let message = OutboundMessage(text: "hi", replyTo: "17", replyThreadID: "16")
    let reply = try #require(try Self.next("teams", .message(message), to: "19:a", details: told).request)
    #expect(
      reply.line
        == "POST https://smba.trafficmanager.net/emea/v3/conversations/19%3Aa%3Bmessageid%3D16/activities/17")
    let unsafe: JSONValue = ["serviceUrl": "http://evil/"]
    let safe = try Self.next("teams", Self.text, to: "c", details: unsafe).request
    #expect(safe?.url.hasPrefix("https://smba.trafficmanager.net/teams/") == true)
    let done = try Self.next(
      "teams", Self.text, to: "c", [Dialogue.answer(["id": "1795219200000"], status: 201)])
    #expect(
      done == .done(SendReceipt(messageID: "1795219200000", sentAt: Dialogue.now, order: 1_795_219_200_000)))
  }

  @Test("Teams: pictures by address, other files as links; edits, deletes and typing")
  func teamsMore() throws {
    let files = [
      Dialogue.file(url: "https://h/a.png"), Dialogue.file(.file, url: "https://h/a.pdf"),
    ]
    let message = OutboundAction.message(OutboundMessage(kind: .image, text: "look", files: files))
    let request = try #require(try Self.next("teams", message, to: "c").request)
    #expect(request.json?["text"] == "look\n\n[a.pdf](https://h/a.pdf)")
    #expect(
      request.json?["attachments"] == [
        ["contentType": "image/png", "contentUrl": "https://h/a.png", "name": "a.png"]
      ])
    let base = "https://smba.trafficmanager.net/teams/v3/conversations/c/activities"
    let edit = try Self.next("teams", .edit(OutboundEdit(messageID: "1", text: "n")), to: "c").request
    #expect(edit?.line == "PUT \(base)/1")
    #expect(try Self.next("teams", .delete(messageID: "1"), to: "c").request?.line == "DELETE \(base)/1")
    #expect(try Self.next("teams", .typing(true), to: "c").request?.json == ["type": "typing"])
    let job = Dialogue.job(
      .message(OutboundMessage(kind: .image, files: [Dialogue.file()])), to: "c",
      secrets: Self.secrets["teams"] ?? [:])
    #expect(SendRules.refusal(of: job, on: try Dialogue.sender("teams"))?.code == .invalidContent)
  }

  // MARK: Google Chat

  @Test("Google Chat: one message for one key; what is quoted is asked for first")
  func googleChat() throws {
    let plain = try #require(try Self.next("google-chat", Self.text, to: "spaces/A").request)
    #expect(plain.line == "POST https://chat.googleapis.com/v1/spaces/A/messages")
    #expect(plain.query == ["requestId": "0199-key"])
    #expect(plain.json == ["text": "hi"])
    let quote = OutboundAction.message(OutboundMessage(text: "hi", replyTo: "spaces/A/messages/B.B"))
    let ask = try Self.next("google-chat", quote, to: "spaces/A").request
    #expect(ask?.line == "GET https://chat.googleapis.com/v1/spaces/A/messages/B.B")
    let quoted = Dialogue.answer([
      "createTime": "2026-11-20T00:00:00Z", "thread": ["name": "spaces/A/threads/T"],
    ])
    let send = try #require(try Self.next("google-chat", quote, to: "spaces/A", [quoted]).request)
    #expect(send.query["messageReplyOption"] == "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
    #expect(
      send.json == [
        "text": "hi", "thread": ["name": "spaces/A/threads/T"],
        "quotedMessageMetadata": [
          "name": "spaces/A/messages/B.B", "lastUpdateTime": "2026-11-20T00:00:00Z",
        ],
      ])
    let made = Dialogue.answer([
      "name": "spaces/A/messages/C.C", "createTime": "2026-11-21T00:00:00Z",
    ])
    #expect(
      try Self.next("google-chat", quote, to: "spaces/A", [quoted, made])
        == .done(SendReceipt(messageID: "spaces/A/messages/C.C", sentAt: Dialogue.now)))
    // What the app may not read, or what is gone, is answered in its thread without a quotation.
    let inThread = OutboundAction.message(
      OutboundMessage(
        text: "hi", replyTo: "spaces/A/messages/B.B", replyThreadID: "spaces/A/threads/T"))
    for status in [403, 404] {
      let hidden = Dialogue.answer(["error": ["message": "not for you"]], status: status)
      let bare = try #require(try Self.next("google-chat", inThread, to: "spaces/A", [hidden]).request)
      #expect(bare.json == ["text": "hi", "thread": ["name": "spaces/A/threads/T"]])
      #expect(
        try Self.next("google-chat", inThread, to: "spaces/A", [hidden, made]).receipt?.messageID
          == "spaces/A/messages/C.C")
      #expect(try Self.next("google-chat", inThread, to: "spaces/A", [hidden, hidden]).failure != nil)
    }
  }

  @Test("Google Chat: signs for a token with the service account's key")
  func googleToken() throws {
    let platform = try #require(PlatformCatalogue.named("google-chat") as? any TokenPlatform)
    let secrets = AccountSecrets(Self.secrets["google-chat"] ?? [:])
    #expect(platform.fault(in: secrets) == nil)
    #expect(platform.fault(in: AccountSecrets(["serviceAccountKey": ["{}"]])) != nil)
    let request = try #require(platform.tokenRequest(secrets, refresh: nil, now: Dialogue.now))
    #expect(request.line == "POST https://token")
    #expect(request.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")
    let claims = try #require(request.form["assertion"]?.split(separator: ".").dropFirst().first)
    let bytes = try #require(Base64.decode(claims, .url))
    let json = try JSONValue(parsing: bytes)
    #expect(json["iss"] == "hub@project.iam")
    #expect(json["aud"] == "https://token")
    #expect(json["scope"] == "https://www.googleapis.com/auth/chat.bot")
  }

  // MARK: Intercom

  @Test("Intercom: answers as a teammate, in HTML, and finds its part in the answer")
  func intercom() throws {
    let action = OutboundAction.message(
      OutboundMessage(kind: .image, text: "a < b\nc", files: [Dialogue.file(url: "https://h/a.png")]))
    let request = try #require(try Self.next("intercom", action, to: "55").request)
    #expect(request.line == "POST https://api.intercom.io/conversations/55/reply")
    #expect(
      request.json == [
        "message_type": "comment", "type": "admin", "admin_id": "9", "body": "<p>a &lt; b<br>c</p>",
        "attachment_urls": ["https://h/a.png"],
      ])
    #expect(!request.isRepeatable)
    func part(_ id: String, _ admin: String, _ at: Int64) -> JSONValue {
      ["id": .string(id), "author": ["type": "admin", "id": .string(admin)], "created_at": .integer(at)]
    }
    let made = Dialogue.answer([
      "conversation_parts": [
        "conversation_parts": [
          part("1", "9", 10), part("3", "9", 1_795_219_200), part("2", "8", 1_795_219_300),
        ]
      ]
    ])
    #expect(
      try Self.next("intercom", action, to: "55", [made])
        == .done(SendReceipt(messageID: "3", sentAt: Dialogue.now)))
  }

  // MARK: Bluesky

  @Test("Bluesky: texts with replies, and reactions")
  func bluesky() throws {
    let action = OutboundAction.message(OutboundMessage(text: "hi", replyTo: "m1"))
    let request = try #require(try Self.next("bluesky", action, to: "c").request)
    #expect(request.line == "POST https://bsky.social/xrpc/chat.bsky.convo.sendMessage")
    #expect(request.header("atproto-proxy") == "did:web:api.bsky.chat#bsky_chat")
    #expect(
      request.json == ["convoId": "c", "message": ["text": "hi", "replyTo": ["messageId": "m1"]]])
    let made = Dialogue.answer(["id": "m2", "sentAt": "2026-11-21T00:00:00.000Z"])
    #expect(
      try Self.next("bluesky", action, to: "c", [made])
        == .done(SendReceipt(messageID: "m2", sentAt: Dialogue.now)))
    let react = OutboundAction.react(messageID: "m1", emoji: "👍", isSet: false)
    let undo = try Self.next("bluesky", react, to: "c").request
    #expect(undo?.line == "POST https://bsky.social/xrpc/chat.bsky.convo.removeReaction")
    #expect(undo?.json == ["convoId": "c", "messageId": "m1", "value": "👍"])
  }

  private static func token(_ claims: JSONValue) -> String {
    "e30." + Base64.encode(claims.encoded(), .url) + ".c2ln"
  }

  @Test("Bluesky: a text is bounded in characters and in bytes")
  func blueskyLength() throws {
    let sender = try Dialogue.sender("bluesky")
    func code(_ text: String) -> SendRefusal.Code? {
      let job = Dialogue.job(
        .message(OutboundMessage(text: text)), to: "c", secrets: Self.secrets["bluesky"] ?? [:])
      return SendRules.refusal(of: job, on: sender)?.code
    }
    #expect(code(String(repeating: "👍🏽", count: 1_000)) == nil)
    #expect(code(String(repeating: "x", count: 1_001)) == .textTooLong)
    #expect(code(String(repeating: "👩‍👩‍👧", count: 900)) == .textTooLong)
  }

  @Test("Bluesky: a session is refreshed while its refresh token lasts, and begun anew after it")
  func blueskySession() throws {
    let platform = try #require(PlatformCatalogue.named("bluesky") as? any TokenPlatform)
    let secrets = AccountSecrets(Self.secrets["bluesky"] ?? [:])
    let first = try #require(platform.tokenRequest(secrets, refresh: nil, now: Dialogue.now))
    #expect(first.line == "POST https://bsky.social/xrpc/com.atproto.server.createSession")
    #expect(first.json == ["identifier": "hub.test", "password": "pw"])
    let access = Self.token(["sub": "did:plc:hub", "exp": 1_795_226_400])
    let refresh = Self.token(["exp": 1_800_000_000])
    let session = Dialogue.answer(["accessJwt": .string(access), "refreshJwt": .string(refresh)])
    let made = try platform.token(from: session, now: Dialogue.now).get()
    #expect(
      made == AccessToken(value: access, expiresAt: Timestamp(seconds: 1_795_226_400), refresh: refresh))
    let again = try #require(platform.tokenRequest(secrets, refresh: refresh, now: Dialogue.now))
    #expect(again.line == "POST https://bsky.social/xrpc/com.atproto.server.refreshSession")
    #expect(again.header("Authorization") == "Bearer \(refresh)")
    let late = platform.tokenRequest(secrets, refresh: refresh, now: Timestamp(seconds: 1_800_000_001))
    #expect(late == first)
    let refused = Dialogue.answer(["error": "ExpiredToken", "message": "gone"], status: 400)
    guard case .failure(let failure) = platform.token(from: refused, now: Dialogue.now) else { return }
    #expect(ServerSendingTests.meaning(failure) == "credentials")
  }

  // MARK: Reddit

  @Test("Reddit: answers the last message, or the one that is meant")
  func reddit() throws {
    let request = try #require(try Self.next("reddit", Self.text, to: "t4_a", lastInboundID: "t4_b").request)
    #expect(request.line == "POST https://oauth.reddit.com/api/comment")
    #expect(request.form == ["thing_id": "t4_b", "text": "hi", "api_type": "json", "raw_json": "1"])
    #expect(request.header("User-Agent") == "linux:messaging-hub:1 (by /u/hub)")
    let made = Dialogue.answer([
      "json": ["errors": [], "data": ["things": [["kind": "t4", "data": ["name": "t4_c"]]]]]
    ])
    #expect(try Self.next("reddit", Self.text, to: "t4_a", [made]).receipt?.messageID == "t4_c")
    let limited = Dialogue.answer([
      "json": ["errors": [["RATELIMIT", "Take a break for 5 minutes before trying again.", "ratelimit"]]]
    ])
    #expect(
      try Self.next("reddit", Self.text, to: "t4_a", [limited]).failure?.remedy == .pauseAccount(seconds: 300)
    )
    let closed = Dialogue.answer(["json": ["errors": [["USER_BLOCKED", "you are blocked", "to"]]]])
    #expect(try Self.next("reddit", Self.text, to: "t4_a", [closed]).failure == APIFailure("you are blocked"))
  }

  @Test("Reddit and Teams: ask for tokens")
  func tokens() throws {
    let reddit = try #require(PlatformCatalogue.named("reddit") as? any TokenPlatform)
    let first = try #require(
      reddit.tokenRequest(AccountSecrets(Self.secrets["reddit"] ?? [:]), refresh: nil, now: Dialogue.now))
    #expect(first.line == "POST https://www.reddit.com/api/v1/access_token")
    #expect(first.form == ["grant_type": "refresh_token", "refresh_token": "r"])
    #expect(first.header("Authorization") == "Basic " + Base64.encode(Array("id:sec".utf8)))
    let teams = try #require(PlatformCatalogue.named("teams") as? any TokenPlatform)
    let bot = try #require(
      teams.tokenRequest(AccountSecrets(Self.secrets["teams"] ?? [:]), refresh: nil, now: Dialogue.now))
    #expect(bot.line == "POST https://login.microsoftonline.com/botframework.com/oauth2/v2.0/token")
    #expect(bot.form["scope"] == "https://api.botframework.com/.default")
    #expect(bot.form["grant_type"] == "client_credentials")
  }

  // MARK: All

  private static let refused: [(String, Int, JSONValue, String)] = [
    ("teams", 401, [:], "renew"), ("teams", 429, [:], "pause"), ("teams", 412, [:], "later"),
    ("teams", 502, [:], "unknown"), ("teams", 201, "<html>", "unknown"),
    ("teams", 403, ["error": ["code": "BotNotInConversationRoster", "message": "no"]], "none"),
    ("google-chat", 401, [:], "renew"),
    ("google-chat", 429, ["error": ["status": "RESOURCE_EXHAUSTED"]], "pause"),
    ("google-chat", 403, ["error": ["status": "PERMISSION_DENIED"]], "none"),
    ("google-chat", 500, [:], "later"),
    ("intercom", 401, ["errors": [["code": "token_not_found"]]], "credentials"),
    ("intercom", 429, ["errors": [["code": "rate_limit_exceeded"]]], "pause"),
    ("intercom", 500, [:], "unknown"), ("intercom", 404, ["errors": [["code": "not_found"]]], "none"),
    ("bluesky", 400, ["error": "ExpiredToken"], "renew"), ("bluesky", 429, [:], "pause"),
    ("bluesky", 401, ["error": "AuthMissing"], "credentials"), ("bluesky", 502, [:], "unknown"),
    ("bluesky", 400, ["error": "ConvoLocked"], "none"), ("reddit", 401, [:], "renew"),
    ("reddit", 429, [:], "pause"), ("reddit", 500, [:], "unknown"), ("reddit", 403, [:], "none"),
    ("mastodon", 401, ["error": "no"], "credentials"), ("mastodon", 422, ["error": "no"], "none"),
    ("mastodon", 429, ["error": "no"], "pause"),
  ]

  @Test("says what a refusal means", arguments: refused)
  func failures(platform: String, status: Int, body: JSONValue, meaning: String) throws {
    let step = try Self.next(platform, Self.text, to: "t4_7", [Dialogue.answer(body, status: status)])
    #expect(ServerSendingTests.meaning(try #require(step.failure)) == meaning)
  }

  @Test("refuses what cannot be sent, before the network", arguments: secrets.keys.sorted())
  func refusals(platform: String) throws {
    let sender = try Dialogue.sender(platform)
    func code(_ action: OutboundAction, _ secrets: [String: [String]]) -> SendRefusal.Code? {
      SendRules.refusal(of: Dialogue.job(action, to: "c1", secrets: secrets), on: sender)?.code
    }
    let secrets = Self.secrets[platform] ?? [:]
    #expect(code(Self.text, secrets) == nil)
    #expect(code(Self.text, [:]) == .missingCredentials)
    #expect(code(.message(OutboundMessage(kind: .call)), secrets) == .kindNotSupported)
    let long = String(repeating: "x", count: sender.capabilities.textUnitsMax ?? 0) + "x"
    if sender.capabilities.textUnitsMax != nil {
      #expect(code(.message(OutboundMessage(text: long)), secrets) == .textTooLong)
    }
  }
}
