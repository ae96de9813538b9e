import Bytes
import JSON
import Messaging

/// Where a poll of a bot's guilds is; the cursor, read.
struct DiscordPollState {
  struct Channel {
    var window: TrailingWindow
    var type: Int64
    var guild: String?
    var name: String?
    /// The newest message that a list told of.
    var last: String?
    /// What it was when the channel was read last: it may have been deleted.
    var checked: String?
    /// Not asked for before this second: the bot may not read it.
    var closedUntil: Int64 = 0
    var reactors = ReactorList()
  }

  enum Task: Equatable {
    case identity, guilds, directs, nothing
    case guild(String), threads(String), channel(String), messages(String)
    /// Who reacted to a message, which is named by its channel and its id: `10:17`.
    case reactions(String)

    /// It is about one thing, and the others go on without it.
    var isOne: Bool {
      switch self {
      case .identity, .guilds, .nothing: false
      case .directs, .guild, .threads, .channel, .messages, .reactions: true
      }
    }

    var text: String {
      switch self {
      case .identity: "identity"
      case .guilds: "guilds"
      case .directs: "directs"
      case .nothing: "nothing"
      case .guild(let id): "guild:\(id)"
      case .threads(let id): "threads:\(id)"
      case .channel(let id): "channel:\(id)"
      case .messages(let id): "messages:\(id)"
      case .reactions(let id): "reactions:\(id)"
      }
    }

    init?(_ text: String) {
      let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
      switch (parts.first, parts.count) {
      case ("directs"?, 1): self = .directs
      case ("guild"?, 2): self = .guild(parts[1])
      case ("threads"?, 2): self = .threads(parts[1])
      case ("channel"?, 2): self = .channel(parts[1])
      case ("messages"?, 2): self = .messages(parts[1])
      case ("reactions"?, 2): self = .reactions(parts[1])
      default: return nil
      }
    }
  }

  private static let guildSeconds: Int64 = 900
  private static let closedSeconds: Int64 = 3_600
  /// Between the beginnings of two rounds, at least.
  private static let roundSeconds: Int64 = 4
  private static let channelsMax = 2_000
  /// How long after it was written a message is looked at again.
  private static let windowSeconds: Int64 = 3_600
  /// Types of channels that have messages: texts, directs, voice, groups, news, threads, stages.
  private static let types: Set<Int64> = [0, 1, 2, 3, 5, 10, 11, 12, 13]
  private static let threadTypes: Set<Int64> = [10, 11, 12]

  private(set) var user: String?
  /// From then on messages are news.
  private var startedAt: Timestamp?
  private var guildIDs: [String] = []
  private var channels: [String: Channel] = [:]
  private var guildsAt: Int64?
  /// When a whole round began; what is found later begins there.
  private var roundAt: Int64?
  private var lastRoundAt: Int64?
  private var todo: [Task] = []
  /// Messages whose reactions changed, by what their tasks call them.
  private var reacting: [String: DiscordReactions] = [:]
  /// The place within the first task.
  var page: String?

  var hasMore: Bool {
    guard todo.isEmpty, page == nil, let roundAt else { return true }
    // The guilds were listed, and their round has not begun.
    return guildsAt.map { $0 > roundAt } ?? false
  }

  // MARK: What is next

  /// The first thing to do; begins a round where none is on its way.
  mutating func task(_ job: PollJob) -> Task {
    if user == nil { return .identity }
    guard todo.isEmpty else { return todo[0] }
    if roundAt != nil && job.mode != .live { return .nothing }
    if page == nil && job.isSoon(after: roundAt, seconds: Self.roundSeconds) { return .nothing }
    let age = guildsAt.map { job.now.seconds.subtractingReportingOverflow($0).partialValue }
    if age.map({ $0 >= Self.guildSeconds || $0 < 0 }) ?? true { return .guilds }
    lastRoundAt = roundAt
    roundAt = job.now.seconds
    todo = guildIDs.flatMap { [Task.guild($0), .threads($0)] } + [.directs]
    todo += Self.list(job.secrets.first(DiscordAPI.channelsField)).map { .channel($0) }
    return todo[0]
  }

  private static func list(_ text: String?) -> [String] {
    (text ?? "").split { $0 == "," || $0 == " " }.map(String.init)
  }

  private mutating func drop(_ task: Task) {
    page = nil
    todo.removeAll { $0 == task }
  }

