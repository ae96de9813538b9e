import Bytes
import JSON
import Messaging
import Testing

@testable import Platforms

@Suite("Teams by Graph: sending")
struct GraphSendingTests {
  static let secrets: [String: [String]] = [
    "clientState": ["s"], "appId": ["app"], "tenantId": ["ten"], "userId": ["me-1"], "refreshToken": ["r0"],
  ]
  private static let chat = "19:a_b@unq.gbl.spaces"
  private static let path = "POST https://graph.microsoft.com/v1.0/chats/19%3Aa_b%40unq.gbl.spaces"

  private func job(
    _ action: OutboundAction, to id: String = chat, secrets: [String: [String]] = secrets,
    details: JSONValue? = nil
  ) -> SendJob {
    Dialogue.job(action, to: id, secrets: secrets, token: "t", details: details)
  }

  private func request(_ job: SendJob, _ answers: [APIAnswer] = []) throws -> APIRequest {
    try #require(try Dialogue.sender("teams-graph").next(job, after: answers).request)
  }

  @Test("a text, read again by the poller")
  func text() throws {
    let job = job(.message(OutboundMessage(text: "1 < 2\nyes")))
    let request = try request(job)
    #expect(request.line == Self.path + "/messages" && !request.isRepeatable)
    #expect(request.header("Authorization") == "Bearer t")
    #expect(request.json == ["body": ["contentType": "text", "content": "1 < 2\nyes"]])
    let sent: JSONValue = [
      "id": "1795219198594", "chatId": .string(Self.chat), "messageType": "message",
      "createdDateTime": "2026-11-20T23:59:58.594Z", "from": ["user": ["id": "me-1", "displayName": "Me"]],
      "body": ["contentType": "text", "content": "1 < 2\nyes"],
    ]
    let platform = try Dialogue.sender("teams-graph")
    let receipt = try #require(platform.next(job, after: [Dialogue.answer(sent, status: 201)]).receipt)
    let reader = JSONReader(try #require(sent.object))
    let items = try GraphMessage(reader, GraphPlace(""), secrets: AccountSecrets(Self.secrets), Dialogue.now)
      .items("created")
    let read = try #require(Normalised(items: items).messages.first)
    #expect(read.direction == .outbound && read.text == "1 < 2\nyes" && read.conversation == job.conversation)
    #expect(
      receipt == SendReceipt(messageID: read.externalID, sentAt: read.sentAt, order: read.order))
  }

