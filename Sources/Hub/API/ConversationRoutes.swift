import Bytes
import HTTPServer
import HTTPWire
import JSON

/// Conversations, their messages, and reading.
extension RouteTable {
  static let states = ["open", "pending", "snoozed", "closed"]
  static let priorities = ["low", "normal", "high", "urgent"]
  private static let labelsMax = 50

  mutating func addConversations() {
    let store = parts.store
    let relay = parts.relay
    let clock = parts.clock
    secured(.get, "/api/conversations") { call in
      let page = try await store.conversations(
        call.principal, try Self.filter(call), behind: try Self.conversationPosition(call),
        limit: try call.limit())
      return .json(.ok, JSONDocument.list(page.items, next: page.next))
    }
    secured(.get, "/api/conversations/{id}") { call in
      .json(.ok, try await store.conversation(call.principal, try call.id("id")))
    }
    secured(.patch, "/api/conversations/{id}") { call in
      let id = try call.id("id")
      let patch = try Self.conversationPatch(try call.body(), now: clock.now())
      relay.publish(
        try await store.setConversation(
          call.principal, conversation: id, patch: String(decoding: patch.encoded(), as: UTF8.self)))
      return .json(.ok, try await store.conversation(call.principal, id))
    }
    secured(.get, "/api/conversations/{id}/messages") { call in
      let page = try await store.messages(
        call.principal, conversation: try call.id("id"), try Self.anchor(call), limit: try call.limit())
      return .json(
        .ok,
        JSONDocument.list(
          page.items, next: page.next, more: [("previousCursor", JSONDocument.cursor(page.previous))]))
    }
    addReading()
  }

  private mutating func addReading() {
    let store = parts.store
    let outbox = parts.outbox
    let relay = parts.relay
    secured(.post, "/api/conversations/{id}/read") { call in
      let id = try call.id("id")
      let fields = try call.body(optional: true)
      try fields.allow(only: ["upTo"])
      let upTo = try fields.id("upTo")
      relay.publish(try await store.markRead(call.principal, conversation: id, upTo: upTo))
      _ = try? await outbox.receipt(in: id, upTo: upTo, by: call.principal.key, on: .open)
      return .json(.ok, try await store.unreadCounts(call.principal))
    }
    secured(.post, "/api/conversations/{id}/unread") { call in
      let id = try call.id("id")
      let fields = try call.body()
      try fields.allow(only: ["from"])
      guard let from = try fields.id("from") else {
        throw Problem.invalid("'from' is missing", field: "from")
      }
      relay.publish(try await store.markUnread(call.principal, conversation: id, from: from))
      return .json(.ok, try await store.unreadCounts(call.principal))
    }
    secured(.get, "/api/unread") { call in .json(.ok, try await store.unreadCounts(call.principal)) }
  }

  // MARK: Reading requests

  private static func filter(_ call: APICall) throws(Problem) -> ConversationFilter {
    ConversationFilter(
      platform: call.text("platform"), state: try call.choice("state", of: states),
      unread: try call.flag("unread"), account: try call.id(inQuery: "account"))
  }

  private static func conversationPosition(_ call: APICall) throws(Problem) -> (at: Timestamp, id: UUIDv7)? {
    guard let cursor = try call.cursor() else { return nil }
    guard case .conversation(let at, let id) = cursor else { throw .invalidCursor }
    return (at, id)
  }

  static func anchor(_ call: APICall) throws(Problem) -> MessageAnchor {
    var anchors: [MessageAnchor] = []
    if let id = try call.id(inQuery: "before") { anchors.append(.before(id)) }
    if let id = try call.id(inQuery: "after") { anchors.append(.after(id)) }
    if let id = try call.id(inQuery: "around") { anchors.append(.around(id)) }
    // A cursor goes on from a page that began with an anchor, so it stands above it.
    if let cursor = try call.cursor() {
      guard case .message(let direction, let id) = cursor else { throw .invalidCursor }
      return direction == .before ? .before(id) : .after(id)
    }
    guard anchors.count <= 1 else {
      throw .invalid("only one of 'before', 'after' and 'around' can be given")
    }
    return anchors.first ?? .last
  }

  /// Checks a patch member by member. What is null is taken away, what is missing stays.
  static func conversationPatch(_ fields: RequestFields, now: Timestamp) throws(Problem) -> JSONValue {
    try fields.allow(only: ["state", "snoozedUntil", "assigneeId", "labels", "priority", "muted"])
    var patch: [String: JSONValue] = [:]
    if let state = try fields.choice("state", of: states) { patch["state"] = .string(state) }
    if let until = try fields.text("snoozedUntil") {
      guard let time = Timestamp(rfc3339: until) else {
        throw .invalid("'snoozedUntil' has to be a time as in 2026-11-21T10:00:00Z", field: "snoozedUntil")
      }
      guard time > now else { throw .invalid("'snoozedUntil' has to lie ahead", field: "snoozedUntil") }
      patch["snoozedUntil"] = .string(time.rfc3339)
    } else if fields.isNull("snoozedUntil") {
      patch["snoozedUntil"] = .null
    }
    if patch["state"] == "snoozed" && patch["snoozedUntil"]?.string == nil {
      throw .invalid("a snoozed conversation needs 'snoozedUntil'", field: "snoozedUntil")
    }
    for (name, value) in [
      ("assigneeId", try fields.text("assigneeId")),
      ("priority", try fields.choice("priority", of: priorities)),
    ] {
      if let value { patch[name] = .string(value) } else if fields.isNull(name) { patch[name] = .null }
    }
    if let labels = try fields.texts("labels", countMax: labelsMax, bytesMax: 64) {
      patch["labels"] = .array(Array(Set(labels)).sorted().map { .string($0) })
    }
    if let muted = try fields.flag("muted") { patch["muted"] = .bool(muted) }
    guard !patch.isEmpty else { throw .invalid("the body changes nothing") }
    return .object(patch)
  }
}
