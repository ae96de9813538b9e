import Bytes
import JSON
import Messaging

/// Reads the notifications of an organization that webhooks tell of; LinkedIn keeps them for 60 days
/// (https://learn.microsoft.com/linkedin/marketing, "Organization Social Action Notifications").
/// Members' conversations are not open to apps.
extension LinkedInPlatform: PollingPlatform {
  static let address = "https://api.linkedin.com"
  static let loginAddress = "https://www.linkedin.com"
  static let tokenField = "accessToken"
  static let refreshField = "refreshToken"
  static let clientField = "clientId"
  static let organizationField = "organization"
  static let versionField = "apiVersion"
  /// LinkedIn takes versions for about a year.
  private static let version = "202609"
  private static let pageMax: Int64 = 50
  private static let pagesMax: Int64 = 200
  /// Between two passes, at least.
  private static let passSeconds: Int64 = 240
  /// Notifications may become visible late.
  private static let overlapSeconds: Int64 = 600
  private static let actions = "COMMENT,COMMENT_EDIT,ADMIN_COMMENT,SHARE,SHARE_MENTION,LIKE"

  var polling: PollingPlan {
    PollingPlan(role: .sweep, intervalMin: 300, intervalMax: 1_800, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.first(Self.organizationField) != nil
      && (secrets.first(Self.tokenField) != nil || Self.canRenew(secrets))
  }

  private struct Place {
    var since: Timestamp
    /// Until when this pass goes; the next one begins there.
    var until: Timestamp
    var start: Int64
    /// When the account was first polled: what is older is no news.
    var begin: Timestamp?

    init(_ job: PollJob) {
      func time(_ name: String) -> Timestamp? {
        job.cursor?[name]?.integer.map { Timestamp(milliseconds: $0).clamped }
      }
      start = min(max(job.cursor?["start"]?.integer ?? 0, 0), pageMax * pagesMax)
      until = (start > 0 ? time("until") : nil) ?? job.now
      switch job.mode {
      case .live:
        since = time("since") ?? job.start
        begin = job.cursor == nil ? job.start : time("begin")
        if start == 0 { since = Timestamp(seconds: since.seconds - overlapSeconds) }
      case .history(let moment), .sweep(let moment): since = moment
      }
    }

    func cursor(start next: Int64?) -> JSONValue {
      var members: [String: JSONValue] = [:]
      members["begin"] = begin.map { .integer($0.microseconds / 1_000) }
      guard let next else {
        members["since"] = .integer(until.microseconds / 1_000)
        return .object(members)
      }
      members["since"] = .integer(since.microseconds / 1_000)
      members["until"] = .integer(until.microseconds / 1_000)
      members["start"] = .integer(next)
      return .object(members)
    }
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    let place = Place(job)
    guard let answer = answers.last else {
      if job.mode == .live && job.cursor == nil {
        let start = JSONValue.integer(job.start.microseconds / 1_000)
        return .page(PollPage(cursor: ["since": start, "begin": start]))
      }
      if place.start == 0, let cursor = job.cursor,
        job.isSoon(after: cursor["since"]?.integer.map { $0 / 1_000 }, seconds: Self.passSeconds)
      {
        return .page(PollPage(cursor: cursor))
      }
      return .call(request(job, place))
    }
    guard answer.isSuccess else { return .failed(failure(answer, job)) }
    guard let elements = answer.json?["elements"]?.array else {
      return .failed(.unreadable(isRepeatable: true))
    }
    let count = Int64(elements.count)
    let next = place.start + count
    let isMore = count >= Self.pageMax && next < Self.pageMax * Self.pagesMax
    let begin = place.begin ?? .earliest
    // They come newest first: news are told oldest first.
    let told = job.mode == .live ? elements.reversed() : elements
    let content = read(told, job).since { $0.sentAt >= begin }
    return .page(PollPage(content, cursor: place.cursor(start: isMore ? next : nil), hasMore: isMore))
  }

  /// The marks of lists and records stay as they are; what is in them is encoded.
  private func request(_ job: PollJob, _ place: Place) -> APIRequest {
    let secrets = job.secrets
    let organization = secrets.first(Self.organizationField) ?? ""
    let urn = organization.hasPrefix("urn:") ? organization : "urn:li:organization:\(organization)"
    let range = "(start:\(max(0, place.since.microseconds / 1_000)),end:\(place.until.microseconds / 1_000))"
    let query =
      "q=criteria&actions=List(\(Self.actions))&organizationalEntity=\(APIRequest.element(urn))"
      + "&timeRange=\(range)&start=\(place.start)&count=\(Self.pageMax)"
    return APIRequest(
      "GET", "\(secrets.apiURL(Self.address))/rest/organizationalEntityNotifications?\(query)",
      headers: [
        APIField("LinkedIn-Version", secrets.first(Self.versionField) ?? Self.version),
        APIField("X-Restli-Protocol-Version", "2.0.0"),
      ]
    ).bearer(job.token ?? secrets.first(Self.tokenField) ?? "")
  }

  /// As a webhook would tell of them.
  private func read(_ elements: [JSONValue], _ job: PollJob) -> Normalised {
    let body: JSONValue = [
      "type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": .array(elements),
    ]
    do throws(NormaliseError) {
      return try normalise(WebhookDelivery(body: body.encoded(), receivedAt: job.now))
    } catch {
      return Normalised(faults: [error])
    }
  }

  private func failure(_ answer: APIAnswer, _ job: PollJob) -> APIFailure {
    let reason = answer.json?["message"]?.string
    switch answer.status {
    case 401:
      let action = "connect the LinkedIn account again"
      return APIFailure(
        reason ?? "the access token is not valid",
        Self.canRenew(job.secrets) ? .renewToken : .credentials(action: action))
    case 403:
      let action = "the member has to be an administrator of the organization, with rw_organization_admin"
      return APIFailure(reason ?? "it is not allowed", .credentials(action: action))
    case 426:
      let action = "set apiVersion to a version of LinkedIn's API that is still served"
      return APIFailure(reason ?? "the version is not served", .credentials(action: action))
    // Quotas are per day.
    case 429:
      let wait = RetryAfter.seconds(answer, now: job.now) ?? 3_600
      return APIFailure(reason ?? "the day's quota is used up", .pauseAccount(seconds: wait))
    default: return APIFailure(answer, reason: reason, isRepeatable: true, now: job.now)
    }
  }
}

/// Refresh tokens of LinkedIn's partners
/// (https://learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens).
extension LinkedInPlatform: TokenPlatform {
  static func canRenew(_ secrets: AccountSecrets) -> Bool {
    [refreshField, clientField, secretField].allSatisfy { secrets.first($0) != nil }
  }

  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard Self.canRenew(secrets) else { return nil }
    return APIRequest(
      "POST", "\(secrets.apiURL(Self.loginAddress))/oauth/v2/accessToken",
      body: .form([
        APIField("grant_type", "refresh_token"),
        APIField("refresh_token", refresh ?? secrets.first(Self.refreshField) ?? ""),
        APIField("client_id", secrets.first(Self.clientField) ?? ""),
        APIField("client_secret", secrets.first(Self.secretField) ?? ""),
      ]))
  }
}
