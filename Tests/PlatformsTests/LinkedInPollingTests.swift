import Bytes
import JSON
import Messaging
import Platforms
import Testing

@Suite struct LinkedInPollingTests {
  private static let secrets = ["accessToken": "T", "organization": "12345", "clientSecret": "s"]

  private static func notification(_ number: Int) -> JSONValue {
    [
      "notificationId": .integer(Int64(number)), "organizationalEntity": "urn:li:organization:12345",
      "action": "COMMENT", "sourcePost": "urn:li:share:1",
      "lastModifiedAt": .integer((ChatJobs.now.seconds + 30) * 1_000),
    ]
  }

  @Test("begins now, then asks from there on, page by page")
  func live() throws {
    let begun = try ChatJobs.poll("linkedin", Self.secrets) { _ in throw ChatJobs.Unexpected() }
    let begin = JSONValue.integer(ChatJobs.now.seconds * 1_000)
    #expect(begun.cursor == ["since": begin, "begin": begin])
    let later = Timestamp(seconds: ChatJobs.now.seconds + 900)
    let polled = try ChatJobs.poll("linkedin", cursor: begun.cursor, Self.secrets, now: later) { request in
      let start = Int(ChatJobs.query(request, "start") ?? "") ?? 0
      let count = min(50, 70 - start)
      return ChatJobs.answer(["elements": .array((start..<(start + count)).map(Self.notification))])
    }
    let range = "(start:\((ChatJobs.now.seconds - 600) * 1_000),end:\(later.seconds * 1_000))"
    let request = try #require(polled.calls.first)
    #expect(
      request.url
        == "https://api.linkedin.com/rest/organizationalEntityNotifications?q=criteria"
        + "&actions=List(COMMENT,COMMENT_EDIT,ADMIN_COMMENT,SHARE,SHARE_MENTION,LIKE)"
        + "&organizationalEntity=urn%3Ali%3Aorganization%3A12345&timeRange=\(range)&start=0&count=50")
    #expect(ChatJobs.header(request, "X-Restli-Protocol-Version") == "2.0.0")
    #expect(ChatJobs.header(request, "LinkedIn-Version")?.utf8.count == 6)
    #expect(polled.calls.count == 2 && polled.calls[1].url.contains(range))
    #expect(Set(polled.messages.map(\.externalID)).count == 70 && polled.faults.isEmpty)
    #expect(polled.cursor == ["since": .integer(later.seconds * 1_000), "begin": begin])
  }

  @Test("the webhook and a poll name the same notification alike")
  func alike() throws {
    let sweep = PollJob.Mode.sweep(since: Timestamp(seconds: ChatJobs.now.seconds - 3_600))
    let polled = try ChatJobs.poll("linkedin", sweep, Self.secrets) { _ in
      ChatJobs.answer(["elements": [Self.notification(1)], "paging": ["start": 0]])
    }
    let told = try ChatJobs.read(
      "linkedin",
      ["type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": [Self.notification(1)]])
    #expect(polled.items == told && told.count == 1)
  }

  @Test("says what stops it, and what it needs")
  func errors() throws {
    let platform = try ChatJobs.poller("linkedin")
    #expect(
      platform.canPoll(ChatJobs.secrets(Self.secrets))
        && !platform.canPoll(ChatJobs.secrets(["accessToken": "T"])))
    let mode = PollJob.Mode.sweep(since: ChatJobs.now)
    for (status, remedy) in [
      (429, APIFailure.Remedy.pauseAccount(seconds: 3_600)), (500, .later(seconds: nil)),
      (200, .later(seconds: nil)), (401, .credentials(action: "connect the LinkedIn account again")),
    ] {
      let job = PollJob(mode: mode, secrets: ChatJobs.secrets(Self.secrets), now: ChatJobs.now)
      guard case .failed(let failure) = platform.poll(job, after: [ChatJobs.answer([:], status: status)])
      else {
        Issue.record("no failure")
        continue
      }
      #expect(failure.remedy == remedy)
    }
    #expect(!(platform is any SendingPlatform))
  }

  @Test("renews its tokens")
  func tokens() throws {
    let platform = try #require(PlatformCatalogue.named("linkedin") as? any TokenPlatform)
    var values = Self.secrets
    #expect(platform.tokenRequest(ChatJobs.secrets(values), refresh: nil, now: ChatJobs.now) == nil)
    values["refreshToken"] = "R"
    values["clientId"] = "c"
    let request = try #require(
      platform.tokenRequest(ChatJobs.secrets(values), refresh: nil, now: ChatJobs.now))
    #expect(request.url == "https://www.linkedin.com/oauth/v2/accessToken")
    #expect(
      try ChatJobs.form(request) == [
        "grant_type": "refresh_token", "refresh_token": "R", "client_id": "c", "client_secret": "s",
      ])
  }
}