  @Test("pictures go within the message, with a quote in front")
  func pictures() throws {
    let message = OutboundMessage(
      kind: .image, text: "a<b\n\"c\"", files: [Dialogue.file(), Dialogue.file()], replyTo: "17",
      extras: ["importance": "high"])
    let request = try request(job(.message(message)))
    guard case .jsonWithFiles(let document, let places) = request.body else {
      Issue.record("no pictures")
      return
    }
    #expect(
      document == [
        "importance": "high",
        "body": [
          "contentType": "html",
          "content": .string(
            "<attachment id=\"17\"></attachment>a&lt;b<br>&quot;c&quot;<img src=\"../hostedContents/1/$value\">"
              + "<img src=\"../hostedContents/2/$value\">"),
        ],
        "attachments": [
          [
            "id": "17", "contentType": "messageReference",
            "content": #"{"messageId":"17","messagePreview":""}"#,
          ]
        ],
        "hostedContents": [
          ["@microsoft.graph.temporaryId": "1", "contentBytes": "", "contentType": "image/png"],
          ["@microsoft.graph.temporaryId": "2", "contentBytes": "", "contentType": "image/png"],
        ],
      ])
    #expect(
      places == [
        APIFilePlace(["hostedContents", "0", "contentBytes"], file: 0),
        APIFilePlace(["hostedContents", "1", "contentBytes"], file: 1),
      ])
  }

  @Test("other files are stored and shared before")
  func files() throws {
    let message = OutboundMessage(kind: .file, text: "see", files: [Dialogue.file(.file)])
    let job = job(.message(message))
    let upload = try request(job)
    #expect(
      upload.line
        == "PUT https://graph.microsoft.com/v1.0/me/drive/root:/Microsoft%20Teams%20Chat%20Files/0199-key/0/a.pdf"
        + ":/content")
    #expect(upload.body == .file(0, type: "application/pdf") && upload.isRepeatable)
    let item = Dialogue.answer(
      [
        "id": "I1", "name": "a.pdf", "webUrl": "https://x-my.sharepoint.com/a.pdf",
        "eTag": "\"{C0FFEE00-1},1\"",
      ], status: 201)
    let link = try request(job, [item])
    #expect(link.line == "POST https://graph.microsoft.com/v1.0/me/drive/items/I1/createLink")
    #expect(link.json == ["type": "view", "scope": "organization"])
    let sent = try request(job, [item, Dialogue.answer(["link": [:]])])
    #expect(
      sent.json == [
        "body": [
          "contentType": "html", "content": "<attachment id=\"c0ffee00-1\"></attachment>see",
        ],
        "attachments": [
          [
            "id": "c0ffee00-1", "contentType": "reference", "name": "a.pdf",
            "contentUrl": "https://x-my.sharepoint.com/a.pdf",
          ]
        ],
      ])
    let platform = try Dialogue.sender("teams-graph")
    let lost = platform.next(job, after: [Dialogue.answer([:], status: 500)]).failure
    #expect(lost?.remedy == .later(seconds: nil))
    let doubt = platform.next(job, after: [item, item, Dialogue.answer([:], status: 500)]).failure
    #expect(doubt?.remedy == .unknown)
  }

  @Test("changes")
  func changes() throws {
    let cases: [(OutboundAction, String, JSONValue?)] = [
      (
        .edit(OutboundEdit(messageID: "17", text: "new")),
        Self.path.replacing("POST", with: "PATCH") + "/messages/17",
        ["body": ["contentType": "text", "content": "new"]]
      ),
      (
        .delete(messageID: "17"),
        Self.path.replacing("v1.0/", with: "v1.0/me/") + "/messages/17/softDelete", nil
      ),
      (
        .react(messageID: "17", emoji: "👍", isSet: true), Self.path + "/messages/17/setReaction",
        ["reactionType": "👍"]
      ),
      (
        .react(messageID: "17", emoji: "👍", isSet: false), Self.path + "/messages/17/unsetReaction",
        ["reactionType": "👍"]
      ),
      (
        .read(upTo: "17"), Self.path + "/markChatReadForUser",
        ["user": ["id": "me-1", "tenantId": "ten"]]
      ),
    ]
    for (action, line, body) in cases {
      let request = try request(job(action))
      #expect(request.line == line && request.json == body && request.isRepeatable)
      let done = try Dialogue.sender("teams-graph").next(
        job(action), after: [APIAnswer(status: 204, body: [])])
      #expect(done.receipt == SendReceipt())
    }
  }

  @Test("channels are written to where their team is known")
  func channels() throws {
    let channel = "19:c@thread.tacv2"
    let message = OutboundAction.message(OutboundMessage(text: "x", threadID: "5"))
    let details: JSONValue = ["teamId": "team-1"]
    #expect(
      try request(job(message, to: channel, details: details)).line
        == "POST https://graph.microsoft.com/v1.0/teams/team-1/channels/19%3Ac%40thread.tacv2/messages/5/replies"
    )
    let platform = try Dialogue.sender("teams-graph")
    #expect(SendRules.refusal(of: job(message, to: channel), on: platform)?.code == .invalidContent)
    #expect(platform.next(job(message, to: channel), after: []).failure != nil)
    #expect(
      SendRules.refusal(of: job(.read(upTo: "1"), to: channel, details: details), on: platform)?.code
        == .notSupported)
  }

  @Test("an answer in a channel is changed under its thread's first message")
  func answers() throws {
    let team = "https://graph.microsoft.com/v1.0/teams/team-1/channels/19%3Ac%40thread.tacv2/messages/"
    let cases: [(OutboundAction, String)] = [
      (.edit(OutboundEdit(messageID: "17", text: "new")), "PATCH \(team)5/replies/17"),
      (.delete(messageID: "17"), "POST \(team)5/replies/17/softDelete"),
      (.react(messageID: "17", emoji: "👍", isSet: true), "POST \(team)5/replies/17/setReaction"),
      (.react(messageID: "17", emoji: "👍", isSet: false), "POST \(team)5/replies/17/unsetReaction"),
      (.edit(OutboundEdit(messageID: "5", text: "new")), "PATCH \(team)5"),
    ]
    for (action, line) in cases {
      var job = job(action, to: "19:c@thread.tacv2", details: ["teamId": "team-1"])
      job.subjectThreadID = "5"
      #expect(try request(job).line == line)
    }
    // Chats have no threads.
    var inChat = job(.edit(OutboundEdit(messageID: "17", text: "new")))
    inChat.subjectThreadID = "5"
    #expect(try request(inChat).line == Self.path.replacing("POST", with: "PATCH") + "/messages/17")
  }

  @Test("tokens of a user, and of the app alone, which reads only")
  func tokens() throws {
    let platform = try #require(PlatformCatalogue.named("teams-graph") as? any TokenPlatform)
    let user = try #require(
      platform.tokenRequest(AccountSecrets(Self.secrets), refresh: "r1", now: Dialogue.now))
    #expect(user.line == "POST https://login.microsoftonline.com/ten/oauth2/v2.0/token")
    #expect(
      user.form == [
        "grant_type": "refresh_token", "refresh_token": "r1", "client_id": "app",
        "scope": "https://graph.microsoft.com/.default",
      ])
    var secrets = Self.secrets
    secrets["refreshToken"] = nil
    secrets["appPassword"] = ["p"]
    let app = try #require(
      platform.tokenRequest(AccountSecrets(secrets), refresh: nil, now: Dialogue.now))
    #expect(app.form["grant_type"] == "client_credentials" && app.form["client_secret"] == "p")
    let sender = try Dialogue.sender("teams-graph")
    let refusal = SendRules.refusal(
      of: job(.message(OutboundMessage(text: "x")), secrets: secrets), on: sender)
    #expect(refusal?.code == .missingCredentials)
    let ended = Dialogue.answer(
      ["error": "invalid_grant", "error_description": "AADSTS70000: ended"], status: 400)
    guard case .failure(let failure) = platform.token(from: ended, now: Dialogue.now),
      case .credentials = failure.remedy
    else {
      Issue.record("an ended grant")
      return
    }
  }

  @Test("refusals and failures")
  func failures() throws {
    let platform = try Dialogue.sender("teams-graph")
    let text = job(.message(OutboundMessage(text: "x")))
    #expect(SendRules.refusal(of: text, on: platform) == nil)
    #expect(SendRules.refusal(of: job(.message(OutboundMessage())), on: platform)?.code == .invalidContent)
    let large = OutboundFile(
      kind: .image, name: "a", mimeType: "image/png", sizeBytes: 4 << 20, storageKey: "k")
    let picture = job(.message(OutboundMessage(kind: .image, files: [large])))
    #expect(SendRules.refusal(of: picture, on: platform)?.code == .invalidContent)
    let error: JSONValue = ["error": ["code": "x", "message": "words"]]
    let cases: [(Int, [String: String], APIFailure.Remedy)] = [
      (401, [:], .renewToken), (403, [:], .none), (412, [:], .later(seconds: 1)), (500, [:], .unknown),
      (429, ["Retry-After": "7"], .pauseAccount(seconds: 7)), (429, [:], .pauseAccount(seconds: 10)),
    ]
    for (status, headers, remedy) in cases {
      let answer = Dialogue.answer(error, status: status, headers)
      #expect(platform.next(text, after: [answer]).failure == APIFailure("words", remedy))
    }
    let gone = Dialogue.answer(error, status: 404)
    #expect(platform.next(job(.delete(messageID: "1")), after: [gone]).receipt == SendReceipt())
  }
}
