import JSON

/// Where a poll of a homeserver stands.
struct MatrixCursor {
  private static let directMax = 2_000
  private static let gapsMax = 1_000
  private static let reactionsMax = 100
  private static let titlesMax = 500

  /// Events that a sync left out: in a room, from a token back to another.
  struct Gap: Equatable {
    let room: String
    var from: String
    let to: String?
  }

  /// A reaction's event, kept for a while: its redaction names it and not the message.
  struct Reaction: Equatable {
    let event: String
    let message: String
    let key: String
    let sender: String
  }

  /// What a room was called when the first sync came.
  struct Title: Equatable {
    let room: String
    let name: String
    /// `origin_server_ts` of the naming.
    let at: Int64
  }

  /// `next_batch` of the last sync.
  var since: String?
  /// Who is polled for.
  var user: String?
  /// Rooms that the user marked as conversations of two.
  private(set) var direct: Set<String> = []
  var gaps: [Gap] = []
  private(set) var reactions: [Reaction] = []
  /// Of rooms from which nothing has come yet.
  private(set) var titles: [Title] = []

  init(_ json: JSONValue?) {
    since = json?["since"]?.string
    user = json?["user"]?.string
    direct = Set((json?["direct"]?.array ?? []).compactMap(\.string))
    gaps = (json?["gaps"]?.array ?? []).compactMap { gap in
      guard let room = gap[0]?.string, let from = gap[1]?.string else { return nil }
      return Gap(room: room, from: from, to: gap[2]?.string)
    }
    reactions = (json?["reactions"]?.array ?? []).compactMap { reaction in
      guard let event = reaction[0]?.string, let message = reaction[1]?.string,
        let key = reaction[2]?.string, let sender = reaction[3]?.string
      else { return nil }
      return Reaction(event: event, message: message, key: key, sender: sender)
    }
    titles = (json?["titles"]?.array ?? []).compactMap { title in
      guard let room = title[0]?.string, let name = title[1]?.string, let at = title[2]?.integer else {
        return nil
      }
      return Title(room: room, name: name, at: at)
    }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = [:]
    members["since"] = since.map { .string($0) }
    members["user"] = user.map { .string($0) }
    if !direct.isEmpty { members["direct"] = .array(direct.sorted().map { .string($0) }) }
    if !gaps.isEmpty {
      members["gaps"] = .array(
        gaps.map { [.string($0.room), .string($0.from), $0.to.map { .string($0) } ?? .null] })
    }
    if !reactions.isEmpty {
      members["reactions"] = .array(
        reactions.map { [.string($0.event), .string($0.message), .string($0.key), .string($0.sender)] })
    }
    if !titles.isEmpty {
      members["titles"] = .array(
        titles.map { [.string($0.room), .string($0.name), .integer($0.at)] })
    }
    return .object(members)
  }

  /// Takes the content of `m.direct`: lists of rooms by user.
  mutating func takeDirect(_ content: JSONValue?) {
    let rooms = (content?.object ?? [:]).values.flatMap { $0.array ?? [] }.compactMap(\.string)
    direct = Set(rooms.sorted().prefix(Self.directMax))
  }

  mutating func add(_ gap: Gap) {
    if gaps.count < Self.gapsMax { gaps.append(gap) }
  }

  mutating func remember(_ reaction: Reaction) {
    reactions.removeAll { $0.event == reaction.event }
    reactions.append(reaction)
    reactions.removeFirst(max(0, reactions.count - Self.reactionsMax))
  }

  mutating func add(_ title: Title) {
    if titles.count < Self.titlesMax { titles.append(title) }
  }

  /// What the room is called, the first time that something comes from it.
  mutating func takeTitle(_ room: String) -> Title? {
    guard let index = titles.firstIndex(where: { $0.room == room }) else { return nil }
    return titles.remove(at: index)
  }

  func reaction(_ event: String) -> Reaction? { reactions.first { $0.event == event } }
}
