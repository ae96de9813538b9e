import Bytes
import JSON
import Messaging

/// Reads the user's chats, each from its own place in its list of changes (`delta`): what was said, edited
/// and deleted. A round lists the chats and asks those that may have news; a page is the list, or one answer
/// of one chat. A chat whose place is lost, or that has none, is read from the end of the last round.
extension TeamsGraphPlatform: PollingPlatform {
  private static let pageMax = 50
  /// Places that are kept; the chats beyond that are read by time.
  private static let placesMax = 200
  private static let placeBytesMax = 2_048

  /// Microsoft asks apps to be told by notifications, and to look only now and then.
  var polling: PollingPlan {
    PollingPlan(role: .sweep, intervalMin: 15, intervalMax: 600, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { GraphAPI.hasUser(secrets) || GraphAPI.hasApp(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    let state = GraphPollState(job)
    guard let answer = answers.first else { return .call(request(state, job)) }
    guard answer.isSuccess else { return refused(answer, state, job) }
    if state.needsUser { return named(answer, state) }
    guard let room = state.rooms.first else { return listed(answer, state, job) }
    return read(answer, room, state, job)
  }

  // MARK: Calls

  private func request(_ state: GraphPollState, _ job: PollJob) -> APIRequest {
    func call(_ path: String, _ query: [(String, String?)]) -> APIRequest {
      GraphAPI.call("GET", path, job.secrets, token: job.token, query: query)
    }
    if state.needsUser { return call("me", [("$select", "id")]) }
    guard let room = state.rooms.first?["id"]?.string else {
      return call(
        GraphAPI.user(job.secrets) + "/chats",
        [
          ("$expand", "lastMessagePreview"), ("$top", "\(Self.pageMax)"), ("$skiptoken", state.next),
        ])
    }
    let path = "chats/\(APIRequest.element(room))/messages"
    if case .history = job.mode {
      return call(
        path,
        [("$top", "\(Self.pageMax)"), ("$orderby", "createdDateTime desc"), ("$skiptoken", state.page)])
    }
    if let page = state.page { return call(path + "/delta", [("$skiptoken", page)]) }
    if let place = state.places[room] { return call(path + "/delta", [("$deltatoken", place)]) }
    return call(
      path + "/delta",
      [("$top", "\(Self.pageMax)"), ("$filter", "lastModifiedDateTime gt \(state.from.rfc3339)")])
  }

  // MARK: Answers

  private func refused(_ answer: APIAnswer, _ state: GraphPollState, _ job: PollJob) -> PollStep {
    let failure = GraphAPI.failure(answer, isRepeatable: true, now: job.now)
    guard let room = state.rooms.first?["id"]?.string else {
      // The place in the list of chats is lost: the round begins anew.
      guard GraphAPI.isLost(answer), state.next != nil else { return .failed(failure) }
      return .page(PollPage(cursor: state.restarted.json, hasMore: true))
    }
    var state = state
    if GraphAPI.isLost(answer), state.places[room] != nil || state.page != nil {
      state.places[room] = nil
      state.page = nil
      return .page(PollPage(cursor: state.json, hasMore: true))
    }
    // A chat that the user was taken out of must not hold up the others.
    guard failure.remedy == .none else { return .failed(failure) }
    state.places[room] = nil
    let isOver = state.advance()
    return .page(PollPage(cursor: state.json, hasMore: !isOver))
  }

  private func named(_ answer: APIAnswer, _ state: GraphPollState) -> PollStep {
    guard let id = answer.json?["id"]?.string, !id.isEmpty else { return .failed(.unreadable("user")) }
    var state = state
    state.user = MessageText.sanitised(id, bytesMax: MessageText.nameBytesMax)
    return .page(PollPage(cursor: state.json, hasMore: true))
  }

  private func listed(_ answer: APIAnswer, _ state: GraphPollState, _ job: PollJob) -> PollStep {
    guard let chats = answer.storable?["value"]?.array else { return .failed(.unreadable("list of chats")) }
    var state = state
    let now = RoomRound.time(of: answer, now: job.now)
    if case .live = job.mode, state.since == nil {
      // What is older is history.
      state.since = min(now, job.start)
      state.begin = state.since
      return .page(PollPage(cursor: state.json))
    }
    state.until = state.until ?? now
    let active = chats.filter { chat in
      guard chat["id"]?.string?.isEmpty == false else { return false }
      let told = chat["lastMessagePreview"]?["createdDateTime"]?.string
      let last = told.flatMap { Timestamp(rfc3339: $0) }
      return last.map { $0 >= state.active(job) } ?? (chat["lastMessagePreview"] == nil)
    }
    state.rooms = active.prefix(RoomRound.roomsMax).map { chat in
      .object((chat.object ?? [:]).filter { ["id", "topic"].contains($0.key) && $0.value != .null })
    }
    state.next = GraphAPI.place("$skiptoken", in: answer.json?["@odata.nextLink"])
    let isOver = state.rooms.isEmpty && state.next == nil
    if isOver { state.finish() }
    return .page(PollPage(cursor: state.json, hasMore: !isOver))
  }

  private func read(
    _ answer: APIAnswer, _ room: JSONValue, _ state: GraphPollState, _ job: PollJob
  ) -> PollStep {
    guard let reader = try? JSONReader(body: answer.body), let entries = reader["value"]?.array else {
      return .failed(.unreadable("list of messages"))
    }
    var state = state
    let id = room["id"]?.string ?? ""
    var content = Self.content(entries, room, state, job)
    let next = GraphAPI.place("$skiptoken", in: answer.json?["@odata.nextLink"])
    var hasMore = next != nil
    if case .history(let notBefore) = job.mode {
      let reachesEnd = content.items.contains { item in
        if case .message(let message) = item { message.sentAt < notBefore } else { false }
      }
      if reachesEnd { hasMore = false }
      content = content.since { $0.sentAt >= notBefore }
    } else if case .live = job.mode, let begin = state.begin {
      content = content.since { $0.sentAt >= begin }
    }
    if hasMore {
      state.page = next
      return .page(PollPage(content, cursor: state.json, hasMore: true))
    }
    let place = GraphAPI.place("$deltatoken", in: answer.json?["@odata.deltaLink"])
    if case .live = job.mode {
      let fits = state.places[id] != nil || state.places.count < Self.placesMax
      state.places[id] = place.flatMap { fits && $0.utf8.count <= Self.placeBytesMax ? $0 : nil }
    }
    let isOver = state.advance()
    return .page(PollPage(content, cursor: state.json, hasMore: !isOver))
  }

  /// Each message as it is now; one that was edited says so beside it.
  private static func content(
    _ entries: [JSONValue], _ room: JSONValue, _ state: GraphPollState, _ job: PollJob
  ) -> Normalised {
    var secrets = job.secrets
    if secrets.first(userField) == nil, let user = state.user { secrets.set(userField, [user]) }
    let id = room["id"]?.string ?? ""
    let place = GraphPlace("chats('\(id)')")
    var content = Normalised()
    if let topic = MessageText.name(room["topic"]?.string), state.places[id] == nil, state.page == nil {
      let conversation = GraphPlace.conversation(id, title: topic)
      content.add([.conversation(ConversationChange(conversation: conversation, at: job.now))])
    }
    for (index, entry) in entries.enumerated() {
      content.read { () throws(NormaliseError) in
        guard let members = entry.object else {
          throw .wrongType(path: "value[\(index)]", expected: "an object")
        }
        let reader = JSONReader(members, path: "value[\(index)]")
        let message = try GraphMessage(reader, place, secrets: secrets, job.now)
        let isEdited = reader.has("lastEditedDateTime") && !reader.has("deletedDateTime")
        return try message.items("created") + (isEdited ? message.items("updated") : [])
      }
    }
    return content
  }
}

/// Where a poll stands.
struct GraphPollState {
  /// The user's id, where no credential says it.
  var user: String?
  /// Messages from before that are history.
  var begin: Timestamp?
  /// Up to when everything was read.
  var since: Timestamp?
  /// When the round began that is under way.
  var until: Timestamp?
  /// Chats still to be asked, of the list's page.
  var rooms: [JSONValue]
  /// The next page of the list of chats.
  var next: String?
  /// The next page of the first chat.
  var page: String?
  /// Of each chat, where its changes go on.
  var places: [String: String]
  private let mode: PollJob.Mode
  private let isNameless: Bool

  init(_ job: PollJob) {
    func time(_ name: String) -> Timestamp? {
      job.cursor?[name]?.integer.map { Timestamp(milliseconds: $0).clamped }
    }
    user = job.cursor?["user"]?.string
    begin = time("begin")
    since = time("since")
    until = time("until")
    rooms = (job.cursor?["rooms"]?.array ?? []).filter { $0["id"]?.string != nil }
    next = job.cursor?["next"]?.string
    page = job.cursor?["page"]?.string
    places = (job.cursor?["places"]?.object ?? [:]).compactMapValues(\.string)
    mode = job.mode
    isNameless = GraphAPI.hasUser(job.secrets) && job.secrets.first(TeamsGraphPlatform.userField) == nil
  }

  /// Whose messages are the account's own has to be asked.
  var needsUser: Bool { isNameless && user == nil }

  /// What changes are asked for that no place leads to.
  var from: Timestamp {
    let time: Timestamp =
      switch mode {
      case .live: since ?? .earliest
      case .history(let time), .sweep(let time): time
      }
    return Timestamp(microseconds: time.microseconds - RoomRound.overlapSeconds * 1_000_000).clamped
  }

  /// Chats that were silent since then are not asked: edits and reactions do not move them up.
  func active(_ job: PollJob) -> Timestamp {
    guard case .live = mode else { return from }
    let time = min(from.microseconds, job.now.microseconds - RoomRound.activeSeconds * 1_000_000)
    return Timestamp(microseconds: time).clamped
  }

  /// The first chat is done. - Returns: whether the round is.
  mutating func advance() -> Bool {
    page = nil
    if !rooms.isEmpty { rooms.removeFirst() }
    guard rooms.isEmpty, next == nil else { return false }
    finish()
    return true
  }

  mutating func finish() {
    if mode == .live { since = until ?? since }
    until = nil
  }

  /// The same round from its first page.
  var restarted: GraphPollState {
    var state = self
    state.next = nil
    state.rooms = []
    state.page = nil
    return state
  }

  var json: JSONValue {
    var members: [String: JSONValue] = [:]
    members["user"] = user.map { .string($0) }
    members["begin"] = begin.map { .integer($0.microseconds / 1_000) }
    members["since"] = since.map { .integer($0.microseconds / 1_000) }
    members["until"] = until.map { .integer($0.microseconds / 1_000) }
    if !rooms.isEmpty { members["rooms"] = .array(rooms) }
    members["next"] = next.map { .string($0) }
    members["page"] = page.map { .string($0) }
    if !places.isEmpty { members["places"] = .object(places.mapValues { .string($0) }) }
    return .object(members)
  }
}
