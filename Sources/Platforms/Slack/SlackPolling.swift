import Bytes
import JSON
import Messaging
import Security

/// Reads the channels that the app is in, one call a poll (https://docs.slack.dev/reference/methods).
///
/// A round lists the channels now and then, reads each one's messages behind its window, and the threads
/// that have grown. Messages go through `SlackEvent`, as if they came by an event.
extension SlackPlatform: PollingPlatform {
  var polling: PollingPlan {
    PollingPlan(role: .sweep, intervalMin: 15, intervalMax: 600, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.first(SlackAPI.tokenField) != nil || Self.canRenew(secrets)
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    var state = SlackPollState(job.cursor.map { JSONReader.withoutNull($0) })
    let task = state.task(job)
    guard let answer = answers.last else {
      guard let request = request(task, state, job) else { return .page(PollPage(cursor: state.json)) }
      return .call(request)
    }
    let result = SlackAPI.result(
      answer, isRepeatable: true, now: job.now, canRenew: Self.canRenew(job.secrets))
    switch result {
    case .success(let json):
      let content = read(json, task, &state, job)
      return .page(PollPage(content, cursor: state.json, hasMore: state.hasMore))
    case .failure(let failure):
      // The place within the task is gone: it begins anew.
      if failure.remedy == .restart, state.page != nil {
        state.page = nil
        return .page(PollPage(cursor: state.json, hasMore: job.mode != .live))
      }
      // A channel or thread that is gone or closed to the app: the others go on.
      guard let reason = failure.reason.split(separator: ":").first, Self.lost.contains(String(reason)) else {
        return .failed(failure)
      }
      state.drop(task)
      return .page(PollPage(cursor: state.json, hasMore: state.hasMore))
    }
  }

  private static let lost: Set<String> = [
    "channel_not_found", "not_in_channel", "is_archived", "thread_not_found", "missing_channel",
  ]
  private static let listMax = "200"
  private static let pageMax = "200"
  private static let kinds = "public_channel,private_channel,mpim,im"

  // MARK: Calls

  private func request(_ task: SlackPollState.Task, _ state: SlackPollState, _ job: PollJob) -> APIRequest? {
    let page = state.page.flatMap { $0.isEmpty ? nil : $0 }
    switch task {
    case .nothing: return nil
    case .identity: return SlackAPI.read("auth.test", [], job.secrets, token: job.token)
    case .list:
      let query: [(String, String?)] = [
        ("types", Self.kinds), ("exclude_archived", "true"), ("limit", Self.listMax), ("cursor", page),
      ]
      return SlackAPI.read("users.conversations", query, job.secrets, token: job.token)
    case .channel(let id):
      let query: [(String, String?)] = [
        ("channel", id), ("oldest", state.oldest(id, job)), ("limit", Self.pageMax),
        ("include_all_metadata", "true"), ("cursor", page),
      ]
      return SlackAPI.read("conversations.history", query, job.secrets, token: job.token)
    case .thread(let thread):
      let query: [(String, String?)] = [
        ("channel", thread.channel), ("ts", thread.root), ("oldest", thread.after), ("limit", Self.pageMax),
        ("include_all_metadata", "true"), ("cursor", page),
      ]
      return SlackAPI.read("conversations.replies", query, job.secrets, token: job.token)
    }
  }

  // MARK: Reading

  private func read(
    _ json: JSONValue, _ task: SlackPollState.Task, _ state: inout SlackPollState, _ job: PollJob
  ) -> Normalised {
    let next = json["response_metadata"]?["next_cursor"]?.string.flatMap { text -> String? in
      text.isEmpty || text.utf8.count > 2_048 || text == state.page ? nil : text
    }
    var content = Normalised()
    switch task {
    case .nothing: break
    case .identity: state.identify(json, job)
    case .list:
      state.list(json["channels"]?.array ?? [], job)
      state.page = next
      if next == nil { state.endList(job) }
    case .channel(let id):
      // They come newest first: news are told oldest first.
      let messages = json["messages"]?.array ?? []
      for message in job.mode == .live ? messages.reversed() : messages {
        read(message, in: id, &state, job, &content)
      }
      state.page = next
      if next == nil {
        let gone = state.endChannel(id, job)
        if !gone.isEmpty {
          content.add([
            .delete(
              MessageDeletion(conversation: state.conversation(id), externalIDs: gone, at: job.now))
          ])
        }
      }
    case .thread(let thread):
      for message in json["messages"]?.array ?? [] {
        guard let time = message["ts"]?.string, time != thread.root,
          TrailingWindow.isBefore(thread.after, time)
        else { continue }
        add(message, in: thread.channel, isNew: true, &state, job, &content)
      }
      state.page = next
      if next == nil { state.drop(task) }
    }
    return content
  }

  private func read(
    _ message: JSONValue, in channel: String, _ state: inout SlackPollState, _ job: PollJob,
    _ content: inout Normalised
  ) {
    guard let time = message["ts"]?.string, SlackEvent.time(time) != nil else {
      content.faults.append(.missing(path: "messages.ts"))
      return
    }
    let floor = state.begin(channel, job)
    let latest = message["latest_reply"]?.string ?? ""
    let edited = message["edited"]?["ts"]?.string ?? ""
    var news = TrailingWindow.News.new
    var known = floor
    if job.mode == .live {
      let before = state.channels[channel]?.window.marks[time]
      let mark = "\(edited)/\(latest)/\(Self.mark(ofReactions: message))"
      news = state.channels[channel]?.window.note(time, mark: mark) ?? .new
      let parts = before?.split(separator: "/", omittingEmptySubsequences: false) ?? []
      if parts.count > 1, !parts[1].isEmpty { known = String(parts[1]) }
    }
    if news == .same { return }
    if !latest.isEmpty, TrailingWindow.isBefore(known, latest) {
      state.follow(SlackPollState.Thread(channel: channel, root: time, after: known))
    }
    if job.mode != .live, !TrailingWindow.isBefore(floor, time) { return }
    add(message, in: channel, isNew: news == .new, isWatched: job.mode == .live, &state, job, &content)
  }

  /// A message as an event would tell of it; and its edit, where it has been edited.
  /// - Parameter isWatched: it is looked at again.
  private func add(
    _ message: JSONValue, in channel: String, isNew: Bool, isWatched: Bool = false,
    _ state: inout SlackPollState, _ job: PollJob, _ content: inout Normalised
  ) {
    guard var members = message.object else {
      content.faults.append(.wrongType(path: "messages", expected: "a list of objects"))
      return
    }
    let kind = state.channels[channel]?.isDirect == true ? "im" : "channel"
    if members["user"] == nil, let bot = state.bot, members["bot_id"]?.string == bot {
      members["user"] = state.user.map { .string($0) }
    }
    let place: [String: JSONValue] = [
      "type": "message", "channel": .string(channel), "channel_type": .string(kind),
    ]
    var events: [[String: JSONValue]] = []
    let isTombstone = members["subtype"]?.string == "tombstone"
    if isNew && !isTombstone { events.append(members.merging(place) { $1 }) }
    if isTombstone || members["edited"]?["ts"] != nil {
      let changed: [String: JSONValue] = [
        "subtype": "message_changed", "message": .object(members), "ts": members["ts"] ?? .null,
        "event_ts": .string(SlackPollState.stamp(job.now)),
      ]
      events.append(changed.merging(place) { $1 })
    }
    for event in events {
      do throws(NormaliseError) {
        let envelope = JSONReader(state.envelope(.object(event)))
        let read = try SlackEvent(envelope, receivedAt: job.now).read()
        content.add(read.items.map { Self.titled($0, state.channels[channel]?.name) })
      } catch {
        content.faults.append(error)
      }
    }
    guard !isTombstone, let id = message["ts"]?.string else { return }
    var reactors = isWatched ? state.channels[channel]?.reactors ?? ReactorList() : ReactorList()
    let changes = reactors.turn(id, Self.reactions(message))
    if isWatched { state.channels[channel]?.reactors = reactors }
    content.add(
      changes.map { user, emoji in
        .reaction(
          ReactionChange(
            conversation: state.conversation(channel), externalID: id, actor: Person(id: user),
            isOwn: user == state.user, change: .replace(emoji), at: job.now))
      })
  }

  /// Differs when the reactions do; empty: it has none.
  private static func mark(ofReactions message: JSONValue) -> String {
    guard let reactions = message["reactions"]?.array, !reactions.isEmpty else { return "" }
    return Hex.encode(Digest.sha256(JSONValue.array(reactions).encoded()).prefix(8))
  }

  /// The reactions as they stand, by people. Slack may leave out some of them, and counts them all.
  private static func reactions(_ message: JSONValue) -> ReactorList.Shown {
    var shown = ReactorList.Shown()
    for reaction in message["reactions"]?.array ?? [] {
      guard let name = reaction["name"]?.string, !name.isEmpty else { continue }
      let emoji = SlackEmoji.sign(MessageText.sanitised(name, bytesMax: 128))
      let users = (reaction["users"]?.array ?? []).compactMap(\.string).filter { !$0.isEmpty }
      for user in users { shown.add(user, emoji) }
      if let count = reaction["count"]?.integer, count > Int64(users.count) { shown.isWhole = false }
    }
    return shown
  }

  private static func titled(_ item: InboundItem, _ name: String?) -> InboundItem {
    guard case .message(var message) = item, let name else { return item }
    message.conversation.title = MessageText.name(name)
    return .message(message)
  }
}
