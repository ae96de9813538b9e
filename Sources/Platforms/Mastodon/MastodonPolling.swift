import Bytes
import JSON
import Messaging

/// Reads a user's notifications, own statuses and conversations. The first two are read in the order of their
/// ids; of the conversations the last status of each is looked at, for edits and for what notified nobody.
extension MastodonPlatform: PollingPlatform {
  private static let pageMax = 40
  /// Other kinds are told as notices.
  private static let spoken: Set<String> = ["mention", "status", "quote"]

  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 10, intervalMax: 120, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { MastodonAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    if let answer = answers.last, !answer.isSuccess {
      return .failed(MastodonAPI.failure(answer, isRepeatable: true, now: job.now))
    }
    guard let user = job.cursor?["user"]?.string else { return begin(job, answers) }
    return switch job.mode {
    case .live: live(user, job, answers)
    case .history(let time), .sweep(let time): history(user, job, answers, notBefore: time)
    }
  }

  private func call(_ path: String, _ job: PollJob, _ query: [(String, String?)] = []) -> APIRequest {
    MastodonAPI.call("GET", path, job.secrets, query: query + [("limit", String(Self.pageMax))])
  }

  private static func list(_ answer: APIAnswer) -> [JSONReader] {
    (try? JSONReader.list(body: answer.body)) ?? []
  }

