import Bytes
import JSON
import Messaging

/// Where a poll of a workspace is; the cursor, read.
struct SlackPollState {
  struct Channel {
    var window: TrailingWindow
    var name: String?
    var isDirect: Bool
    var reactors = ReactorList()
  }

  struct Thread: Hashable {
    let channel: String
    let root: String
    /// Answers up to here are known.
    let after: String
  }

  enum Task { case identity, list, channel(String), thread(Thread), nothing }

  private static let listSeconds: Int64 = 900
  /// Between the beginnings of two rounds, at least.
  private static let roundSeconds: Int64 = 10
  private static let channelsMax = 1_000
  private static let threadsMax = 500
  /// How long after it was written a message is looked at again.
  private static let windowSeconds: Int64 = 86_400
  /// How much further back a sweep looks for threads that have grown since.
  private static let threadSeconds: Int64 = 7 * 86_400

  private(set) var user: String?
  private(set) var bot: String?
  private var team: String?
  /// From then on messages are news.
  private var startedAt: Timestamp?
  var channels: [String: Channel] = [:]
  /// When the channels were listed; what is found later begins there.
  private var listedAt: Int64?
  private var isListing = false
  private var todo: [String] = []
  private var threads: [Thread] = []
  /// Slack's cursor within the first task.
  var page: String?
  /// When the round began.
  private var roundAt: Int64?
  /// Whether this round has its channels; a round ends when nothing is left.
  private var isRound = false

  var hasMore: Bool { !todo.isEmpty || !threads.isEmpty || isListing || !isRound }

  // MARK: What is next

  /// The first thing to do; begins a round where none is on its way.
  mutating func task(_ job: PollJob) -> Task {
    if user == nil { return .identity }
    let isLive = job.mode == .live
    if isListing { return .list }
    if todo.isEmpty && threads.isEmpty && (isLive || !isRound) {
      if isRound && job.isSoon(after: roundAt, seconds: Self.roundSeconds) { return .nothing }
      roundAt = job.now.seconds
      let age = listedAt.map { job.now.seconds.subtractingReportingOverflow($0).partialValue }
      if age.map({ $0 >= Self.listSeconds || $0 < 0 }) ?? true {
        isListing = true
        return .list
      }
      begin()
    }
    // The channel first: the place within a task is one.
    if let channel = todo.first { return .channel(channel) }
    if let thread = threads.first { return .thread(thread) }
    return .nothing
  }

  private mutating func begin() {
    isRound = true
    todo = channels.keys.sorted()
  }

  /// Its last answer has come, or it cannot be done.
  mutating func drop(_ task: Task) {
    page = nil
    switch task {
    case .thread(let thread): threads.removeAll { $0 == thread }
    case .channel(let id): todo.removeAll { $0 == id }
    case .list:
      isListing = false
      begin()
    case .identity, .nothing: break
    }
  }

  mutating func follow(_ thread: Thread) {
    guard threads.count < Self.threadsMax, !threads.contains(where: { $0.root == thread.root }) else {
      return
    }
    threads.append(thread)
  }

  // MARK: What was answered

  mutating func identify(_ json: JSONValue, _ job: PollJob) {
    startedAt = job.start
    user = json["user_id"]?.string ?? ""
    bot = json["bot_id"]?.string
    team = json["team_id"]?.string
  }

  mutating func list(_ found: [JSONValue], _ job: PollJob) {
    for channel in found {
      guard let id = channel["id"]?.string, !id.isEmpty, channels.count < Self.channelsMax else { continue }
      let isDirect = channel["is_im"]?.bool ?? id.hasPrefix("D")
      var entry =
        channels[id]
        ?? Channel(window: TrailingWindow(floor: begins(job)), name: nil, isDirect: isDirect)
      entry.name = MessageText.name(channel["name"]?.string) ?? entry.name
      channels[id] = entry
    }
  }

  /// Channels that appear later are read from the last listing on: nobody looked there before.
  private func begins(_ job: PollJob) -> String {
    guard let listedAt else { return Self.stamp(startedAt ?? job.now) }
    return Self.stamp(Timestamp(seconds: listedAt))
  }

  mutating func endList(_ job: PollJob) {
    let isFirst = listedAt == nil
    listedAt = job.now.seconds
    drop(.list)
    // Now is where the first poll begins: there is nothing to read yet.
    if isFirst && job.mode == .live { todo = [] }
  }

