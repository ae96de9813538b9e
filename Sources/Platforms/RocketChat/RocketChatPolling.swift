import Bytes
import JSON
import Messaging

/// Reads the rooms of a user or bot. A round lists them and asks each that may have news for what changed
/// since the last round (`chat.syncMessages`): new messages, edits, deletions, reactions.
extension RocketChatPlatform: PollingPlatform {
  private static let pageMax = 100
  /// Of a cursor: the account's user name. It is asked for once in each.
  private static let nameMember = "me"

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 3, intervalMax: 60, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { RocketChatAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    if let answer = answers.last,
      case .failure(let failure) = RocketChatAPI.result(answer, isRepeatable: true, now: job.now)
    {
      // A room that the user was taken out of must not hold up the others.
      let isRoom = job.cursor?["rooms"] != nil || (job.mode == .live && answers.count > 1)
      guard isRoom, failure.remedy == .none else { return .failed(failure) }
    }
    return switch job.mode {
    case .live: live(job, answers)
    case .history(let time), .sweep(let time): history(job, answers, notBefore: time)
    }
  }

  // MARK: Live

  private func live(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    var rest = answers[...]
    var round = RoomRound(job.cursor)
    if round.since == nil { return begin(job, answers) }
    guard name(in: job) != nil else {
      guard let answer = answers.first else { return .call(me(job)) }
      return .page(PollPage(cursor: cursor(round.json, Self.name(in: answer)), hasMore: true))
    }
    if !round.isUnderWay {
      guard let answer = rest.popFirst() else { return .call(rooms(job)) }
      guard let list = answer.json?["update"]?.array else { return .failed(.unreadable("list of rooms")) }
      let time = RoomRound.time(of: answer, now: job.now)
      let fresh = list.compactMap { RocketChatRoom($0) }
        .filter { round.mayHaveNews($0.lastMessageAt, now: time) }
      round.begin(at: time, rooms: fresh.map(\.json))
      if !round.isUnderWay { return .page(PollPage(cursor: cursor(round.json, name(in: job)))) }
    }
    let page = round.page.compactMap { RocketChatRoom($0) }
    guard rest.count >= page.count else {
      let query: [(String, String?)] = [("roomId", page[rest.count].id), ("lastUpdate", round.from.rfc3339)]
      return .call(RocketChatAPI.call("GET", "chat.syncMessages", job.secrets, query: query))
    }
    var content = Normalised()
    for (room, answer) in zip(page, rest) { add(answer, room, job, to: &content) }
    round.advance()
    return .page(
      PollPage(
        round.news(content), cursor: cursor(round.json, name(in: job)), hasMore: round.isUnderWay))
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.first else { return .call(me(job)) }
    let round = RoomRound(since: RoomRound.start(of: answer, job))
    return .page(PollPage(cursor: cursor(round.json, Self.name(in: answer))))
  }

  // MARK: The account's own name

  private func me(_ job: PollJob) -> APIRequest { RocketChatAPI.call("GET", "me", job.secrets) }

  private func name(in job: PollJob) -> String? { job.cursor?[Self.nameMember]?.string }

  /// A server that does not tell it is not asked again.
  private static func name(in answer: APIAnswer) -> String { answer.json?["username"]?.string ?? "" }

  private func cursor(_ members: [String: JSONValue], _ name: String?) -> JSONValue {
    .object(members.merging([Self.nameMember: .string(name ?? "")]) { $1 })
  }

  private func rooms(_ job: PollJob) -> APIRequest { RocketChatAPI.call("GET", "rooms.get", job.secrets) }

  private func add(_ answer: APIAnswer, _ room: RocketChatRoom, _ job: PollJob, to content: inout Normalised)
  {
    guard answer.isSuccess, let reader = try? JSONReader(body: answer.body) else { return }
    content.read { () throws(NormaliseError) in
      let result = try reader.object("result") ?? JSONReader([:])
      var items: [InboundItem] = []
      for entry in try result.objects("deleted", max: 10_000) ?? [] {
        let at = RocketChatEvent.moment(entry["_deletedAt"]) ?? job.now
        items.append(
          .delete(
            MessageDeletion(
              conversation: room.conversation, externalIDs: [try entry.requiredID("_id")], at: at)))
      }
      return items
    }
    let updated = reader["result"]?["updated"]?.array ?? []
    // They come newest first: news are told oldest first.
    add(updated.reversed(), room, job, to: &content)
  }

  private func add(
    _ messages: [JSONValue], _ room: RocketChatRoom, _ job: PollJob, to content: inout Normalised
  ) {
    let own = job.secrets.first(RocketChatAPI.userField)
    for message in messages.compactMap(\.object) {
      content.read { () throws(NormaliseError) in
        try RocketChatMessage(
          JSONReader(message), conversation: room.conversation, own: own, ownName: name(in: job)
        ).items()
      }
    }
  }

  // MARK: History

  /// The first page lists the rooms; then a page is one answer of one room.
  private func history(_ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp) -> PollStep {
    guard let rooms = job.cursor?["rooms"]?.array else {
      guard let first = answers.first else { return .call(me(job)) }
      guard let answer = answers.dropFirst().first else { return .call(self.rooms(job)) }
      let list = (answer.json?["update"]?.array ?? []).compactMap { RocketChatRoom($0) }
        .filter { $0.lastMessageAt.map { $0 >= notBefore } ?? false }
        .sorted { ($0.lastMessageAt ?? .earliest) > ($1.lastMessageAt ?? .earliest) }
        .prefix(RoomRound.roomsMax)
      let members: [String: JSONValue] = ["rooms": .array(list.map(\.json))]
      return .page(PollPage(cursor: cursor(members, Self.name(in: first)), hasMore: !list.isEmpty))
    }
    guard let room = rooms.first.flatMap({ RocketChatRoom($0) }) else {
      return .page(PollPage(cursor: job.cursor ?? [:]))
    }
    guard let answer = answers.first else {
      let query: [(String, String?)] = [
        ("roomId", room.id), ("count", String(Self.pageMax)), ("latest", job.cursor?["latest"]?.string),
        ("oldest", notBefore.rfc3339), ("inclusive", "true"),
      ]
      return .call(RocketChatAPI.call("GET", room.history, job.secrets, query: query))
    }
    let all = (try? JSONReader(body: answer.body))?["messages"]?.array ?? []
    let times = all.compactMap { RocketChatEvent.moment($0["ts"]) }
    let kept = all.filter { (RocketChatEvent.moment($0["ts"]) ?? .earliest) >= notBefore }
    var content = Normalised()
    add(kept, room, job, to: &content)
    let oldest = times.min()?.rfc3339
    let isStuck = oldest == nil || oldest == job.cursor?["latest"]?.string
    let isOver = !answer.isSuccess || all.count < Self.pageMax || isStuck
    let left = isOver ? Array(rooms.dropFirst()) : rooms
    var members: [String: JSONValue] = ["rooms": .array(left)]
    members["latest"] = isOver ? nil : oldest.map { .string($0) }
    return .page(PollPage(content, cursor: cursor(members, name(in: job)), hasMore: !left.isEmpty))
  }
}
