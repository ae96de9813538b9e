import Bytes
import JSON
import Messaging

/// Reads an event queue with long polls (https://zulip.com/api/register-queue). A queue that the server
/// threw away is registered anew, and what came meanwhile is listed from the newest message that was read,
/// with some before it for their edits.
extension ZulipPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let before = 50
  private static let questionsMax = 50
  /// The server ends a poll with a heartbeat before that.
  private static let waitSeconds = 120
  private static let eventTypes: JSONValue = [
    "message", "update_message", "delete_message", "reaction", "typing",
  ]

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 1, intervalMax: 60, isLongPoll: true, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { ZulipAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    switch job.mode {
    case .live: live(job, answers)
    case .history(let time), .sweep(let time): history(job, answers, notBefore: time)
    }
  }

  private func result(_ answer: APIAnswer, _ job: PollJob) -> Result<JSONValue, APIFailure> {
    ZulipAPI.result(answer, isRepeatable: true, now: job.now)
  }

  // MARK: Live

  private func live(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    let cursor = ZulipCursor(job.cursor)
    if cursor.queue == nil { return register(job, cursor, answers) }
    if cursor.back != nil { return lookBack(job, cursor, answers.first) }
    if cursor.isBehind { return catchUp(job, cursor, answers.first) }
    guard let answer = answers.first else { return .call(events(cursor, job)) }
    switch result(answer, job) {
    case .success: return read(answer, job, cursor, answers.dropFirst())
    case .failure(let failure):
      guard failure.remedy == .restart else { return .failed(failure) }
      var lost = cursor
      lost.queue = nil
      lost.lastEvent = -1
      lost.isBehind = cursor.message != nil
      return .page(PollPage(cursor: lost.json, hasMore: true))
    }
  }

  /// Who is polled for, then a queue.
  private func register(_ job: PollJob, _ before: ZulipCursor, _ answers: [APIAnswer]) -> PollStep {
    var cursor = before
    var rest = answers[...]
    if cursor.user == nil {
      guard let answer = rest.popFirst() else {
        return .call(ZulipAPI.call("GET", "users/me", job.secrets))
      }
      switch result(answer, job) {
      case .failure(let failure): return .failed(failure)
      case .success(let json): cursor.user = json["user_id"]?.identifier
      }
      guard cursor.user != nil else { return .failed(.unreadable("user")) }
    }
    guard let answer = rest.popFirst() else {
      let form: [(String, String?)] = [
        ("event_types", ZulipAPI.json(Self.eventTypes)), ("fetch_event_types", "[\"message\"]"),
        ("apply_markdown", "false"), ("client_gravatar", "false"),
      ]
      return .call(ZulipAPI.call("POST", "register", job.secrets, form: form, isRepeatable: true))
    }
    switch result(answer, job) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      guard let queue = json["queue_id"]?.identifier else { return .failed(.unreadable("event queue")) }
      cursor.queue = queue
      cursor.lastEvent = json["last_event_id"]?.integer ?? -1
      if cursor.message == nil {
        cursor.message = json["max_message_id"]?.integer
        cursor.begin = RoomRound.start(of: answer, job).seconds
        cursor.back = .max
      }
      return .page(PollPage(cursor: cursor.json, hasMore: cursor.isBehind || cursor.back != nil))
    }
  }

  private func events(_ cursor: ZulipCursor, _ job: PollJob) -> APIRequest {
    var request = ZulipAPI.call(
      "GET", "events", job.secrets,
      query: [
        ("queue_id", cursor.queue), ("last_event_id", String(cursor.lastEvent)),
        ("dont_block", job.mayWait ? nil : "true"),
      ])
    request.timeoutSeconds = Self.waitSeconds
    request.isLongLived = job.mayWait
    return request
  }

  private func read(
    _ answer: APIAnswer, _ job: PollJob, _ cursor: ZulipCursor, _ more: ArraySlice<APIAnswer>
  ) -> PollStep {
    let list: [JSONReader]
    do throws(NormaliseError) {
      list = try JSONReader(body: answer.body).objects("events", max: 10_000) ?? []
    } catch {
      return .failed(.unreadable("list of events: \(error)"))
    }
    let unknown = ZulipEvents.unknown(list, cursor).prefix(Self.questionsMax)
    if more.count < unknown.count {
      let id = unknown[unknown.startIndex + more.count]
      return .call(
        ZulipAPI.call("GET", "messages/\(id)", job.secrets, query: [("apply_markdown", "false")]))
    }
    var events = ZulipEvents(cursor: cursor, job: job)
    for answer in more {
      if case .failure(let failure) = result(answer, job), failure.remedy != .none { return .failed(failure) }
      events.learn(answer)
    }
    events.add(events: list)
    return .page(PollPage(events.content, cursor: events.cursor.json))
  }

  /// Before there is a queue nothing is told: what was said since polling was set up is listed, the newest
  /// first.
  private func lookBack(_ job: PollJob, _ cursor: ZulipCursor, _ answer: APIAnswer?) -> PollStep {
    let anchor = cursor.back.flatMap { $0 == .max ? nil : String($0) } ?? "newest"
    guard let answer else { return .call(messages(job, anchor: anchor, before: Self.pageMax, after: 0)) }
    switch result(answer, job) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      let all = Self.list(answer)
      let news = all.filter { ($0["timestamp"]?.integer ?? .min) >= cursor.begin ?? .max }
      var events = ZulipEvents(cursor: cursor, job: job)
      events.add(messages: news)
      var next = events.cursor
      let oldest = news.compactMap { $0["id"]?.integer }.min()
      let isOver =
        json["found_oldest"]?.bool ?? true || news.count < all.count || oldest == cursor.back
      next.back = isOver ? nil : oldest
      return .page(PollPage(events.content, cursor: next.json, hasMore: true))
    }
  }

  private func catchUp(_ job: PollJob, _ cursor: ZulipCursor, _ answer: APIAnswer?) -> PollStep {
    let anchor = cursor.message.map { String($0) } ?? "newest"
    guard let answer else {
      return .call(messages(job, anchor: anchor, before: Self.before, after: Self.pageMax))
    }
    switch result(answer, job) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      var events = ZulipEvents(cursor: cursor, job: job)
      events.add(messages: Self.list(answer))
      var next = events.cursor
      let isOver = json["found_newest"]?.bool ?? true || next.message == cursor.message
      next.isBehind = !isOver
      return .page(PollPage(events.content, cursor: next.json, hasMore: !isOver))
    }
  }

  private func messages(_ job: PollJob, anchor: String, before: Int, after: Int) -> APIRequest {
    ZulipAPI.call(
      "GET", "messages", job.secrets,
      query: [
        ("anchor", anchor), ("num_before", String(before)), ("num_after", String(after)),
        ("apply_markdown", "false"), ("client_gravatar", "false"),
      ])
  }

  private static func list(_ answer: APIAnswer) -> [JSONReader] {
    guard let reader = try? JSONReader(body: answer.body) else { return [] }
    return (reader["messages"]?.array ?? []).compactMap(\.object).map { JSONReader($0, path: "messages") }
  }

  // MARK: History

  /// All messages of the user, newest first.
  private func history(_ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp) -> PollStep {
    var cursor = ZulipCursor(job.cursor)
    var rest = answers[...]
    if cursor.user == nil {
      guard let answer = rest.popFirst() else {
        return .call(ZulipAPI.call("GET", "users/me", job.secrets))
      }
      switch result(answer, job) {
      case .failure(let failure): return .failed(failure)
      case .success(let json): cursor.user = json["user_id"]?.identifier ?? ""
      }
    }
    let anchor = cursor.message.map { String($0) } ?? "newest"
    guard let answer = rest.popFirst() else {
      return .call(messages(job, anchor: anchor, before: Self.pageMax, after: 0))
    }
    switch result(answer, job) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      let all = Self.list(answer)
      let kept = all.filter { ($0["timestamp"]?.integer ?? .min) >= notBefore.seconds }
      var events = ZulipEvents(cursor: cursor, job: job)
      events.add(messages: kept.reversed())
      let oldest = all.compactMap { $0["id"]?.integer }.min()
      let isOver =
        json["found_oldest"]?.bool ?? true || kept.count < all.count || oldest == nil
        || oldest == cursor.message
      cursor.message = oldest ?? cursor.message
      return .page(PollPage(events.content, cursor: cursor.json, hasMore: !isOver))
    }
  }
}