  /// - Returns: the messages that are gone.
  mutating func endChannel(_ id: String, _ job: PollJob) -> [String] {
    drop(.channel(id))
    guard job.mode == .live else { return [] }
    let oldest = Self.stamp(Timestamp(seconds: job.now.seconds - Self.windowSeconds))
    let gone = channels[id]?.window.end(oldest: oldest) ?? []
    let marks = channels[id]?.window.marks ?? [:]
    channels[id]?.reactors.keep { marks[$0] != nil }
    return gone
  }

  // MARK: Parts

  /// What is behind this is asked for.
  func oldest(_ channel: String, _ job: PollJob) -> String {
    guard case .sweep(let time) = job.mode else { return begin(channel, job) }
    return Self.stamp(Timestamp(seconds: time.seconds - Self.threadSeconds))
  }

  /// What is behind this is told.
  func begin(_ channel: String, _ job: PollJob) -> String {
    switch job.mode {
    case .live: channels[channel]?.window.floor ?? Self.stamp(job.now)
    case .history(let time), .sweep(let time): Self.stamp(time)
    }
  }

  func conversation(_ id: String) -> ConversationRef {
    SlackEvent.conversation(id: id, type: channels[id]?.isDirect == true ? "im" : nil)
  }

  func envelope(_ event: JSONValue) -> [String: JSONValue] {
    var members: [String: JSONValue] = [
      "event": event, "authorizations": [["is_bot": true, "user_id": .string(user ?? "")]],
    ]
    members["team_id"] = team.map { .string($0) }
    return members
  }

  /// A moment as Slack writes it.
  static func stamp(_ time: Timestamp) -> String {
    let time = max(time.clamped, Timestamp(seconds: 0))
    let fraction = String(time.microseconds % 1_000_000)
    return "\(time.seconds)." + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
  }

  // MARK: JSON

  init(_ json: JSONValue?) {
    user = json?["user"]?.string
    bot = json?["bot"]?.string
    team = json?["team"]?.string
    startedAt = json?["startedAt"]?.integer.map { Timestamp(microseconds: $0) }
    listedAt = json?["listedAt"]?.integer
    roundAt = json?["roundAt"]?.integer
    isListing = json?["isListing"]?.bool ?? false
    isRound = json?["isRound"]?.bool ?? false
    page = json?["page"]?.string
    todo = (json?["todo"]?.array ?? []).compactMap(\.string)
    for (id, channel) in json?["channels"]?.object ?? [:] {
      guard let window = TrailingWindow(channel["window"]) else { continue }
      channels[id] = Channel(
        window: window, name: channel["name"]?.string, isDirect: channel["direct"]?.bool ?? false,
        reactors: ReactorList(channel["reactors"]))
    }
    threads = (json?["threads"]?.array ?? []).compactMap { thread in
      guard let channel = thread["channel"]?.string, let root = thread["root"]?.string,
        let after = thread["after"]?.string
      else { return nil }
      return Thread(channel: channel, root: root, after: after)
    }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = [
      "channels": .object(channels.mapValues(Self.json)), "isListing": .bool(isListing),
      "isRound": .bool(isRound),
    ]
    members["user"] = user.map { .string($0) }
    members["bot"] = bot.map { .string($0) }
    members["team"] = team.map { .string($0) }
    members["startedAt"] = startedAt.map { .integer($0.microseconds) }
    members["listedAt"] = listedAt.map { .integer($0) }
    members["roundAt"] = roundAt.map { .integer($0) }
    members["page"] = page.map { .string($0) }
    if !todo.isEmpty { members["todo"] = .array(todo.map { .string($0) }) }
    if !threads.isEmpty {
      members["threads"] = .array(
        threads.map { thread in
          [
            "channel": .string(thread.channel), "root": .string(thread.root), "after": .string(thread.after),
          ]
        })
    }
    return .object(members)
  }

  private static func json(_ channel: Channel) -> JSONValue {
    var members: [String: JSONValue] = ["window": channel.window.json]
    members["name"] = channel.name.map { .string($0) }
    if channel.isDirect { members["direct"] = true }
    if !channel.reactors.isEmpty { members["reactors"] = channel.reactors.json }
    return .object(members)
  }
}