  /// The greatest id; ids of one kind are numbers that grow.
  private static func newest(_ list: [JSONReader], _ known: String?) -> String? {
    let ids = list.compactMap { $0["id"]?.identifier } + [known].compactMap { $0 }
    return ids.max { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
  }

  private static func oldest(_ list: [JSONReader]) -> String? {
    list.compactMap { $0["id"]?.identifier }.min { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
  }

  // MARK: Live

  /// Who is polled for, and where its lists end.
  private func begin(_ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    guard let me = answers.first else {
      return .call(MastodonAPI.call("GET", "v1/accounts/verify_credentials", job.secrets))
    }
    guard let user = me.json?["id"]?.identifier else { return .failed(.unreadable("account")) }
    guard job.mode == .live else {
      return .page(PollPage(cursor: ["user": .string(user)], hasMore: true))
    }
    if answers.count == 1 { return .call(call("v1/notifications", job)) }
    if answers.count == 2 { return .call(call("v1/accounts/\(APIRequest.element(user))/statuses", job)) }
    let begin = RoomRound.start(of: me, job)
    var members: [String: JSONValue] = [
      "user": .string(user), "begin": .integer(begin.microseconds / 1_000),
    ]
    members["notification"] = Self.place(in: Self.list(answers[1]), before: begin).map { .string($0) }
    members["status"] = Self.place(in: Self.list(answers[2]), before: begin).map { .string($0) }
    return .page(PollPage(cursor: .object(members)))
  }

  /// Behind which the news of a list begin: its newest entry from before a time, else what is in front of its
  /// oldest.
  private static func place(in list: [JSONReader], before time: Timestamp) -> String? {
    let old = list.filter { entry in
      entry["created_at"]?.string.flatMap { Timestamp(rfc3339: $0) }.map { $0 < time } ?? true
    }
    return newest(old, nil) ?? oldest(list).flatMap { UInt64($0) }.map { String($0 &- 1) }
  }

  private func live(_ user: String, _ job: PollJob, _ answers: [APIAnswer]) -> PollStep {
    let notification = job.cursor?["notification"]?.string
    let status = job.cursor?["status"]?.string
    switch answers.count {
    case 0: return .call(call("v1/notifications", job, [("min_id", notification ?? "0")]))
    case 1:
      let path = "v1/accounts/\(APIRequest.element(user))/statuses"
      return .call(call(path, job, [("min_id", status ?? "0"), ("exclude_reblogs", "true")]))
    case 2: return .call(call("v1/conversations", job))
    default: break
    }
    let lists = answers.prefix(3).map(Self.list)
    var content = Normalised()
    add(lists[0], user, job, to: &content)
    for status in lists[1] {
      content.read { () throws(NormaliseError) in
        try MastodonStatus(status, own: user, at: job.now).items()
      }
    }
    for conversation in lists[2] { add(conversation: conversation, user, job, to: &content) }
    var members = job.cursor?.object ?? [:]
    members["notification"] = Self.newest(lists[0], notification).map { .string($0) }
    members["status"] = Self.newest(lists[1], status).map { .string($0) }
    let begin = Timestamp(milliseconds: job.cursor?["begin"]?.integer ?? 0).clamped
    return .page(
      PollPage(
        content.since { $0.sentAt >= begin }, cursor: .object(members),
        hasMore: lists[0].count >= Self.pageMax || lists[1].count >= Self.pageMax))
  }

  private func add(
    _ notifications: [JSONReader], _ user: String, _ job: PollJob, to content: inout Normalised
  ) {
    for notification in notifications.reversed() {
      content.read { () throws(NormaliseError) in try items(notification, user, job) }
    }
  }

  private func items(
    _ notification: JSONReader, _ user: String, _ job: PollJob
  ) throws(NormaliseError) -> [InboundItem] {
    let type = try notification.required("type", notification.text("type"))
    let at = try MastodonStatus.time(notification, "created_at") ?? job.now
    let status = try notification.object("status")
    if let status, Self.spoken.contains(type) || type == "update" {
      return try MastodonStatus(status, own: user, at: at).items()
    }
    guard let account = try notification.object("account") else { return [] }
    let (actor, place) = try MastodonStatus.person(account)
    if let status, let sign = ["favourite": "⭐", "reblog": "🔁"][type] {
      let read = MastodonStatus(status, own: user, at: at)
      if let conversation = try read.conversation() {
        return [
          .reaction(
            ReactionChange(
              conversation: conversation, externalID: try status.requiredID("id"), actor: actor,
              change: .add(sign), at: at))
        ]
      }
    }
    return [
      .message(
        Update.message(
          type, isKnown: true, id: "notification:\(try notification.requiredID("id"))", conversation: place,
          sender: actor, members: notification.rest(without: ["id", "account"]), at: at))
    ]
  }

  private func add(
    conversation: JSONReader, _ user: String, _ job: PollJob, to content: inout Normalised
  ) {
    content.read { () throws(NormaliseError) in
      guard let status = try conversation.object("last_status") else { return [] }
      let partner = try conversation.objects("accounts", max: 1_000)?.first
      return try MastodonStatus(status, own: user, partner: partner, at: job.now).items()
    }
  }

  // MARK: History

  /// Two lists, each from its newest entry down; a page is one answer of each that is not done.
  private func history(
    _ user: String, _ job: PollJob, _ answers: [APIAnswer], notBefore: Timestamp
  ) -> PollStep {
    var members = job.cursor?.object ?? [:]
    var rest = answers[...]
    var content = Normalised()
    let path = "v1/accounts/\(APIRequest.element(user))/statuses"
    for (name, path) in [("notifications", "v1/notifications"), ("statuses", path)]
    where members[name + "Done"] != true {
      guard let answer = rest.popFirst() else {
        let only = name == "notifications" ? ("types[]", "mention") : ("exclude_reblogs", "true")
        return .call(call(path, job, [only, ("max_id", members[name]?.string)]))
      }
      let all = Self.list(answer)
      let kept = all.filter { entry in
        entry["created_at"]?.string.flatMap { Timestamp(rfc3339: $0) }.map { $0 >= notBefore } ?? false
      }
      if name == "notifications" {
        add(kept.reversed(), user, job, to: &content)
      } else {
        for status in kept {
          content.read { () throws(NormaliseError) in
            try MastodonStatus(status, own: user, at: job.now).items()
          }
        }
      }
      let oldest = Self.oldest(all)
      if oldest == nil || kept.count < all.count || oldest == members[name]?.string {
        members[name + "Done"] = true
      }
      members[name] = oldest.map { .string($0) }
    }
    let isOver = members["notificationsDone"] == true && members["statusesDone"] == true
    return .page(PollPage(content, cursor: .object(members), hasMore: !isOver))
  }
}
