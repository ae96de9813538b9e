import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite("How platforms' files are fetched")
struct FileTests {
  private static let now = Timestamp(seconds: 1_795_219_197)

  private static func step(
    _ name: String, _ attachment: Messaging.Attachment, _ secrets: [String: String], token: String? = nil,
    details: JSONValue? = nil, after answers: [APIAnswer] = []
  ) throws -> FileStep {
    let platform = try #require(PlatformCatalogue.named(name))
    let file = FileJob(
      attachment: attachment, conversation: ConversationRef(externalID: "c", kind: .direct), messageID: "m",
      details: details, secrets: AccountSecrets(secrets.mapValues { [$0] }), token: token, now: now)
    return (platform as? any FilePlatform)?.fetch(file, after: answers)
      ?? FileFetch.plain(file, after: answers)
  }

  private static func json(_ status: Int, _ value: JSONValue) -> APIAnswer {
    APIAnswer(status: status, body: value.encoded())
  }

  private static func image(_ id: String? = nil, _ url: String? = nil, name: String? = nil)
    -> Messaging.Attachment
  {
    Messaging.Attachment(kind: .image, externalID: id, url: url, name: name)
  }

  private static func download(_ url: String, _ headers: [APIField] = []) -> FileStep {
    .download(APIRequest("GET", url, headers: headers))
  }

  private static func bearer(_ token: String) -> [APIField] { [APIField("Authorization", "Bearer \(token)")] }

