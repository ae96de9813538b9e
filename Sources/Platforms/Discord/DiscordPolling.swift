import Bytes
import JSON
import Messaging

/// Reads the channels of the bot's guilds, one call a poll; ordinary messages come in no other way here.
///
/// A round lists channels and active threads, which say what their last message is, and reads those that
/// have something new or messages that may still change.
extension DiscordPlatform: PollingPlatform {
  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 5, intervalMax: 60, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { secrets.first(DiscordAPI.tokenField) != nil }

  private static let pageMax = 100

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    var state = DiscordPollState(job.cursor.map { JSONReader.withoutNull($0) })
    let task = state.task(job)
    guard let answer = answers.last else {
      guard let request = request(task, state, job) else { return .page(PollPage(cursor: state.json)) }
      return .call(request)
    }
    if let failure = DiscordAPI.failure(answer, isRepeatable: true, now: job.now) {
      // What is closed to the bot, or gone: the others go on.
      guard [403, 404].contains(answer.status), task.isOne else { return .failed(failure) }
      state.close(task, job)
      return .page(PollPage(cursor: state.json, hasMore: state.hasMore))
    }
    guard let json = answer.storable else {
      return .failed(APIFailure("the answer is no JSON", .later(seconds: nil)))
    }
    let content = read(json, task, &state, job)
    return .page(PollPage(content, cursor: state.json, hasMore: state.hasMore))
  }

  // MARK: Calls

  private func request(
    _ task: DiscordPollState.Task, _ state: DiscordPollState, _ job: PollJob
  ) -> APIRequest? {
    func get(_ path: String, _ query: [(String, String?)] = []) -> APIRequest {
      DiscordAPI.call("GET", path, job.secrets, query: query)
    }
    switch task {
    case .nothing: return nil
    case .identity: return get("users/@me")
    case .guilds: return get("users/@me/guilds", [("limit", "200"), ("after", state.page)])
    case .directs: return get("users/@me/channels")
    case .guild(let id): return get("guilds/\(APIRequest.element(id))/channels")
    case .threads(let id): return get("guilds/\(APIRequest.element(id))/threads/active")
    case .channel(let id): return get("channels/\(APIRequest.element(id))")
    case .reactions(let name):
      guard let emoji = state.emoji(name) else { return nil }
      let place = name.split(separator: ":").map { APIRequest.element(String($0)) }
        .joined(separator: "/messages/")
      return get(
        "channels/\(place)/reactions/\(APIRequest.element(emoji))",
        [("limit", String(DiscordReactions.usersMax))])
    case .messages(let id):
      let limit = ("limit", Optional(String(Self.pageMax)))
      let path = "channels/\(APIRequest.element(id))/messages"
      guard job.mode == .live else { return get(path, [limit, ("before", state.page)]) }
      return get(path, [limit, ("after", state.page ?? state.floor(id, job))])
    }
  }

  // MARK: Reading

  private func read(
    _ json: JSONValue, _ task: DiscordPollState.Task, _ state: inout DiscordPollState, _ job: PollJob
  ) -> Normalised {
    switch task {
    case .nothing: break
    case .identity: state.identify(json, job)
    case .guilds: state.guilds(json.array ?? [], job)
    case .directs: state.list(json.array ?? [], guild: nil, task, job)
    case .guild(let id): state.list(json.array ?? [], guild: id, task, job)
    case .threads(let id): state.list(json["threads"]?.array ?? [], guild: id, task, job)
    case .channel: state.list([json], guild: json["guild_id"]?.string, task, job)
    case .messages(let id): return messages(json.array ?? [], in: id, &state, job)
    case .reactions(let name):
      guard let done = state.reacted(name, json.array ?? []) else { break }
      return Normalised(items: Self.reactions(done.changes, to: done.message, in: done.channel, state, job))
    }
    return Normalised()
  }

  private func messages(
    _ list: [JSONValue], in channel: String, _ state: inout DiscordPollState, _ job: PollJob
  ) -> Normalised {
    var content = Normalised()
    let floor = state.floor(channel, job)
    // Newest first; told oldest first.
    for message in list.reversed() {
      guard let id = message["id"]?.string, DiscordMessage.time(ofID: id) != nil else {
        content.faults.append(.missing(path: "id"))
        continue
      }
      guard TrailingWindow.isBefore(floor, id) else { continue }
      var news = TrailingWindow.News.new
      if job.mode == .live {
        let edited = message["edited_timestamp"]?.string ?? ""
        news = state.note(id, in: channel, mark: edited + DiscordReactions.mark(of: message))
      }
      guard news != .same else { continue }
      defer { if job.mode == .live { watch(message, id, in: channel, &state, job, &content) } }
      add(message, in: channel, isNew: news == .new, state, job, &content)
    }
    let ids = list.compactMap { $0["id"]?.string }.sorted(by: TrailingWindow.isBefore)
    let isFull = list.count >= Self.pageMax
    if job.mode == .live, isFull, let last = ids.last, last != state.page {
      state.page = last
    } else if job.mode != .live, isFull, let first = ids.first, TrailingWindow.isBefore(floor, first),
      first != state.page
    {
      state.page = first
    } else {
      let gone = state.endMessages(channel, job)
      if !gone.isEmpty {
        content.add([
          .delete(MessageDeletion(conversation: state.conversation(channel), externalIDs: gone, at: job.now))
        ])
      }
    }
    return content
  }

  private func watch(
    _ message: JSONValue, _ id: String, in channel: String, _ state: inout DiscordPollState, _ job: PollJob,
    _ content: inout Normalised
  ) {
    let changes = state.react(to: id, in: channel, DiscordReactions(of: message))
    content.add(Self.reactions(changes, to: id, in: channel, state, job))
  }

  private static func reactions(
    _ changes: [(user: String, emoji: [String])], to id: String, in channel: String,
    _ state: DiscordPollState, _ job: PollJob
  ) -> [InboundItem] {
    changes.map { user, emoji in
      .reaction(
        ReactionChange(
          conversation: state.conversation(channel), externalID: id, actor: Person(id: user),
          isOwn: user == state.user, change: .replace(emoji), at: job.now))
    }
  }

  /// A message; and its edit, where it has been edited.
  private func add(
    _ message: JSONValue, in channel: String, isNew: Bool, _ state: DiscordPollState, _ job: PollJob,
    _ content: inout Normalised
  ) {
    do throws(NormaliseError) {
      guard let members = message.object else { throw .wrongType(path: "", expected: "an object") }
      let reader = try DiscordMessage(JSONReader(state.placed(members, in: channel)), own: state.user)
      var items: [InboundItem] = []
      if isNew { items.append(.message(try reader.message())) }
      if message["edited_timestamp"]?.string != nil { items.append(.edit(try reader.edit(at: job.now))) }
      content.add(items)
    } catch {
      content.faults.append(error)
    }
  }
}
