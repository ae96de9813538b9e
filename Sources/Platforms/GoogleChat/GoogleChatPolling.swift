import Bytes
import JSON
import Messaging

/// Lists the messages of the spaces that the account is in. The platform tells an app only what is said to
/// it; who may read everything finds the rest, and what was missed, here. Edits and deletions are found among
/// the messages of the last day.
extension GoogleChatPlatform: PollingPlatform {
  private static let pageMax = 200

  var polling: PollingPlan {
    PollingPlan(role: .sweep, intervalMin: 15, intervalMax: 300, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { GoogleChatAPI.canRead(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    if let answer = answers.last, !answer.isSuccess {
      // A space that the app was taken out of must not hold up the others.
      let failure = GoogleChatAPI.failure(answer, isRepeatable: true, now: job.now)
      if answer.status == 400, let cursor = Self.restarted(job.cursor) {
        return .page(PollPage(cursor: cursor, hasMore: job.mode != .live))
      }
      guard job.cursor?["rooms"]?[0] != nil, failure.remedy == .none else { return .failed(failure) }
    }
    switch job.mode {
    case .live:
      guard job.cursor?["since"] != nil else { return begin(job, answers) }
      let since = RoomRound(job.cursor).since ?? job.now
      let from = Timestamp(microseconds: since.microseconds - RoomRound.activeSeconds * 1_000_000)
      return page(job, answers, from: from, isLive: true)
    case .history(let time), .sweep(let time): return page(job, answers, from: time, isLive: false)
    }
  }

  /// Without a place among the pages that is gone: that space, or the list of spaces, is read anew.
  /// - Returns: nil when there is no such place.
  private static func restarted(_ cursor: JSONValue?) -> JSONValue? {
    guard var members = cursor?.object else { return nil }
    let name = members["rooms"]?[0] != nil ? "page" : "next"
    guard members.removeValue(forKey: name) != nil else { return nil }
    return .object(members)
  }

  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.first else { return .call(spaces(nil, job)) }
    let since = RoomRound.start(of: answer, job)
    return .page(PollPage(cursor: .object(cursor(since: since, begin: since))))
  }

  private func cursor(since: Timestamp, begin: Timestamp) -> [String: JSONValue] {
    RoomRound(since: since).json.merging(["begin": .integer(begin.microseconds / 1_000)]) { $1 }
  }

  private func spaces(_ page: String?, _ job: PollJob) -> APIRequest {
    GoogleChatAPI.call(
      "GET", "spaces", job.secrets, token: job.token, query: [("pageSize", "1000"), ("pageToken", page)])
  }

  /// A page is the list of spaces, or one answer of one space.
  private func page(_ job: PollJob, _ answers: [APIAnswer], from: Timestamp, isLive: Bool) -> PollStep {
    var members = job.cursor?.object ?? [:]
    guard let answer = answers.first else {
      guard let space = members["rooms"]?[0]?["name"]?.string else {
        return .call(spaces(members["next"]?.string, job))
      }
      return .call(messages(space, from: from, page: members["page"]?.string, isLive, job))
    }
    let next = answer.json?["nextPageToken"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    guard let rooms = members["rooms"]?.array, let space = rooms.first else {
      return listed(answer, next, job, from: from, isLive: isLive)
    }
    let content = Self.content(answer, space, job, begin: isLive ? members["begin"]?.integer : nil)
    members["page"] = next.map { .string($0) }
    let left = next == nil ? Array(rooms.dropFirst()) : rooms
    members["rooms"] = left.isEmpty ? nil : .array(left)
    let isOver = left.isEmpty && members["next"] == nil
    if isOver, isLive { members["since"] = members["until"] ?? members["since"] }
    if isOver { members["until"] = nil }
    return .page(PollPage(content, cursor: .object(members), hasMore: !isOver))
  }

  private func listed(
    _ answer: APIAnswer, _ next: String?, _ job: PollJob, from: Timestamp, isLive: Bool
  ) -> PollStep {
    var members = job.cursor?.object ?? [:]
    let active = (answer.json?["spaces"]?.array ?? []).filter { space in
      let last = space["lastActiveTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
      return space["name"]?.string != nil && (last.map { $0 >= from } ?? true)
    }
    let kept = active.prefix(RoomRound.roomsMax).map { space in
      JSONValue.object(
        (space.object ?? [:]).filter { ["name", "spaceType", "displayName"].contains($0.key) })
    }
    if members["until"] == nil {
      let time = RoomRound.time(of: answer, now: job.now)
      members["until"] = .integer(time.microseconds / 1_000)
    }
    members["rooms"] = kept.isEmpty ? nil : .array(Array(kept))
    members["next"] = next.map { .string($0) }
    let isOver = kept.isEmpty && next == nil
    if isOver {
      if isLive { members["since"] = members["until"] }
      members["until"] = nil
    }
    return .page(PollPage(cursor: .object(members), hasMore: !isOver))
  }

  private func messages(
    _ space: String, from: Timestamp, page: String?, _ isLive: Bool, _ job: PollJob
  ) -> APIRequest {
    GoogleChatAPI.call(
      "GET", space + "/messages", job.secrets, token: job.token,
      query: [
        ("pageSize", String(Self.pageMax)), ("pageToken", page),
        ("filter", "createTime > \"\(from.rfc3339)\""),
        ("orderBy", isLive ? "createTime ASC" : "createTime DESC"), ("showDeleted", "true"),
      ])
  }

  /// - Parameter begin: messages from before that, in milliseconds, are history.
  private static func content(
    _ answer: APIAnswer, _ space: JSONValue, _ job: PollJob, begin: Int64?
  ) -> Normalised {
    var content = Normalised()
    guard let reader = try? JSONReader(body: answer.body) else { return content }
    for message in (reader["messages"]?.array ?? []).compactMap(\.object) {
      content.read { () throws(NormaliseError) in try items(message, space, job) }
    }
    guard let begin else { return content }
    return content.since { $0.sentAt >= Timestamp(milliseconds: begin) }
  }

  /// Reads a message as the event that would have told of it.
  private static func items(
    _ message: [String: JSONValue], _ space: JSONValue, _ job: PollJob
  ) throws(NormaliseError) -> [InboundItem] {
    let event = JSONReader(["type": "MESSAGE", "message": .object(message), "space": space])
    let items = try GoogleChatEvent(event, receivedAt: job.now).items()
    guard case .message(var said)? = items.first else { return items }
    let reader = JSONReader(message)
    if let deleted = try reader.text("deleteTime").flatMap({ Timestamp(rfc3339: $0) }) {
      return [
        .delete(
          MessageDeletion(
            conversation: said.conversation, externalIDs: [said.externalID], at: deleted.clamped))
      ]
    }
    // The app's own messages are those of the one bot that it is.
    let own = job.account ?? job.secrets.first(GoogleChatPlatform.ownField)
    if own != nil, said.sender.id == own {
      said.direction = .outbound
      said.status = .sent
    }
    guard let edited = try reader.text("lastUpdateTime").flatMap({ Timestamp(rfc3339: $0) }),
      edited > said.sentAt
    else { return [.message(said)] }
    return [
      .message(said),
      .edit(
        MessageEdit(
          conversation: said.conversation, externalID: said.externalID, kind: said.kind, text: said.text,
          attachments: said.attachments, details: said.details, editedAt: edited.clamped)),
    ]
  }
}
