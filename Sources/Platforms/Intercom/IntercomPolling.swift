import Bytes
import JSON
import Messaging

/// Searches for conversations that changed and reads each. Webhooks tell the same; this fills their holes.
extension IntercomPlatform: PollingPlatform {
  /// Each is read with a call of its own.
  private static let pageMax = 20
  /// The search finds what changed some moments later.
  private static let overlapSeconds: Int64 = 180

  var polling: PollingPlan {
    PollingPlan(role: .sweep, intervalMin: 10, intervalMax: 300, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { secrets.first(IntercomAPI.tokenField) != nil }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    // A conversation that is gone must not hold up the others.
    if let answer = answers.last, !answer.isSuccess, answers.count == 1 || answer.status != 404 {
      // The place among the pages is gone: the search begins anew.
      if answers.count == 1, answer.status == 400, var members = job.cursor?.object, members["after"] != nil {
        members["after"] = nil
        return .page(PollPage(cursor: .object(members), hasMore: job.mode != .live))
      }
      return .failed(IntercomAPI.failure(answer, isRepeatable: true, now: job.now))
    }
    switch job.mode {
    case .live:
      guard let since = job.cursor?["since"]?.integer else { return begin(job, answers) }
      let begin = Timestamp(seconds: job.cursor?["begin"]?.integer ?? since)
      return page(job, answers, since: since - Self.overlapSeconds, notBefore: begin, isLive: true)
    case .history(let time), .sweep(let time):
      let from = HistoryPass.from(job) ?? time
      return page(job, answers, since: from.seconds, notBefore: time, isLive: false)
    }
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.first else { return .call(IntercomAPI.call("GET", "me", job.secrets)) }
    let start = JSONValue.integer(RoomRound.start(of: answer, job).seconds)
    return .page(PollPage(cursor: ["since": start, "begin": start]))
  }

  private func search(_ since: Int64, _ job: PollJob, isLive: Bool) -> APIRequest {
    var pagination: [String: JSONValue] = ["per_page": .integer(Int64(Self.pageMax))]
    pagination["starting_after"] = job.cursor?["after"]
    let body: JSONValue = [
      "query": ["field": "updated_at", "operator": ">", "value": .integer(since)],
      "sort": ["field": "updated_at", "order": .string(isLive ? "ascending" : "descending")],
      "pagination": .object(pagination),
    ]
    return IntercomAPI.call("POST", "conversations/search", job.secrets, body: body, isRepeatable: true)
  }

  private func page(
    _ job: PollJob, _ answers: [APIAnswer], since: Int64, notBefore: Timestamp, isLive: Bool
  ) -> PollStep {
    guard let found = answers.first else { return .call(search(since, job, isLive: isLive)) }
    guard let list = found.json?["conversations"]?.array ?? found.json?["data"]?.array else {
      return .failed(.unreadable("list of conversations"))
    }
    let ids = list.compactMap { $0["id"]?.identifier }.prefix(Self.pageMax)
    let read = answers.dropFirst()
    guard read.count >= ids.count else {
      return .call(
        IntercomAPI.call("GET", "conversations/\(APIRequest.element(ids[read.count]))", job.secrets))
    }
    var content = Normalised()
    for answer in read where answer.isSuccess { add(answer, job, notBefore, to: &content) }
    var members = job.cursor?.object ?? [:]
    let after = found.json?["pages"]?["next"]?["starting_after"]?.string
    members["after"] = after.map { .string($0) }
    if isLive {
      let newest = list.compactMap { $0["updated_at"]?.integer }.max() ?? since
      members["since"] = .integer(max(job.cursor?["since"]?.integer ?? newest, newest))
      // The pages of one search belong together: where it began stays until its end.
      if after != nil { members["since"] = job.cursor?["since"] }
      return .page(PollPage(content, cursor: .object(members), hasMore: after != nil))
    }
    let hasMore = HistoryPass.turn(
      &members, isLast: after == nil, now: job.now, overlapSeconds: Self.overlapSeconds)
    return .page(PollPage(content, cursor: .object(members), hasMore: hasMore))
  }

  /// Reads a conversation as the notification that would have told of it.
  private func add(
    _ answer: APIAnswer, _ job: PollJob, _ notBefore: Timestamp, to content: inout Normalised
  ) {
    do throws(NormaliseError) {
      let item = try JSONReader(body: answer.body)
      let updated = item["updated_at"] ?? .integer(job.now.seconds)
      let wrapped = JSONReader([
        "topic": "conversation.polled", "created_at": updated, "data": ["item": .object(item.members)],
        "id": .string("polled:\(item["id"]?.identifier ?? ""):\(updated.identifier ?? "")"),
      ])
      let read = try IntercomNotification(wrapped, receivedAt: job.now).read()
      content.add(read.since { $0.sentAt >= notBefore }.items)
      content.faults += read.faults
    } catch {
      content.faults.append(error)
    }
  }
}
