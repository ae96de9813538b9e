import Bytes
import JSON
import Messaging

/// Reads what a sync, or a page of a room's history, says. Events stand in rooms there and do not name them.
struct MatrixSync {
  private static let eventsMax = 10_000

  private(set) var content = Normalised()
  private(set) var cursor: MatrixCursor
  /// Rooms that the user is asked into.
  private(set) var invitations: [String] = []
  private let own: [String]
  private let receivedAt: Timestamp

  init(cursor: MatrixCursor, own: [String], receivedAt: Timestamp) {
    self.cursor = cursor
    self.own = own
    self.receivedAt = receivedAt
  }

  /// - Parameter begins: the first sync, which says how things stand and not what happened.
  mutating func read(_ sync: JSONReader, begins: Bool) throws(NormaliseError) {
    let before = cursor.since
    cursor.since = try sync.required("next_batch", sync.text("next_batch"))
    for event in try sync.object("account_data")?.objects("events", max: Self.eventsMax) ?? []
    where event["type"] == "m.direct" {
      cursor.takeDirect(event["content"])
    }
    guard let rooms = try sync.object("rooms") else { return }
    if begins { return keepTitles(try rooms.object("join")) }
    for (section, isIn) in [("join", true), ("leave", false)] {
      guard let list = try rooms.object(section) else { continue }
      for id in list.members.keys.sorted() {
        guard let room = try list.object(id) else { continue }
        joined(room, id, before: before, isIn: isIn)
      }
    }
    guard let list = try rooms.object("invite") else { return }
    for id in list.members.keys.sorted() {
      invitations.append(id)
      let events = list[id]?["invite_state"]?["events"]?.array ?? []
      content.read { [self] () throws(NormaliseError) in [invitation(id, events)] }
    }
  }

  /// Rooms are told of when something comes from them, and then with the names that they have now.
  private mutating func keepTitles(_ rooms: JSONReader?) {
    for (id, room) in (rooms?.members ?? [:]).sorted(by: { $0.key < $1.key }) {
      let events = ["state", "timeline"].flatMap { room[$0]?["events"]?.array ?? [] }
      guard let event = events.last(where: { $0["type"] == "m.room.name" }),
        let name = MessageText.name(event["content"]?["name"]?.string),
        let at = event["origin_server_ts"]?.integer
      else { continue }
      cursor.add(MatrixCursor.Title(room: id, name: name, at: at))
    }
  }

  private mutating func joined(_ room: JSONReader, _ id: String, before: String?, isIn: Bool) {
    let timeline = (try? room.object("timeline")) ?? JSONReader([:])
    if isIn, timeline["limited"] == true, let from = timeline["prev_batch"]?.string {
      cursor.add(MatrixCursor.Gap(room: id, from: from, to: before))
    }
    let state = ((try? room.object("state"))?["events"]?.array ?? []).compactMap(\.object)
    let events = (timeline["events"]?.array ?? []).compactMap(\.object)
    let names = Self.names(state + events)
    // A room that is new has its name before its first message.
    for event in state where event["type"] == "m.room.name" {
      content.read { [self] () throws(NormaliseError) in
        try self.event(event, id, names).items().filter {
          if case .conversation = $0 { true } else { false }
        }
      }
    }
    addTitle(id, if: !events.isEmpty)
    add(events, room: id, names: names)
    for event in ((try? room.object("ephemeral"))?["events"]?.array ?? []).compactMap(\.object) {
      content.read { [self] () throws(NormaliseError) in try self.event(event, id, [:]).ephemeral() }
    }
  }

  private mutating func addTitle(_ id: String, if isTold: Bool) {
    guard isTold, let title = cursor.takeTitle(id) else { return }
    let room = ConversationRef(
      externalID: id, kind: cursor.direct.contains(id) ? .direct : .group, title: title.name)
    content.add([
      .conversation(ConversationChange(conversation: room, at: Timestamp(milliseconds: title.at).clamped))
    ])
  }

  /// Adds the events of one room.
  mutating func add(_ events: [[String: JSONValue]], room: String, names: [String: String]? = nil) {
    let names = names ?? Self.names(events)
    // A reaction and its end may come in one answer, in either order.
    for event in events where event["type"] == "m.reaction" {
      let relation = event["content"]?["m.relates_to"]
      guard let id = event["event_id"]?.string, let message = relation?["event_id"]?.string,
        let key = relation?["key"]?.string, let sender = event["sender"]?.string
      else { continue }
      cursor.remember(
        MatrixCursor.Reaction(
          event: id, message: message, key: MessageText.sanitised(key, bytesMax: 128), sender: sender))
    }
    for event in events {
      if let item = undone(event, room) {
        content.add([item])
      } else {
        content.read { [self] () throws(NormaliseError) in try self.event(event, room, names).items() }
      }
    }
  }

  private func event(
    _ members: [String: JSONValue], _ room: String, _ names: [String: String]
  ) throws(NormaliseError) -> MatrixEvent {
    let reader = JSONReader(members).adding(["room_id": .string(room)])
    return try MatrixEvent(
      reader, own: own, receivedAt: receivedAt, isDirect: cursor.direct.contains(room), names: names)
  }

  /// The end of a reaction whose event is still remembered.
  private func undone(_ event: [String: JSONValue], _ room: String) -> InboundItem? {
    guard event["type"] == "m.room.redaction",
      let target = event["content"]?["redacts"]?.string ?? event["redacts"]?.string,
      let reaction = cursor.reaction(target)
    else { return nil }
    let at = event["origin_server_ts"]?.integer.map { Timestamp(milliseconds: $0).clamped } ?? receivedAt
    return .reaction(
      ReactionChange(
        conversation: ConversationRef(
          externalID: room, kind: cursor.direct.contains(room) ? .direct : .group),
        externalID: reaction.message, actor: Person(id: reaction.sender), change: .remove(reaction.key),
        at: at))
  }

  /// How members of a room are called.
  private static func names(_ events: [[String: JSONValue]]) -> [String: String] {
    var names: [String: String] = [:]
    for event in events where event["type"] == "m.room.member" {
      guard let user = event["state_key"]?.string, event["content"]?["membership"] == "join" else { continue }
      names[user] = MessageText.name(event["content"]?["displayname"]?.string)
    }
    return names
  }

  /// Before the user is in the room there are only parts of its state, without ids.
  private func invitation(_ room: String, _ events: [JSONValue]) -> InboundItem {
    let invitation = events.first { event in
      event["type"] == "m.room.member" && event["content"]?["membership"] == "invite"
    }
    let sender = invitation?["sender"]?.identifier ?? "matrix"
    let name = events.first { $0["type"] == "m.room.name" }?["content"]?["name"]?.string
    return .message(
      Update.message(
        "invite", isKnown: true, id: "invite:\(sender)",
        conversation: ConversationRef(
          externalID: room, kind: invitation?["content"]?["is_direct"] == true ? .direct : .group,
          title: MessageText.name(name)), sender: Person(id: sender), members: invitation?.object ?? [:],
        at: receivedAt))
  }
}
