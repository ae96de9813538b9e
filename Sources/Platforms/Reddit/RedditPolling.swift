import Bytes
import JSON
import Messaging

/// Reads the inbox and what was sent, newest first, down to the time up to which everything was read. A place
/// in these lists is the name of an entry, and gone when that entry is: the time is not.
extension RedditPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let overlapSeconds: Int64 = 120
  private static let lists = ["inbox", "sent"]

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 15, intervalMax: 300, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { fault(in: secrets) == nil }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    if let answer = answers.last, !answer.isSuccess {
      return .failed(RedditAPI.failure(answer, isRepeatable: true, now: job.now))
    }
    switch job.mode {
    case .live:
      guard let since = job.cursor?["since"]?.integer, let begin = job.cursor?["begin"]?.integer else {
        return begin(job, answers)
      }
      let from = max(since - Self.overlapSeconds, begin)
      return page(job, answers, notBefore: Timestamp(seconds: from), isLive: true)
    case .history(let time), .sweep(let time): return page(job, answers, notBefore: time, isLive: false)
    }
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.first else {
      return .call(RedditAPI.call("GET", "api/v1/me", job.secrets, token: job.token))
    }
    let start = JSONValue.integer(RoomRound.start(of: answer, job).seconds)
    return .page(PollPage(cursor: ["since": start, "begin": start]))
  }

  private func listing(_ name: String, after: String?, _ job: PollJob) -> APIRequest {
    RedditAPI.call(
      "GET", "message/\(name)", job.secrets, token: job.token,
      query: [
        ("limit", String(Self.pageMax)), ("after", after), ("raw_json", "1"), ("mark", "false"),
      ])
  }

  /// A page is one answer of each list that is not read down to the time yet.
  private func page(
    _ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp, isLive: Bool
  ) -> PollStep {
    var members = job.cursor?.object ?? [:]
    var content = Normalised()
    var rest = answers[...]
    let isFirst = members["until"] == nil
    var open: [JSONValue] = []
    for name in Self.lists where isFirst || members["open"]?.array?.contains(.string(name)) == true {
      guard let answer = rest.popFirst() else {
        return .call(listing(name, after: members[name]?.string, job))
      }
      let time = RoomRound.time(of: answer, now: job.now)
      if members["until"] == nil { members["until"] = .integer(time.seconds) }
      let isOver = read(answer, notBefore, job, into: &content)
      let after = answer.json?["data"]?["after"]?.string
      // The entry behind which was asked is gone, and so is what is behind it: the list is read anew.
      if members[name] != nil, answer.json?["data"]?["children"]?.array?.isEmpty == true {
        members[name] = nil
        open.append(.string(name))
        continue
      }
      if isOver || after == nil || after == members[name]?.string {
        members[name] = nil
      } else {
        members[name] = after.map { .string($0) }
        open.append(.string(name))
      }
    }
    members["open"] = open.isEmpty ? nil : .array(open)
    guard open.isEmpty else {
      return .page(PollPage(content, cursor: .object(members), hasMore: true))
    }
    if isLive { members["since"] = members["until"] ?? members["since"] }
    members["until"] = isLive ? nil : members["until"]
    return .page(PollPage(content, cursor: .object(members)))
  }

  /// - Returns: whether older entries follow than are wanted.
  private func read(
    _ answer: APIAnswer, _ notBefore: Timestamp, _ job: PollJob, into content: inout Normalised
  ) -> Bool {
    let children = (try? JSONReader(body: answer.body))?["data"]?["children"]?.array ?? []
    let own = job.secrets.first(RedditAPI.userField)
    var isOver = children.isEmpty
    // They come newest first: news are told oldest first.
    let things = children.compactMap(\.object)
    for child in job.mode == .live ? things.reversed() : things {
      let reader = JSONReader(child)
      if let data = try? reader.object("data"), let time = try? RedditThing.time(data), time < notBefore {
        isOver = true
        continue
      }
      content.read { () throws(NormaliseError) in
        try RedditThing(reader, own: own, receivedAt: job.now).items()
      }
    }
    return isOver
  }
}
