import Bytes
import JSON
import Messaging

/// Reads the events of a queue (https://zulip.com/api/get-events). Edits, deletions and reactions name a
/// message by its id: where it stands is known from the messages that were read, from a channel's id in the
/// event, or from asking for the message.
struct ZulipEvents {
  private(set) var content = Normalised()
  private(set) var cursor: ZulipCursor
  private let job: PollJob

  init(cursor: ZulipCursor, job: PollJob) {
    self.cursor = cursor
    self.job = job
  }

  /// Messages that have to be asked for before these events can be read.
  static func unknown(_ events: [JSONReader], _ cursor: ZulipCursor) -> [Int64] {
    let new = Set(events.compactMap { $0["message"]?["id"]?.integer })
    var ids: [Int64] = []
    for event in events {
      guard ["update_message", "reaction"].contains(event["type"]?.string),
        event["stream_id"]?.integer == nil, let id = event["message_id"]?.integer, !new.contains(id),
        cursor.place(id) == nil, !ids.contains(id)
      else { continue }
      ids.append(id)
    }
    return ids
  }

  /// Takes the answer to such a question. It may be that the message is gone.
  mutating func learn(_ answer: APIAnswer) {
    guard let message = try? JSONReader(body: answer.body).object("message") else { return }
    remember(message)
  }

  private mutating func remember(_ message: JSONReader) {
    let read = ZulipMessage(message: message, own: cursor.user, receivedAt: job.now)
    guard let id = message["id"]?.integer, let place = try? read.conversation() else { return }
    cursor.remember(
      ZulipCursor.Place(message: id, conversation: place.externalID, isPair: place.kind == .direct))
  }

  // MARK: Messages

  /// Messages of a list, in any order.
  mutating func add(messages: [JSONReader]) {
    for message in messages {
      if let id = message["id"]?.integer { cursor.saw(id) }
      remember(message)
      content.read { [self] () throws(NormaliseError) in
        try ZulipMessage(message: message, own: cursor.user, receivedAt: job.now).items()
      }
    }
  }

  mutating func add(events: [JSONReader]) {
    for event in events {
      if let message = try? event.object("message") {
        add(messages: [message])
        continue
      }
      content.read { [self] () throws(NormaliseError) in try items(event) }
    }
    for event in events {
      if let id = event["id"]?.integer { cursor.lastEvent = max(cursor.lastEvent, id) }
    }
  }

  private func items(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    switch try event.text("type") {
    case "update_message": return try edit(event)
    case "delete_message": return try deletions(event)
    case "reaction": return try reaction(event)
    case "typing": return try typing(event)
    default: return []
    }
  }

  // MARK: Changes

  /// nil: nobody knows where the message is.
  private func place(_ event: JSONReader, _ id: Int64) throws(NormaliseError) -> ConversationRef? {
    if let stream = try event.id("stream_id") { return ConversationRef(externalID: stream, kind: .group) }
    return cursor.place(id).map {
      ConversationRef(externalID: $0.conversation, kind: $0.isPair ? .direct : .group)
    }
  }

  /// What moved to another topic keeps its words, and what was only rendered anew keeps everything.
  private func edit(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    guard try event.flag("rendering_only") != true, let text = try event.text("content"),
      let id = try event.integer("message_id"), let place = try place(event, id)
    else { return [] }
    let at = try event.integer("edit_timestamp").map { Timestamp(seconds: $0).clamped } ?? job.now
    let content = ZulipUploads(text)
    return [
      .edit(
        MessageEdit(
          conversation: place, externalID: String(id), kind: content.kind,
          text: content.text.map { MessageText.sanitised($0) }, attachments: content.files, editedAt: at,
          order: try event.integer("id") ?? 0))
    ]
  }

  private func deletions(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    var ids: [Int64] = []
    if let id = try event.integer("message_id") { ids.append(id) }
    for id in try event.ids("message_ids") ?? [] { if let id = Int64(id) { ids.append(id) } }
    var items: [InboundItem] = []
    for id in ids {
      guard let place = try place(event, id) else { continue }
      items.append(.delete(MessageDeletion(conversation: place, externalIDs: [String(id)], at: job.now)))
    }
    return items
  }

  private func reaction(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let id = try event.required("message_id", event.integer("message_id"))
    guard let place = try place(event, id) else { return [] }
    let emoji = try ZulipMessage.emoji(event)
    let actor = try ZulipMessage.actor(event)
    return [
      .reaction(
        ReactionChange(
          conversation: place, externalID: String(id), actor: actor, isOwn: actor.id == cursor.user,
          change: try event.text("op") == "remove" ? .remove(emoji) : .add(emoji), at: job.now,
          order: try event.integer("id") ?? 0))
    ]
  }

  private func typing(_ event: JSONReader) throws(NormaliseError) -> [InboundItem] {
    guard let sender = try event.object("sender")?.id("user_id"), sender != cursor.user else { return [] }
    let place: ConversationRef
    if let stream = try event.id("stream_id") {
      place = ConversationRef(externalID: stream, kind: .group)
    } else {
      var ids: [String] = []
      for person in try event.objects("recipients") ?? [] { ids.append(try person.requiredID("user_id")) }
      let all = Set(ids + [sender]).sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
      place = ConversationRef(
        externalID: "direct:" + all.joined(separator: ","), kind: all.count > 2 ? .group : .direct)
    }
    return [
      .typing(
        Typing(conversation: place, sender: Person(id: sender), isTyping: try event.text("op") != "stop"))
    ]
  }
}
