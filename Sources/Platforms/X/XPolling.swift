import Bytes
import JSON
import Messaging

/// Reads direct messages of the last 30 days, newest first
/// (https://docs.x.com/x-api/direct-messages/lookup/introduction). There is no way to ask for what is
/// behind an id, so a poll turns pages until it meets one that it knows.
extension XPlatform: PollingPlatform {
  private static let pageMax = "100"
  private static let tokenBytesMax = 1_024
  /// Between two passes, at least.
  private static let passSeconds: Int64 = 45

  /// X counts 15 questions in 15 minutes for a user.
  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 60, intervalMax: 900, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.first(Self.userField) != nil
      && (secrets.first(XAPI.tokenField) != nil || Self.canRenew(secrets))
  }

  private struct Place {
    /// What is behind this is wanted.
    var since: String
    /// The newest that this pass has met.
    var newest: String
    var page: String?
    let now: Int64

    init(_ job: PollJob) {
      now = job.now.seconds
      switch job.mode {
      case .live: since = job.cursor?["since"]?.string ?? XAPI.id(at: job.start)
      case .history(let time), .sweep(let time): since = XAPI.id(at: time)
      }
      newest = job.cursor?["newest"]?.string ?? since
      page = job.cursor?["page"]?.string
    }

    func cursor(page next: String?) -> JSONValue {
      guard let next else { return ["since": .string(newest), "at": .integer(now)] }
      return ["since": .string(since), "newest": .string(newest), "page": .string(next)]
    }
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    let place = Place(job)
    guard let answer = answers.last else {
      if job.mode == .live && job.cursor == nil { return .page(PollPage(cursor: place.cursor(page: nil))) }
      if place.page == nil, let cursor = job.cursor,
        job.isSoon(after: cursor["at"]?.integer, seconds: Self.passSeconds)
      {
        return .page(PollPage(cursor: cursor))
      }
      return .call(request(job, place))
    }
    let canRenew = Self.canRenew(job.secrets)
    switch XAPI.result(answer, isRepeatable: true, canRenew: canRenew, now: job.now) {
    case .failure(let failure):
      // The place among the pages is gone: the pass begins anew.
      if place.page != nil && answer.status == 400 {
        return .page(PollPage(cursor: ["since": .string(place.since)], hasMore: job.mode != .live))
      }
      return .failed(failure)
    case .success(let json): return .page(page(json, place, job))
    }
  }

  private func request(_ job: PollJob, _ place: Place) -> APIRequest {
    XAPI.call(
      "GET", "dm_events", job.secrets, token: job.token,
      query: [
        (
          "dm_event.fields",
          "id,text,event_type,created_at,dm_conversation_id,sender_id,participant_ids,attachments,entities"
        ), ("event_types", "MessageCreate,ParticipantsJoin,ParticipantsLeave"),
        ("expansions", "sender_id,attachments.media_keys"),
        ("user.fields", "name,username,profile_image_url"),
        ("media.fields", "media_key,type,url,preview_image_url"), ("max_results", Self.pageMax),
        ("pagination_token", place.page),
      ])
  }

  // MARK: Reading

  private func page(_ json: JSONValue, _ place: Place, _ job: PollJob) -> PollPage {
    var place = place
    var content = Normalised()
    var isPast = false
    for event in (json["data"]?.array ?? []).reversed() {
      guard let id = event["id"]?.identifier else {
        content.faults.append(.missing(path: "data.id"))
        continue
      }
      guard TrailingWindow.isBefore(place.since, id) else {
        isPast = true
        continue
      }
      if TrailingWindow.isBefore(place.newest, id) { place.newest = id }
      do throws(NormaliseError) {
        content.add(try items(event, json["includes"], job))
      } catch {
        content.faults.append(error)
      }
    }
    let token = json["meta"]?["next_token"]?.string.flatMap { text in
      text.utf8.count > Self.tokenBytesMax || text == place.page ? nil : text
    }
    let next = isPast ? nil : token
    return PollPage(content, cursor: place.cursor(page: next), hasMore: next != nil)
  }

  private func items(
    _ event: JSONValue, _ includes: JSONValue?, _ job: PollJob
  ) throws(NormaliseError) -> [InboundItem] {
    guard let members = event.object else { throw .wrongType(path: "data", expected: "a list of objects") }
    let type = event["event_type"]?.string ?? "MessageCreate"
    guard type == "MessageCreate" else { return try membership(JSONReader(members), type, job) }
    var payload = members
    let sender = event["sender_id"]?.identifier
    let users = includes?["users"]?.array ?? []
    payload["sender"] = users.first { $0["id"]?.identifier == sender && sender != nil }
    let keys = (event["attachments"]?["media_keys"]?.array ?? []).compactMap(\.string)
    let media = (includes?["media"]?.array ?? []).filter { file in
      file["media_key"]?.string.map(keys.contains) ?? false
    }
    if !media.isEmpty { payload["media"] = .array(media) }
    let own = job.secrets.first(Self.userField) ?? job.account ?? ""
    let data: [String: JSONValue] = [
      "event_type": sender == own ? "dm.sent" : "dm.received", "filter": ["user_id": .string(own)],
      "payload": .object(payload), "event_uuid": event["id"] ?? .null,
    ]
    return try XEvent.activity(JSONReader(data), own: own, receivedAt: job.now).items
  }

  private func membership(
    _ event: JSONReader, _ type: String, _ job: PollJob
  ) throws(NormaliseError) -> [InboundItem] {
    let people = try (event.ids("participant_ids") ?? []).map { Person(id: $0) }
    let conversation = try event.requiredID("dm_conversation_id")
    let at = try event.text("created_at").flatMap { Timestamp(rfc3339: $0)?.clamped } ?? job.now
    let isJoined = type == "ParticipantsJoin"
    // Two people with a hyphen between them are no group: nobody joins.
    guard !people.isEmpty, conversation.split(separator: "-").count == 1 else { return [] }
    return [
      .membership(
        MembershipChange(
          conversation: ConversationRef(externalID: conversation, kind: .group),
          joined: isJoined ? people : [], left: isJoined ? [] : people, at: at))
    ]
  }
}
