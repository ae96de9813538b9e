import Bytes
import JSON
import Messaging

/// Reads the log of all conversations from a revision on. The first poll takes the newest revision there is;
/// history lists the conversations and reads each from its newest message down.
extension BlueskyPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let overlapSeconds: Int64 = 120
  /// Conversations of a page of the log whose people are asked for.
  private static let questionsMax = 20

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 3, intervalMax: 60, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { fault(in: secrets) == nil }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    // A conversation that the account left must not hold up the others.
    if let answer = answers.last, !answer.isSuccess {
      let failure = failure(answer, job)
      let isConversation = answers.count > 1 || job.cursor?["convos"]?[0] != nil
      guard isConversation, failure.remedy == .none else { return .failed(failure) }
    }
    return switch job.mode {
    case .live: live(job, answers)
    case .history(let time), .sweep(let time): history(job, answers, notBefore: time)
    }
  }

  private func failure(_ answer: APIAnswer, _ job: PollJob) -> APIFailure {
    if answer.json?["error"] == "InvalidCursor" {
      return APIFailure("the place in the log is gone", .restart)
    }
    return BlueskyAPI.failure(answer, isRepeatable: true, now: job.now)
  }

  private func call(_ name: String, _ job: PollJob, _ query: [(String, String?)]) -> APIRequest {
    BlueskyAPI.chat("GET", name, job.secrets, token: job.token, query: query)
  }

  private func own(_ job: PollJob) -> String? { BlueskyAPI.did(job.token) ?? job.account }

  // MARK: Live

  private func live(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let cursor = job.cursor else {
      guard let answer = answers.first else { return .call(call("listConvos", job, [("limit", "1")])) }
      let start = BlueskyAPI.revision(at: job.start)
      let newest = answer.json?["convos"]?[0]?["rev"]?.string
      return .page(PollPage(cursor: ["rev": newest.map { .string(min($0, start)) } ?? .null]))
    }
    let rev = cursor["rev"]?.string
    guard let answer = answers.first else { return .call(call("getLog", job, [("cursor", rev)])) }
    let entries: [JSONReader]
    do throws(NormaliseError) {
      let body = try JSONReader(body: answer.body)
      entries = try body.required("logs", body.objects("logs", max: 10_000))
    } catch {
      return .failed(.unreadable("log: \(error)"))
    }
    let places = Self.places(entries)
    let details = answers.dropFirst()
    if details.count < places.count {
      return .call(call("getConvo", job, [("convoId", places[details.count])]))
    }
    var log = BlueskyLog(own: own(job), receivedAt: job.now)
    for answer in details {
      if let known = BlueskyConversation(answer.json?["convo"]) { log.conversations[known.id] = known }
    }
    var content = Normalised()
    for entry in entries { content.read { () throws(NormaliseError) in try log.items(entry) } }
    let next = answer.json?["cursor"]?.string ?? Self.newest(entries) ?? rev
    return .page(
      PollPage(
        content, cursor: ["rev": next.map { .string($0) } ?? .null], hasMore: !entries.isEmpty && next != rev)
    )
  }

  /// Conversations in which something was said.
  private static func places(_ entries: [JSONReader]) -> [String] {
    var places: [String] = []
    for entry in entries where entry["$type"]?.string?.hasSuffix("#logCreateMessage") == true {
      if let id = entry["convoId"]?.string, !places.contains(id) { places.append(id) }
    }
    return Array(places.prefix(questionsMax))
  }

  /// Revisions sort as texts.
  private static func newest(_ entries: [JSONReader]) -> String? {
    entries.compactMap { $0["rev"]?.string }.max()
  }

  // MARK: History

  /// A page is a list of conversations, or one answer of one conversation.
  private func history(_ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp) -> PollStep {
    var members = job.cursor?.object ?? [:]
    guard let convos = members["convos"]?.array, let first = convos.first, let id = first["id"]?.string else {
      return list(job, answers, notBefore)
    }
    guard let answer = answers.first else {
      let query: [(String, String?)] = [
        ("convoId", id), ("limit", String(Self.pageMax)), ("cursor", members["page"]?.string),
      ]
      return .call(call("getMessages", job, query))
    }
    var log = BlueskyLog(own: own(job), receivedAt: job.now)
    log.conversations[id] = BlueskyConversation(first)
    let all = ((try? JSONReader(body: answer.body))?["messages"]?.array ?? []).compactMap(\.object)
    let kept = all.filter { message in
      message["sentAt"]?.string.flatMap { Timestamp(rfc3339: $0) }.map { $0 >= notBefore } ?? true
    }
    var content = Normalised()
    for message in kept {
      content.read { () throws(NormaliseError) in try log.listed(JSONReader(message), id) }
    }
    let page = answer.json?["cursor"]?.string
    let isOver = page == nil || page == members["page"]?.string || kept.count < all.count || all.isEmpty
    members["page"] = isOver ? nil : page.map { .string($0) }
    let left = isOver ? Array(convos.dropFirst()) : convos
    members["convos"] = .array(left)
    let hasMore = !left.isEmpty || members["next"] != nil || Self.turns(&members, job)
    return .page(PollPage(content, cursor: .object(members), hasMore: hasMore))
  }

  /// All conversations were read. - Returns: whether another pass follows.
  private static func turns(_ members: inout [String: JSONValue], _ job: PollJob) -> Bool {
    HistoryPass.turn(&members, isLast: true, now: job.now, overlapSeconds: overlapSeconds)
  }

  private func list(_ job: PollJob, _ answers: [APIAnswer], _ notBefore: Timestamp) -> PollStep {
    let next = job.cursor?["next"]?.string
    let from = HistoryPass.from(job) ?? notBefore
    guard let answer = answers.first else {
      return .call(call("listConvos", job, [("limit", "50"), ("cursor", next)]))
    }
    let convos = (answer.json?["convos"]?.array ?? []).filter { convo in
      let last = convo["lastMessage"]?["sentAt"]?.string.flatMap { Timestamp(rfc3339: $0) }
      return convo["id"]?.string != nil && (last.map { $0 >= from } ?? false)
    }
    var members = HistoryPass.members(of: job)
    members["convos"] = .array(convos.map(Self.kept))
    let following = answer.json?["cursor"]?.string
    if let following, following != next {
      members["next"] = .string(following)
      _ = HistoryPass.turn(&members, isLast: false, now: job.now, overlapSeconds: Self.overlapSeconds)
    }
    let hasMore = !convos.isEmpty || members["next"] != nil || Self.turns(&members, job)
    return .page(PollPage(cursor: .object(members), hasMore: hasMore))
  }

  /// What a cursor keeps of a conversation: who is in it.
  private static func kept(_ convo: JSONValue) -> JSONValue {
    let people = (convo["members"]?.array ?? []).prefix(10).map { member in
      JSONValue.object(
        (member.object ?? [:]).filter { ["did", "handle", "displayName", "avatar"].contains($0.key) })
    }
    var members: [String: JSONValue] = ["id": convo["id"] ?? .null, "members": .array(people)]
    members["kind"] = convo["kind"]
    return .object(members)
  }
}