  @Test(
    "a link is enough for most",
    arguments: [
      "custom", "messenger", "instagram", "viber", "intercom", "mastodon", "zalo", "vonage", "messagebird",
      "bird",
      "wechat",
    ])
  func links(name: String) throws {
    #expect(
      try Self.step(name, Self.image(nil, "https://x.example/a"), [:]) == Self.download("https://x.example/a")
    )
  }

  @Test(
    "without a link and an id there is nothing to fetch",
    arguments: PlatformCatalogue.all.map(\.name.rawValue))
  func nothing(name: String) throws {
    let secrets = [
      "botToken": "t", "accessToken": "t", "channelAccessToken": "t", "asToken": "t",
      "server": "https://s.example",
      "homeserver": "https://s.example", "userId": "u", "email": "e", "apiKey": "k", "accountSid": "AC",
      "authToken": "t",
    ]
    let step = try Self.step(name, Self.image(), secrets, token: "t")
    guard case .failed(let failure) = step else {
      Issue.record("\(name): \(step)")
      return
    }
    #expect(failure.remedy == .none)
  }

  @Test("Telegram: the path, then the file")
  func telegram() throws {
    let secrets = ["botToken": "1:a"]
    guard case .call(let call) = try Self.step("telegram", Self.image("F"), secrets) else {
      Issue.record("no call")
      return
    }
    #expect(call.url == "https://api.telegram.org/bot1:a/getFile" && call.body == .json(["file_id": "F"]))
    let found = Self.json(200, ["ok": true, "result": ["file_path": "photos/a b.jpg"]])
    #expect(
      try Self.step("telegram", Self.image("F"), secrets, after: [found])
        == Self.download("https://api.telegram.org/file/bot1:a/photos/a%20b.jpg"))
    let large = Self.json(400, ["ok": false, "description": "Bad Request: file is too big"])
    #expect(
      try Self.step("telegram", Self.image("F"), secrets, after: [large])
        == .failed(APIFailure("Bad Request: file is too big")))
    let local = Self.json(200, ["ok": true, "result": ["file_path": "/var/lib/telegram/a"]])
    guard case .failed = try Self.step("telegram", Self.image("F"), secrets, after: [local]) else {
      Issue.record("a path of another disk")
      return
    }
  }

  @Test("WhatsApp: the address, then the file, with the token both times and nowhere else")
  func whatsApp() throws {
    let secrets = ["accessToken": "t"]
    #expect(
      try Self.step("whatsapp", Self.image("65"), secrets)
        == .call(APIRequest("GET", "https://graph.facebook.com/v25.0/65", headers: Self.bearer("t"))))
    let url = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=65"
    #expect(
      try Self.step("whatsapp", Self.image("65"), secrets, after: [Self.json(200, ["url": .string(url)])])
        == Self.download(url, Self.bearer("t")))
    for foreign in [
      "https://fbsbx.com.evil.example/a", "http://lookaside.fbsbx.com/a", "https://evil.example",
    ] {
      let answer = Self.json(200, ["url": .string(foreign)])
      guard case .failed = try Self.step("whatsapp", Self.image("65"), secrets, after: [answer]) else {
        Issue.record("the token goes to \(foreign)")
        continue
      }
    }
  }

  @Test("Slack: the bot token goes to Slack only")
  func slack() throws {
    let secrets = ["botToken": "xoxb"]
    let own = "https://files.slack.com/files-pri/T-F/a.png"
    #expect(try Self.step("slack", Self.image("F", own), secrets) == Self.download(own, Self.bearer("xoxb")))
    let other = "https://drive.example/a.png"
    #expect(try Self.step("slack", Self.image("F", other), secrets) == Self.download(other))
    #expect(
      try Self.step("slack", Self.image("F"), secrets)
        == .call(APIRequest("GET", "https://slack.com/api/files.info?file=F", headers: Self.bearer("xoxb"))))
    // Where tokens are rotated, the fresh one.
    #expect(
      try Self.step("slack", Self.image("F", own), secrets, token: "xoxe")
        == Self.download(own, Self.bearer("xoxe")))
    let info = Self.json(200, ["ok": true, "file": ["url_private": .string(own)]])
    #expect(
      try Self.step("slack", Self.image("F"), secrets, after: [info])
        == Self.download(own, Self.bearer("xoxb")))
  }

  @Test("Discord: a link that ended is renewed once")
  func discord() throws {
    let link = Self.image("1", "https://cdn.discordapp.com/a.png?ex=1")
    let secrets = ["botToken": "t"]
    #expect(try Self.step("discord", link, secrets) == Self.download("https://cdn.discordapp.com/a.png?ex=1"))
    let gone = APIAnswer(status: 404, body: [])
    guard case .call(let call) = try Self.step("discord", link, secrets, after: [gone]) else {
      Issue.record("no call")
      return
    }
    #expect(call.url == "https://discord.com/api/v10/attachments/refresh-urls")
    #expect(call.headers == [APIField("Authorization", "Bot t")])
    let fresh = Self.json(
      200, ["refreshed_urls": [["original": "o", "refreshed": "https://cdn.discordapp.com/b"]]])
    #expect(
      try Self.step("discord", link, secrets, after: [gone, fresh])
        == Self.download("https://cdn.discordapp.com/b"))
    guard case .failed = try Self.step("discord", link, secrets, after: [gone, fresh, gone]) else {
      Issue.record("it goes on")
      return
    }
  }

  @Test("LINE: by the message's id, and later while it is converted")
  func line() throws {
    let secrets = ["channelAccessToken": "t"]
    #expect(
      try Self.step("line", Self.image("46"), secrets)
        == Self.download("https://api-data.line.me/v2/bot/message/46/content", Self.bearer("t")))
    #expect(
      try Self.step("line", Self.image("46"), ["channelId": "1"], token: "s")
        == Self.download("https://api-data.line.me/v2/bot/message/46/content", Self.bearer("s")))
    guard
      case .failed(let failure) = try Self.step(
        "line", Self.image("46"), secrets, after: [APIAnswer(status: 202, body: [])])
    else {
      Issue.record("not failed")
      return
    }
    #expect(failure.remedy == .later(seconds: nil))
  }

  @Test("Twilio: basic authentication at Twilio, media of Conversations by their id")
  func twilio() throws {
    let secrets = ["accountSid": "AC", "authToken": "t"]
    let basic = [APIField("Authorization", "Basic QUM6dA==")]
    let own = "https://api.twilio.com/2010-04-01/Accounts/AC/Messages/MM/Media/ME"
    #expect(try Self.step("twilio", Self.image(nil, own), secrets) == Self.download(own, basic))
    #expect(
      try Self.step("twilio", Self.image(nil, "https://x.example/a"), secrets)
        == Self.download("https://x.example/a"))
    let details: JSONValue = ["ChatServiceSid": "IS"]
    #expect(
      try Self.step("twilio", Self.image("ME"), secrets, details: details)
        == .call(APIRequest("GET", "https://mcs.us1.twilio.com/v1/Services/IS/Media/ME", headers: basic)))
    let media = Self.json(200, ["links": ["content_direct_temporary": "https://media.example/a"]])
    #expect(
      try Self.step("twilio", Self.image("ME"), secrets, details: details, after: [media])
        == Self.download("https://media.example/a"))
  }

  @Test("Matrix: authenticated media, the older endpoint where that is unknown, nothing that is encrypted")
  func matrix() throws {
    let secrets = ["asToken": "t", "homeserver": "https://hs.example/"]
    let file = Self.image("mxc://other.example/abc")
    guard case .download(let first) = try Self.step("matrix", file, secrets) else {
      Issue.record("no download")
      return
    }
    #expect(first.url == "https://hs.example/_matrix/client/v1/media/download/other.example/abc")
    #expect(first.headers == Self.bearer("t"))
    // A user's own token comes first: the service's stands unused in each account.
    guard
      case .download(let own) = try Self.step("matrix", file, secrets.merging(["accessToken": "u"]) { $1 })
    else {
      Issue.record("no download")
      return
    }
    #expect(own.headers == Self.bearer("u"))
    let unknown = Self.json(404, ["errcode": "M_UNRECOGNIZED"])
    #expect(
      try Self.step("matrix", file, secrets, after: [unknown])
        == Self.download("https://hs.example/_matrix/media/v3/download/other.example/abc", Self.bearer("t")))
    let sealed: JSONValue = ["file": ["key": ["k": "x"], "url": "mxc://a/b"]]
    guard case .failed(let failure) = try Self.step("matrix", file, secrets, details: sealed) else {
      Issue.record("encrypted")
      return
    }
    #expect(failure.reason.contains("encrypted"))
  }

  @Test("servers of one's own: Mattermost, Rocket.Chat, Zulip")
  func selfHosted() throws {
    #expect(
      try Self.step("mattermost", Self.image("f1"), ["accessToken": "t", "server": "https://mm.example"])
        == Self.download("https://mm.example/api/v4/files/f1", Self.bearer("t")))
    #expect(
      try Self.step(
        "rocketchat", Self.image("f1", name: "a b.png"),
        ["accessToken": "t", "userId": "u", "server": "https://rc.example"])
        == Self.download(
          "https://rc.example/file-upload/f1/a%20b.png",
          [APIField("X-Auth-Token", "t"), APIField("X-User-Id", "u")]))
    let open = "https://rc.example/file-upload/f9/a.png?token=x"
    #expect(try Self.step("rocketchat", Self.image("f9", open), [:]) == Self.download(open))
    let zulip = ["email": "e", "apiKey": "k", "server": "https://z.example"]
    let upload = Self.image(nil, "/user_uploads/2/ab/a.png")
    guard case .call(let call) = try Self.step("zulip", upload, zulip) else {
      Issue.record("no call")
      return
    }
    #expect(call.url == "https://z.example/api/v1/user_uploads/2/ab/a.png")
    let answer = Self.json(200, ["result": "success", "url": "/user_uploads/temporary/x/a.png"])
    #expect(
      try Self.step("zulip", upload, zulip, after: [answer])
        == Self.download("https://z.example/user_uploads/temporary/x/a.png"))
  }

  @Test("tokens of apps: Teams, Google Chat, X")
  func tokens() throws {
    let picture = "https://smba.trafficmanager.net/teams/v3/attachments/1/views/original"
    #expect(
      try Self.step("teams", Self.image("1", picture), [:], token: "t")
        == Self.download(picture, Self.bearer("t")))
    let signed = "https://contoso.sharepoint.example/a?tempauth=x"
    #expect(try Self.step("teams", Self.image("1", signed), [:], token: "t") == Self.download(signed))
    #expect(
      try Self.step("google-chat", Self.image("spaces/A/attachments/B"), [:], token: "t")
        == Self.download(
          "https://chat.googleapis.com/v1/media/spaces/A/attachments/B?alt=media", Self.bearer("t")))
    let private1 = "https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg"
    #expect(
      try Self.step("x", Self.image("1", private1), ["accessToken": "t"])
        == Self.download(private1, Self.bearer("t")))
    let open = "https://pbs.twimg.com/a.jpg"
    #expect(try Self.step("x", Self.image("1", open), ["accessToken": "t"]) == Self.download(open))
  }

  @Test("Mailgun: the account's key goes to Mailgun only, and no link leads elsewhere")
  func mailgun() throws {
    let own = "https://storage.eu.mailgun.net/v3/domains/a/messages/K/attachments/0"
    #expect(
      try Self.step("mailgun", Self.image(nil, own), ["apiKey": "k"])
        == Self.download(own, [APIField("Authorization", "Basic YXBpOms=")]))
    // The body of a delivery is not signed, so a link in it may be anybody's.
    for (link, secrets) in [("https://mailgun.net.evil.example/a", ["apiKey": "k"]), (own, [:])] {
      guard case .failed = try Self.step("mailgun", Self.image(nil, link), secrets) else {
        Issue.record("\(link)")
        continue
      }
    }
  }

  @Test("Graph: hosted pictures by their address, files by their share")
  func graph() throws {
    let hosted = "https://graph.microsoft.com/v1.0/chats/c/messages/1/hostedContents/x/$value"
    #expect(
      try Self.step("teams-graph", Self.image(nil, hosted), [:], token: "t")
        == Self.download(hosted, Self.bearer("t")))
    guard
      case .download(let request) = try Self.step(
        "teams-graph", Self.image(nil, "https://contoso.sharepoint.com/a b?x"), [:], token: "t")
    else {
      Issue.record("no download")
      return
    }
    let share = "u!aHR0cHM6Ly9jb250b3NvLnNoYXJlcG9pbnQuY29tL2EgYj94"
    #expect(request.url == "https://graph.microsoft.com/v1.0/shares/\(share)/driveItem/content")
    #expect(request.headers == Self.bearer("t"))
    guard case .failed = try Self.step("teams-graph", Self.image(nil, hosted), [:]) else {
      Issue.record("fetched without a token")
      return
    }
  }

  @Test("Signal: by the id at signal-cli-rest-api")
  func signalREST() throws {
    let secrets = ["server": "http://signal:8080/", "number": "+491"]
    guard case .download(let request) = try Self.step("signal", Self.image("a/b.jpg"), secrets) else {
      Issue.record("no download")
      return
    }
    #expect(request.url == "http://signal:8080/v1/attachments/a%2Fb.jpg" && request.headers.isEmpty)
    let gone = Self.json(404, ["error": "No attachment with that name found"])
    #expect(
      try Self.step("signal", Self.image("a"), secrets, after: [gone])
        == .failed(APIFailure("No attachment with that name found")))
    let sticker = Messaging.Attachment(kind: .sticker, externalID: "aa:1")
    guard case .failed(let failure) = try Self.step("signal", sticker, secrets) else {
      Issue.record("a sticker is not asked for")
      return
    }
    #expect(failure.remedy == .none)
  }

  @Test("Signal: within the answer of the daemon")
  func signalDaemon() throws {
    let secrets = ["server": "http://signal:8080", "number": "+491", "interface": "daemon"]
    guard case .call(let call) = try Self.step("signal", Self.image("a.jpg"), secrets) else {
      Issue.record("no call")
      return
    }
    #expect(call.url == "http://signal:8080/api/v1/rpc")
    #expect(
      call.body
        == .json([
          "jsonrpc": "2.0", "id": "m", "method": "getAttachment",
          "params": ["account": "+491", "id": "a.jpg", "recipient": "c"],
        ]))
    let answer = Self.json(200, ["jsonrpc": "2.0", "id": "m", "result": ["data": "AAEC"]])
    #expect(
      try Self.step("signal", Self.image("a.jpg"), secrets, after: [answer]) == .content([0, 1, 2]))
    let gone = Self.json(
      200, ["id": "m", "error": ["code": -1, "message": "Could not find attachment with ID: a.jpg"]])
    #expect(
      try Self.step("signal", Self.image("a.jpg"), secrets, after: [gone])
        == .failed(APIFailure("Could not find attachment with ID: a.jpg")))
    let broken = Self.json(200, ["id": "m", "result": ["data": "?"]])
    guard case .failed = try Self.step("signal", Self.image("a.jpg"), secrets, after: [broken]) else {
      Issue.record("no base64")
      return
    }
    let large = Messaging.Attachment(kind: .file, externalID: "a", sizeBytes: 12 << 20)
    guard case .failed(let failure) = try Self.step("signal", large, secrets) else {
      Issue.record("too large for an answer")
      return
    }
    #expect(failure.remedy == .none)
    let sticker = Messaging.Attachment(kind: .sticker, externalID: "aa:3")
    guard case .call(let second) = try Self.step("signal", sticker, secrets),
      case .json(let document) = second.body
    else {
      Issue.record("no call for a sticker")
      return
    }
    #expect(document["method"] == "getSticker")
    #expect(document["params"] == ["account": "+491", "packId": "aa", "stickerId": 3])
  }

  @Test("WeChat: a picture's link, then its id; a video's link comes first")
  func weChat() throws {
    let media = FileStep.downloadOrAnswer(
      APIRequest("GET", "https://api.weixin.qq.com/cgi-bin/media/get?access_token=t&media_id=M"))
    #expect(try Self.step("wechat", Self.image("M"), [:], token: "t") == media)
    let link = Self.image("M", "http://mmbiz.qpic.cn/a/0")
    #expect(try Self.step("wechat", link, [:], token: "t") == Self.download("http://mmbiz.qpic.cn/a/0"))
    let gone = APIAnswer(status: 404, body: [])
    #expect(try Self.step("wechat", link, [:], token: "t", after: [gone]) == media)
    for secretless in [Self.image("M"), link] {
      let answers = secretless.url == nil ? [] : [gone]
      guard case .failed(let failure) = try Self.step("wechat", secretless, [:], after: answers) else {
        Issue.record("fetched without a token")
        continue
      }
      #expect(failure.remedy == .none)
    }
    let invalid = Self.json(200, ["errcode": 40_007, "errmsg": "invalid media_id"])
    #expect(
      try Self.step("wechat", Self.image("M"), [:], token: "t", after: [invalid])
        == .failed(APIFailure("40007: invalid media_id")))
    let ended = Self.json(200, ["errcode": 42_001, "errmsg": "access_token expired"])
    #expect(
      try Self.step("wechat", Self.image("M"), [:], token: "t", after: [ended])
        == .failed(APIFailure("42001: access_token expired", .renewToken)))
    let video = Self.json(200, ["video_url": "http://vweixinp.tc.qq.com/a.mp4"])
    #expect(
      try Self.step("wechat", Self.image("M"), [:], token: "t", after: [video])
        == Self.download("http://vweixinp.tc.qq.com/a.mp4"))
    #expect(
      try Self.step("wechat", Self.image("M"), [:], token: "t", after: [video, gone])
        == .failed(APIFailure("the video is not there yet", .later(seconds: 5))))
  }

  @Test(
    "Bird and MessageBird: the key goes to them alone, and only where the link is refused",
    arguments: ["bird", "messagebird"])
  func bird(name: String) throws {
    let own = Self.image(nil, "https://media.nest.messagebird.com/workspaces/w/messages/m/media/x")
    let refused = APIAnswer(status: 401, body: [])
    let secrets = ["accessKey": "k"]
    #expect(
      try Self.step(name, own, secrets, after: [refused])
        == Self.download(own.url ?? "", [APIField("Authorization", "AccessKey k")]))
    let foreign = Self.image(nil, "https://messagebird.com.evil.example/x")
    let ends: [FileStep] = [
      try Self.step(name, foreign, secrets, after: [refused]),
      try Self.step(name, own, [:], after: [refused]),
      try Self.step(name, own, secrets, after: [refused, refused]),
      try Self.step(name, own, secrets, after: [APIAnswer(status: 404, body: [])]),
    ]
    for step in ends {
      guard case .failed(let failure) = step else {
        Issue.record("\(step)")
        continue
      }
      #expect(failure.remedy == .none)
    }
  }

  @Test("Vonage: secured media wants a token of the application")
  func vonage() throws {
    let own = Self.image(nil, "https://api-us.nexmo.com/v3/media/1b456509")
    let secrets = ["applicationId": "app", "privateKey": TokenFixture.pem]
    let refused = APIAnswer(status: 401, body: [])
    guard case .download(let request) = try Self.step("vonage", own, secrets, after: [refused]) else {
      Issue.record("no download")
      return
    }
    #expect(request.url == own.url)
    #expect(request.headers.first?.value.hasPrefix("Bearer eyJ") == true)
    let foreign = Self.image(nil, "https://evil.example/v3/media/1b456509")
    for (file, secrets) in [(foreign, secrets), (own, ["apiKey": "k", "apiSecret": "s"])] {
      guard case .failed(let failure) = try Self.step("vonage", file, secrets, after: [refused]) else {
        Issue.record("\(file)")
        continue
      }
      #expect(failure.remedy == .none)
    }
  }

  @Test("what a refusal means for a file")
  func refusals() throws {
    let file = Self.image(nil, "https://x.example/a")
    let remedies: [(Int, APIFailure.Remedy)] = [
      (403, .none), (404, .none), (410, .none), (401, .none), (302, .none), (500, .later(seconds: nil)),
      (503, .later(seconds: nil)), (429, .later(seconds: nil)),
    ]
    for (status, remedy) in remedies {
      let step = try Self.step("custom", file, [:], after: [APIAnswer(status: status, body: [])])
      guard case .failed(let failure) = step else {
        Issue.record("\(status): \(step)")
        continue
      }
      #expect(failure.remedy == remedy, "\(status)")
    }
  }
}
