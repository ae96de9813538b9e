import Bytes
import JSON
import Messaging

/// Reads the channels of a user or bot. A round lists them and asks each that may have news for the posts
/// that changed since the last round: new ones, edits, deletions, reactions.
extension MattermostPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let namesMax = 200
  /// Posts that the server gives of what changed since a time; which of more is not said.
  private static let changesMax = 1_000

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 3, intervalMax: 60, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { MattermostAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    // A channel that the user was taken out of must not hold up the others.
    if let answer = answers.last, !answer.isSuccess, ![403, 404].contains(answer.status) {
      return .failed(MattermostAPI.failure(answer, isRepeatable: true, now: job.now))
    }
    return switch job.mode {
    case .live: live(job, answers)
    case .history(let time), .sweep(let time): history(job, answers, notBefore: time)
    }
  }

  // MARK: Live

  private func live(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    var rest = answers[...]
    guard let user = job.cursor?["user"]?.string else { return begin(job, answers) }
    if let full = job.cursor?["full"]?[0].flatMap({ MattermostChannel($0) }) {
      return turnOver(full, user, job, answers)
    }
    var round = RoomRound(job.cursor)
    if !round.isUnderWay {
      guard let answer = rest.popFirst() else { return .call(channels(user, job)) }
      guard let list = answer.json?.array else { return .failed(.unreadable("list of channels")) }
      let time = RoomRound.time(of: answer, now: job.now)
      let fresh = list.compactMap { MattermostChannel($0) }
        .filter { round.mayHaveNews($0.lastPostAt, now: time) }
      round.begin(at: time, rooms: fresh.map(\.json))
      if !round.isUnderWay { return .page(PollPage(cursor: cursor(user, round))) }
    }
    let rooms = round.page.compactMap { MattermostChannel($0) }
    guard rest.count >= rooms.count else {
      let room = rooms[rest.count]
      let since = String(round.from.microseconds / 1_000)
      return .call(posts(room, job, query: [("since", since)]))
    }
    let pages = Array(zip(rooms, rest.prefix(rooms.count).map(Self.posts)))
    let unnamed = Self.people(pages)
    if !unnamed.isEmpty, rest.count == rooms.count { return .call(users(unnamed, job)) }
    let names = Self.names(rest.dropFirst(rooms.count).first)
    var content = Normalised()
    // They come newest first: news are told oldest first.
    for (room, posts) in pages { Self.add(posts.reversed(), room, user, names, to: &content) }
    let full = zip(rooms, rest).filter { ($1.json?["order"]?.array ?? []).count >= Self.changesMax }
    var next: [String: JSONValue] = ["user": .string(user)]
    if !full.isEmpty {
      next["full"] = .array(full.map(\.0.json))
      next["from"] = .integer(round.from.microseconds / 1_000)
    }
    let news = round.news(content)
    round.advance()
    let cursor = JSONValue.object(round.json.merging(next) { $1 })
    return .page(PollPage(news, cursor: cursor, hasMore: round.isUnderWay || !full.isEmpty))
  }

  /// A channel of which more changed than the server gives at once: its posts are turned over, the newest
  /// first, down to where its round began.
  private func turnOver(
    _ room: MattermostChannel, _ user: String, _ job: PollJob, _ answers: [APIAnswer]
  ) -> PollStep {
    let page = job.cursor?["page"]?.integer ?? 0
    guard let answer = answers.first else {
      return .call(
        posts(room, job, query: [("page", String(page)), ("per_page", String(Self.pageMax))]))
    }
    let all = Self.posts(answer)
    let from = job.cursor?["from"]?.integer ?? 0
    let posts = all.filter { ($0["create_at"]?.integer ?? 0) >= from }
    let people = Self.people([(room, posts)])
    if !people.isEmpty, answers.count == 1 { return .call(users(people, job)) }
    var content = Normalised()
    Self.add(posts, room, user, Self.names(answers.dropFirst().first), to: &content)
    var members = job.cursor?.object ?? [:]
    if all.count < Self.pageMax || posts.count < all.count {
      let left = Array((members["full"]?.array ?? []).dropFirst())
      members["full"] = left.isEmpty ? nil : .array(left)
      members["page"] = nil
    } else {
      members["page"] = .integer(page + 1)
    }
    let round = RoomRound(job.cursor)
    return .page(
      PollPage(
        round.news(content), cursor: .object(members), hasMore: round.isUnderWay || members["full"] != nil))
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.first else { return .call(MattermostAPI.call("GET", "users/me", job.secrets)) }
    guard let user = answer.json?["id"]?.string else { return .failed(.unreadable("user")) }
    let round = RoomRound(since: RoomRound.start(of: answer, job))
    return .page(PollPage(cursor: cursor(user, round)))
  }

  private func cursor(_ user: String, _ round: RoomRound) -> JSONValue {
    .object(round.json.merging(["user": .string(user)]) { $1 })
  }

  private func channels(_ user: String, _ job: PollJob) -> APIRequest {
    MattermostAPI.call("GET", "users/\(APIRequest.element(user))/channels", job.secrets)
  }

  private func posts(_ room: MattermostChannel, _ job: PollJob, query: [(String, String?)]) -> APIRequest {
    MattermostAPI.call("GET", "channels/\(APIRequest.element(room.id))/posts", job.secrets, query: query)
  }

  private func users(_ ids: [String], _ job: PollJob) -> APIRequest {
    MattermostAPI.call(
      "POST", "users/ids", job.secrets, body: .json(.array(ids.map { .string($0) })), isRepeatable: true)
  }

  // MARK: Answers

  /// Newest first.
  private static func posts(_ answer: APIAnswer) -> [JSONReader] {
    guard answer.isSuccess, let reader = try? JSONReader(body: answer.body) else { return [] }
    let order = (reader["order"]?.array ?? []).compactMap(\.string)
    // Deleted posts are among the posts, and not always in the order.
    let posts = reader["posts"]?.object ?? [:]
    let others = posts.keys.filter { !order.contains($0) }.sorted()
    return (order + others).compactMap { posts[$0]?.object }.map { JSONReader($0, path: "posts") }
  }

  private static func people(_ pages: [(MattermostChannel, [JSONReader])]) -> [String] {
    var ids = Set<String>()
    for (room, posts) in pages where !posts.isEmpty {
      ids.formUnion(room.members)
      for post in posts {
        if let id = post["user_id"]?.string { ids.insert(id) }
      }
    }
    return ids.sorted().prefix(namesMax).map { $0 }
  }

  private static func names(_ answer: APIAnswer?) -> [String: String] {
    var names: [String: String] = [:]
    for user in answer?.json?.array ?? [] {
      guard let id = user["id"]?.string else { continue }
      let parts = ["first_name", "last_name"].compactMap { user[$0]?.string }.filter { !$0.isEmpty }
      let full = parts.joined(separator: " ")
      names[id] = MessageText.name(full.isEmpty ? user["username"]?.string : full)
    }
    return names
  }

  private static func add(
    _ posts: [JSONReader], _ room: MattermostChannel, _ own: String?, _ names: [String: String],
    to content: inout Normalised
  ) {
    let conversation = room.conversation(own: own, names: names)
    for post in posts {
      content.read { () throws(NormaliseError) in
        try MattermostPost(
          post, conversation: conversation, members: room.members, own: own, names: names
        ).items()
      }
    }
  }

  // MARK: History

  /// The first page lists the channels; then a page is one answer of one channel.
  private func history(_ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp) -> PollStep {
    guard let rooms = job.cursor?["rooms"]?.array else { return list(job, answers, notBefore) }
    guard let user = job.cursor?["user"]?.string, let room = rooms.first.flatMap({ MattermostChannel($0) })
    else { return .page(PollPage(cursor: job.cursor ?? [:])) }
    guard let answer = answers.first else {
      return .call(
        posts(
          room, job,
          query: [("before", job.cursor?["before"]?.string), ("per_page", String(Self.pageMax))]))
    }
    let all = Self.posts(answer)
    func time(_ post: JSONReader) -> Timestamp {
      Timestamp(milliseconds: post["create_at"]?.integer ?? 0).clamped
    }
    let posts = all.filter { time($0) >= notBefore }
    let people = Self.people([(room, posts)])
    if !people.isEmpty, answers.count == 1 { return .call(users(people, job)) }
    var content = Normalised()
    Self.add(posts, room, user, Self.names(answers.dropFirst().first), to: &content)
    let last = answer.json?["order"]?.array?.last?.string
    let isOver = all.isEmpty || last == nil || posts.count < all.count || all.count < Self.pageMax
    var members: [String: JSONValue] = ["user": .string(user)]
    let left = isOver ? Array(rooms.dropFirst()) : rooms
    members["rooms"] = .array(left)
    members["before"] = isOver ? nil : last.map { .string($0) }
    return .page(PollPage(content, cursor: .object(members), hasMore: !left.isEmpty))
  }

  private func list(_ job: PollJob, _ answers: [APIAnswer], _ notBefore: Timestamp) -> PollStep {
    guard let me = answers.first else { return .call(MattermostAPI.call("GET", "users/me", job.secrets)) }
    guard let user = me.json?["id"]?.string else { return .failed(.unreadable("user")) }
    guard answers.count > 1 else { return .call(channels(user, job)) }
    guard let list = answers[1].json?.array else { return .failed(.unreadable("list of channels")) }
    let rooms = list.compactMap { MattermostChannel($0) }
      .filter { $0.lastPostAt.map { $0 >= notBefore } ?? true }
      .sorted { ($0.lastPostAt ?? .earliest) > ($1.lastPostAt ?? .earliest) }
      .prefix(RoomRound.roomsMax)
    let cursor: JSONValue = ["user": .string(user), "rooms": .array(rooms.map(\.json))]
    return .page(PollPage(cursor: cursor, hasMore: !rooms.isEmpty))
  }
}