  /// Leaves out what the bot may not read.
  mutating func close(_ task: Task, _ job: PollJob) {
    if case .messages(let id) = task {
      channels[id]?.closedUntil = job.now.seconds + Self.closedSeconds
      _ = channels[id]?.window.end(oldest: DiscordAPI.id(at: .latest))
    }
    if case .reactions(let name) = task { reacting[name] = nil }
    drop(task)
  }

  // MARK: Reactions

  /// A message has other reactions than before: who they are of is asked for.
  /// - Returns: what is known at once.
  mutating func react(
    to id: String, in channel: String, _ reactions: DiscordReactions
  ) -> [(user: String, emoji: [String])] {
    let name = "\(channel):\(id)"
    guard reactions.emoji.isEmpty else {
      reacting[name] = reactions
      if !todo.contains(.reactions(name)) { todo.append(.reactions(name)) }
      return []
    }
    reacting[name] = nil
    todo.removeAll { $0 == .reactions(name) }
    return channels[channel]?.reactors.turn(id, reactions.shown) ?? []
  }

  /// The next emoji of a message; nil: there is none.
  func emoji(_ name: String) -> String? { reacting[name]?.emoji.first?.path }

  /// - Returns: what each one has now, when all emoji of the message were asked for.
  mutating func reacted(
    _ name: String, _ users: [JSONValue]
  ) -> (channel: String, message: String, changes: [(user: String, emoji: [String])])? {
    reacting[name]?.take(users)
    if let reactions = reacting[name], !reactions.emoji.isEmpty { return nil }
    let parts = name.split(separator: ":").map(String.init)
    let shown = reacting.removeValue(forKey: name)?.shown
    drop(.reactions(name))
    guard parts.count == 2, let shown else { return nil }
    return (parts[0], parts[1], channels[parts[0]]?.reactors.turn(parts[1], shown) ?? [])
  }

  // MARK: What was answered

  mutating func identify(_ json: JSONValue, _ job: PollJob) {
    user = json["id"]?.identifier ?? ""
    startedAt = job.start
  }

  mutating func guilds(_ found: [JSONValue], _ job: PollJob) {
    let wanted = Set(Self.list(job.secrets.first(DiscordAPI.guildsField)))
    if page == nil { guildIDs = [] }
    for guild in found {
      guard let id = guild["id"]?.string, wanted.isEmpty || wanted.contains(id) else { continue }
      if !guildIDs.contains(id) { guildIDs.append(id) }
    }
    let last = found.last?["id"]?.string
    if found.count >= 200, let last, last != page {
      page = last
      return
    }
    page = nil
    guildsAt = job.now.seconds
  }

  /// Takes channels, and notes those that have to be read.
  mutating func list(_ found: [JSONValue], guild: String?, _ task: Task, _ job: PollJob) {
    drop(task)
    var listed: Set<String> = []
    for json in found {
      guard let id = json["id"]?.string, let type = json["type"]?.integer, Self.types.contains(type) else {
        continue
      }
      listed.insert(id)
      guard channels[id] != nil || channels.count < Self.channelsMax else { continue }
      let begin = TrailingWindow(floor: DiscordAPI.id(at: begins(job)))
      var channel = channels[id] ?? Channel(window: begin, type: type)
      channel.type = type
      channel.guild = guild
      let person = json["recipients"]?[0]
      let name = json["name"]?.string ?? person?["global_name"]?.string ?? person?["username"]?.string
      channel.name = MessageText.name(name) ?? channel.name
      channel.last = json["last_message_id"]?.string ?? channel.last
      channels[id] = channel
      if isDue(channel, job), !todo.contains(.messages(id)) { todo.append(.messages(id)) }
    }
    if case .threads(let guild) = task {
      // Threads that ended are not listed any more.
      channels = channels.filter { id, channel in
        channel.guild != guild || !Self.threadTypes.contains(channel.type) || listed.contains(id)
      }
    }
  }

  /// The first round begins with the first poll; what is found later was made since the round before.
  private func begins(_ job: PollJob) -> Timestamp {
    lastRoundAt.map { Timestamp(seconds: $0) } ?? startedAt ?? job.now
  }

  private func isDue(_ channel: Channel, _ job: PollJob) -> Bool {
    guard job.now.seconds >= channel.closedUntil else { return false }
    switch job.mode {
    case .live:
      if !channel.window.isEmpty { return true }
      if channel.last == channel.checked { return false }
      return channel.last.map { TrailingWindow.isBefore(channel.window.floor, $0) } ?? false
    case .history(let time), .sweep(let time):
      return channel.last.map { TrailingWindow.isBefore(DiscordAPI.id(at: time), $0) } ?? false
    }
  }

