import Bytes
import JSON
import Messaging

/// Reads the rooms of a user with `/sync` (https://spec.matrix.org/latest/client-server-api/#syncing).
///
/// - Live: the first sync only says where to begin. Where one has left out events (`limited`), the next polls
///   read them, page by page, before the following sync.
/// - History and sweep: each joined room from its newest event down.
///
/// An application service needs none of this: its homeserver repeats what was not taken.
extension MatrixPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let waitMilliseconds = 30_000
  private static let roomsMax = 5_000

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 1, intervalMax: 60, isLongPoll: true, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.server(MatrixAPI.homeserverField) != nil && secrets.first(MatrixAPI.accessTokenField) != nil
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    switch job.mode {
    case .live: live(job, answers)
    case .history(let time), .sweep(let time): history(job, answers, notBefore: time)
    }
  }

  // MARK: Live

  private func live(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    var cursor = MatrixCursor(job.cursor)
    var rest = answers[...]
    cursor.user = MatrixAPI.user(job.secrets, account: job.account) ?? cursor.user
    if cursor.user == nil {
      guard let answer = rest.popFirst() else { return .call(MatrixAPI.whoami(job.secrets)) }
      guard let user = answer.json?["user_id"]?.string else {
        return .failed(MatrixAPI.failure(answer, now: job.now))
      }
      cursor.user = user
    }
    if let gap = cursor.gaps.first { return fill(gap, job, cursor, rest.first) }
    guard let answer = rest.popFirst() else { return .call(sync(cursor, job)) }
    guard answer.isSuccess else { return .failed(failure(answer, cursor, job)) }
    var sync = MatrixSync(cursor: cursor, own: own(cursor, job), receivedAt: job.now)
    do throws(NormaliseError) {
      try sync.read(try JSONReader(body: answer.body), begins: cursor.since == nil)
    } catch {
      return .failed(.unreadable("sync: \(error)"))
    }
    if job.secrets.first(Self.joinField) == "true", rest.count < sync.invitations.count {
      // Whether one worked is seen in the next sync.
      let path = "client/v3/join/\(APIRequest.element(sync.invitations[rest.count]))"
      return .call(MatrixAPI.call("POST", path, job.secrets, body: .json([:])))
    }
    let isBehind = !sync.cursor.gaps.isEmpty
    return .page(PollPage(sync.content, cursor: sync.cursor.json, hasMore: isBehind))
  }

  private func own(_ cursor: MatrixCursor, _ job: PollJob) -> [String] {
    job.secrets[Self.userField] + [cursor.user].compactMap { $0 }
  }

  private func sync(_ cursor: MatrixCursor, _ job: PollJob) -> APIRequest {
    let begins = cursor.since == nil
    let waits = !begins && job.mayWait
    let none: JSONValue = ["not_types": ["*"]]
    let filter: JSONValue = [
      "presence": none, "account_data": ["types": ["m.direct"]],
      "room": [
        "account_data": none, "ephemeral": begins ? none : ["types": ["m.receipt", "m.typing"]],
        // Who writes is named each time: names are not kept from one sync to the next.
        "state": [
          "types": ["m.room.name", "m.room.member"], "lazy_load_members": true,
          "include_redundant_members": true,
        ],
        "timeline": ["limit": .integer(begins ? 1 : Int64(Self.pageMax)), "lazy_load_members": true],
      ],
    ]
    var request = MatrixAPI.call(
      "GET", "client/v3/sync", job.secrets,
      query: [
        ("filter", String(decoding: filter.encoded(), as: UTF8.self)), ("set_presence", "offline"),
        ("since", cursor.since), ("timeout", waits ? String(Self.waitMilliseconds) : "0"),
      ])
    request.timeoutSeconds = begins ? 120 : Self.waitMilliseconds / 1_000 + 30
    request.isLongLived = waits
    return request
  }

  /// A homeserver that no longer knows where the last sync ended says so in one of several ways.
  private func failure(_ answer: APIAnswer, _ cursor: MatrixCursor, _ job: PollJob) -> APIFailure {
    let codes = ["M_UNKNOWN_POS", "M_INVALID_PARAM", "M_UNKNOWN", "M_BAD_JSON"]
    if answer.status == 400, cursor.since != nil, codes.contains(answer.json?["errcode"]?.string ?? "") {
      return APIFailure(answer.json?["error"]?.string ?? "the place in the sync is gone", .restart)
    }
    return MatrixAPI.failure(answer, now: job.now)
  }

  /// One page of what a sync left out, newest first.
  private func fill(
    _ gap: MatrixCursor.Gap, _ job: PollJob, _ cursor: MatrixCursor, _ answer: APIAnswer?
  ) -> PollStep {
    guard let answer else { return .call(messages(gap.room, from: gap.from, to: gap.to, job)) }
    var sync = MatrixSync(cursor: cursor, own: own(cursor, job), receivedAt: job.now)
    let events = answer.json?["chunk"]?.array ?? []
    guard answer.isSuccess else {
      let failure = MatrixAPI.failure(answer, now: job.now)
      guard failure.remedy == .none else { return .failed(failure) }
      // Somebody who was put out of a room cannot read it: that must not hold up the others.
      var next = cursor
      next.gaps.removeFirst()
      return .page(PollPage(cursor: next.json, hasMore: true))
    }
    sync.add(Self.clean(answer), room: gap.room)
    var next = sync.cursor
    let end = answer.json?["end"]?.string
    if let end, end != gap.from, !events.isEmpty {
      next.gaps[0].from = end
    } else {
      next.gaps.removeFirst()
    }
    return .page(PollPage(sync.content, cursor: next.json, hasMore: true))
  }

  private func messages(_ room: String, from: String?, to: String?, _ job: PollJob) -> APIRequest {
    MatrixAPI.call(
      "GET", MatrixAPI.room(room, "messages"), job.secrets,
      query: [
        ("dir", "b"), ("from", from), ("to", to), ("limit", String(Self.pageMax)),
        ("filter", #"{"lazy_load_members":true}"#),
      ])
  }

  /// The events of a page of messages, with the members who wrote them.
  private static func clean(_ answer: APIAnswer) -> [[String: JSONValue]] {
    guard let reader = try? JSONReader(body: answer.body) else { return [] }
    return (reader["chunk"]?.array ?? []).compactMap(\.object)
  }

  // MARK: History

  /// The first page only lists the rooms; then a page is one answer of one room.
  private func history(_ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp) -> PollStep {
    if let answer = answers.last, !answer.isSuccess, answer.status != 404, answer.status != 403 {
      return .failed(MatrixAPI.failure(answer, now: job.now))
    }
    guard let rooms = job.cursor?["rooms"]?.array else { return begin(job, answers) }
    guard let room = rooms.first?.string else {
      return .page(PollPage(cursor: job.cursor ?? [:]))
    }
    let from = job.cursor?["from"]?.string
    guard let answer = answers.first else { return .call(messages(room, from: from, to: nil, job)) }
    if from == nil, answers.count == 1 {
      return .call(MatrixAPI.call("GET", MatrixAPI.room(room, "state/m.room.name"), job.secrets))
    }
    return page(answer, room, job, notBefore: notBefore, title: answers.dropFirst().first)
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    var rest = answers[...]
    var cursor = MatrixCursor(nil)
    guard let who = rest.popFirst() else { return .call(MatrixAPI.whoami(job.secrets)) }
    guard let user = who.json?["user_id"]?.string else {
      return .failed(MatrixAPI.failure(who, now: job.now))
    }
    cursor.user = user
    guard let direct = rest.popFirst() else {
      let path = "client/v3/user/\(APIRequest.element(user))/account_data/m.direct"
      return .call(MatrixAPI.call("GET", path, job.secrets))
    }
    if direct.isSuccess { cursor.takeDirect(direct.json) }
    guard let answer = rest.popFirst() else {
      return .call(MatrixAPI.call("GET", "client/v3/joined_rooms", job.secrets))
    }
    guard let list = answer.json?["joined_rooms"]?.array else {
      return .failed(MatrixAPI.failure(answer, now: job.now))
    }
    var members = cursor.json.object ?? [:]
    members["rooms"] = .array(list.compactMap(\.string).sorted().prefix(Self.roomsMax).map { .string($0) })
    return .page(PollPage(cursor: .object(members), hasMore: !list.isEmpty))
  }

  private func page(
    _ answer: APIAnswer, _ room: String, _ job: PollJob, notBefore: Timestamp, title: APIAnswer?
  ) -> PollStep {
    let cursor = MatrixCursor(job.cursor)
    var sync = MatrixSync(cursor: cursor, own: own(cursor, job), receivedAt: job.now)
    let all = Self.clean(answer)
    func time(_ event: [String: JSONValue]) -> Timestamp {
      event["origin_server_ts"]?.integer.map { Timestamp(milliseconds: $0) } ?? job.now
    }
    var events = all.filter { time($0) >= notBefore }
    if let name = title?.json?["name"]?.string, let at = all.first.map(time) {
      events.insert(Self.named(name, at), at: 0)
    }
    sync.add(events, room: room)
    var members = job.cursor?.object ?? [:]
    members["reactions"] = sync.cursor.json["reactions"]
    let end = answer.json?["end"]?.string
    var rooms = job.cursor?["rooms"]?.array ?? []
    let isOver = end == nil || all.isEmpty || all.last.map { time($0) < notBefore } == true
    members["from"] = isOver ? nil : end.map { .string($0) }
    if isOver, !rooms.isEmpty { rooms.removeFirst() }
    members["rooms"] = .array(rooms)
    let content = Normalised(
      items: sync.content.items.filter { !Self.isNotice($0) }, faults: sync.content.faults)
    return .page(PollPage(content, cursor: .object(members), hasMore: !rooms.isEmpty))
  }

  /// Stands for the room's name: only its change of the conversation is taken from it.
  private static func named(_ name: String, _ at: Timestamp) -> [String: JSONValue] {
    [
      "type": "m.room.name", "event_id": .string(nameID), "sender": "matrix",
      "origin_server_ts": .integer(at.microseconds / 1_000), "content": ["name": .string(name)],
    ]
  }

  private static let nameID = "name"

  private static func isNotice(_ item: InboundItem) -> Bool {
    if case .message(let message) = item { message.externalID == nameID } else { false }
  }
}