  mutating func note(_ id: String, in channel: String, mark: String) -> TrailingWindow.News {
    channels[channel]?.window.note(id, mark: mark) ?? .new
  }

  /// - Returns: the messages that are gone.
  mutating func endMessages(_ id: String, _ job: PollJob) -> [String] {
    drop(.messages(id))
    guard job.mode == .live else { return [] }
    let last = channels[id]?.last
    channels[id]?.checked = last
    let oldest = DiscordAPI.id(at: Timestamp(seconds: job.now.seconds - Self.windowSeconds))
    let gone = channels[id]?.window.end(oldest: oldest) ?? []
    let marks = channels[id]?.window.marks ?? [:]
    channels[id]?.reactors.keep { marks[$0] != nil }
    return gone
  }

  // MARK: Parts

  /// What is behind this is asked for.
  func floor(_ channel: String, _ job: PollJob) -> String {
    switch job.mode {
    case .live: channels[channel]?.window.floor ?? DiscordAPI.id(at: job.now)
    case .history(let time), .sweep(let time): DiscordAPI.id(at: time)
    }
  }

  func conversation(_ id: String) -> ConversationRef {
    let channel = channels[id]
    let isDirect = channel?.guild == nil && channel?.type == 1
    return ConversationRef(externalID: id, kind: isDirect ? .direct : .group, title: channel?.name)
  }

  /// A message with what only the list of channels tells.
  func placed(_ message: [String: JSONValue], in id: String) -> [String: JSONValue] {
    var members = message
    members["channel_id"] = .string(id)
    members["guild_id"] = channels[id]?.guild.map { .string($0) }
    var channel: [String: JSONValue] = ["type": .integer(channels[id]?.type ?? 0)]
    channel["name"] = channels[id]?.name.map { .string($0) }
    members["channel"] = .object(channel)
    return members
  }
}

extension DiscordPollState {
  init(_ json: JSONValue?) {
    user = json?["user"]?.string
    startedAt = json?["startedAt"]?.integer.map { Timestamp(microseconds: $0) }
    guildIDs = (json?["guilds"]?.array ?? []).compactMap(\.string)
    guildsAt = json?["guildsAt"]?.integer
    roundAt = json?["roundAt"]?.integer
    lastRoundAt = json?["lastRoundAt"]?.integer
    page = json?["page"]?.string
    todo = (json?["todo"]?.array ?? []).compactMap { $0.string.flatMap { Task($0) } }
    for (id, entry) in json?["channels"]?.object ?? [:] {
      guard let window = TrailingWindow(entry["window"]) else { continue }
      channels[id] = Channel(
        window: window, type: entry["type"]?.integer ?? 0, guild: entry["guild"]?.string,
        name: entry["name"]?.string, last: entry["last"]?.string, checked: entry["checked"]?.string,
        closedUntil: entry["closedUntil"]?.integer ?? 0, reactors: ReactorList(entry["reactors"]))
    }
    reacting = (json?["reacting"]?.object ?? [:]).mapValues { DiscordReactions(kept: $0) }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = ["channels": .object(channels.mapValues(Self.json))]
    members["user"] = user.map { .string($0) }
    members["guilds"] = .array(guildIDs.map { .string($0) })
    members["startedAt"] = startedAt.map { .integer($0.microseconds) }
    members["guildsAt"] = guildsAt.map { .integer($0) }
    members["roundAt"] = roundAt.map { .integer($0) }
    members["lastRoundAt"] = lastRoundAt.map { .integer($0) }
    members["page"] = page.map { .string($0) }
    if !reacting.isEmpty { members["reacting"] = .object(reacting.mapValues(\.json)) }
    if !todo.isEmpty { members["todo"] = .array(todo.map { .string($0.text) }) }
    return .object(members)
  }

  private static func json(_ channel: Channel) -> JSONValue {
    var members: [String: JSONValue] = ["window": channel.window.json, "type": .integer(channel.type)]
    members["guild"] = channel.guild.map { .string($0) }
    members["name"] = channel.name.map { .string($0) }
    members["last"] = channel.last.map { .string($0) }
    members["checked"] = channel.checked.map { .string($0) }
    if channel.closedUntil > 0 { members["closedUntil"] = .integer(channel.closedUntil) }
    if !channel.reactors.isEmpty { members["reactors"] = channel.reactors.json }
    return .object(members)
  }
}
