import Bytes
import JSON
import Messaging

/// Reads one change: what happened to one phone number.
///
/// A customer is a conversation. Its id is the business-scoped user id where WhatsApp gives one, otherwise
/// the number; a change that has both says that they are the same, and the conversation goes on under the
/// former. Groups are conversations of their own.
struct WhatsAppValue {
  private static let messagesMax = 1_000

  private let field: String
  private let value: JSONReader
  private let account: String?
  private let changedAt: Timestamp?
  private let receivedAt: Timestamp
  private let contacts: WhatsAppContacts

  /// - Parameter changedAt: seconds since 1970, which news have and messages do not.
  init(_ change: JSONReader, changedAt: Int64?, receivedAt: Timestamp) throws(NormaliseError) {
    self.changedAt = changedAt.map { Timestamp(seconds: $0).clamped }
    field = try change.text("field") ?? "messages"
    value = try change.requiredObject("value")
    account = try value.object("metadata")?.id("phone_number_id")
    contacts = try WhatsAppContacts(value)
    self.receivedAt = receivedAt
  }

  /// Adds what is there, and a fault for what cannot be read.
  func read(into result: inout Normalised) {
    var isRead = false
    var moved: Set<InboundItem> = []
    for (name, read) in [
      ("messages", inbound), ("message_echoes", echo), ("statuses", status), ("calls", call),
      ("groups", group), ("user_id_update", renamed),
    ] as [(String, (JSONReader) throws(NormaliseError) -> [InboundItem])] {
      guard value.has(name) else { continue }
      isRead = true
      do throws(NormaliseError) {
        for entry in try value.objects(name, max: Self.messagesMax) ?? [] {
          do throws(NormaliseError) {
            // Every message says again who its number is.
            let items = try read(entry).filter { item in
              guard case .conversation(var change) = item else { return true }
              change.at = receivedAt
              return moved.insert(.conversation(change)).inserted
            }
            result.add(items, account: account)
          } catch {
            result.faults.append(error)
          }
        }
      } catch {
        result.faults.append(error)
      }
    }
    if !isRead || value.has("errors") { result.add([.message(other())], account: account) }
  }

  // MARK: Messages

  private func inbound(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let known = try contacts.person(number: reader.id("from"), user: reader.id("from_user_id"))
    // Who has another user id is named by the new one only.
    let system = try reader.object("system")
    let renamed = try contacts.person(number: system?.id("wa_id"), user: system?.id("user_id"))
    guard let person = known ?? renamed else { throw .missing(path: reader.place("from")) }
    let group = try reader.id("group_id")
    let conversation =
      group.map { ConversationRef(externalID: $0, kind: .group) }
      ?? ConversationRef(externalID: person.id, kind: .direct, title: person.name)
    let message = WhatsAppMessage(
      reader, conversation: conversation, sender: person, direction: .inbound, at: try time(reader))
    let same =
      group == nil
      ? try contacts.same(number: reader.id("from"), user: reader.id("from_user_id"), at: message.at) : []
    return same + (try message.items())
  }

  /// Written in the phone app: from the account.
  private func echo(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let other = try contacts.person(number: reader.id("to"), user: reader.id("to_user_id"))
    guard let other else { throw .missing(path: reader.place("to")) }
    let conversation = ConversationRef(externalID: other.id, kind: .direct, title: other.name)
    let own = Person(id: try account.or(reader.id("from")) ?? "whatsapp")
    let message = WhatsAppMessage(
      reader, conversation: conversation, sender: own, direction: .outbound, at: try time(reader))
    let same = try contacts.same(number: reader.id("to"), user: reader.id("to_user_id"), at: message.at)
    return same + (try message.items())
  }

  // MARK: Statuses

  private func status(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    if try reader.text("type") == "call" { return [try called(reader)] }
    let isGroup = try reader.text("recipient_type") == "group"
    let number = try reader.id("recipient_id")
    let user = try reader.id("recipient_user_id")
    let known = isGroup ? nil : contacts.person(number: number, user: user)
    guard let id = known?.id ?? number ?? user else { throw .missing(path: reader.place("recipient_id")) }
    let status: MessageStatus
    switch try reader.text("status") {
    case "sent"?: status = .sent
    case "delivered"?: status = .delivered
    case "read"?, "played"?: status = .read
    case "failed"?: status = .failed
    case nil: throw .missing(path: reader.place("status"))
    default: throw .wrongValue(path: reader.place("status"), expected: "a status this version knows")
    }
    let conversation = ConversationRef(externalID: id, kind: isGroup ? .group : .direct)
    return [
      .status(
        StatusChange(
          conversation: conversation, externalID: try reader.requiredID("id"), status: status,
          reason: status == .failed ? try Self.reason(reader) : nil,
          clientKey: try reader.text("biz_opaque_callback_data"), at: try time(reader)))
    ]
  }

  private static func reason(_ reader: JSONReader) throws(NormaliseError) -> String? {
    guard let error = try reader.objects("errors")?.first else { return nil }
    let code = try error.id("code").map { "\($0): " } ?? ""
    let words =
      try (error.object("error_data")?.text("details")).or(error.text("message")).or(error.text("title"))
    return MessageText.name(code + (words ?? "failed"))
  }

  // MARK: Calls

  /// A call is one message: `connect` makes it, what follows completes it.
  private func call(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let isOutbound = try reader.text("direction") == "BUSINESS_INITIATED"
    let names = isOutbound ? ("to", "to_user_id") : ("from", "from_user_id")
    let other = try contacts.person(number: reader.id(names.0), user: reader.id(names.1))
    guard let other else { throw .missing(path: reader.place(names.0)) }
    let conversation = ConversationRef(externalID: other.id, kind: .direct, title: other.name)
    let id = try reader.requiredID("id")
    let at = try time(reader)
    // What a phone needs to answer is of no use to a reader, and secret.
    let details = JSONValue.object(["call": .object(reader.rest(without: ["session", "id", "timestamp"]))])
    guard try reader.text("event") == "connect" else {
      return [
        .edit(
          MessageEdit(
            conversation: conversation, externalID: id, kind: .call, text: "Call ended", details: details,
            editedAt: at))
      ]
    }
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, direction: isOutbound ? .outbound : .inbound,
          sender: isOutbound ? Person(id: account ?? "whatsapp") : other, kind: .call, text: "Call",
          details: details, sentAt: at))
    ]
  }

  /// How far a call by the business got: ringing makes it, the answer changes it.
  private func called(_ reader: JSONReader) throws(NormaliseError) -> InboundItem {
    let other = try contacts.person(number: reader.id("recipient_id"), user: reader.id("recipient_user_id"))
    guard let other else { throw .missing(path: reader.place("recipient_id")) }
    let conversation = ConversationRef(externalID: other.id, kind: .direct, title: other.name)
    let id = try reader.requiredID("id")
    let at = try time(reader)
    let details = JSONValue.object(["call": .object(reader.rest(without: ["id", "timestamp", "type"]))])
    let status = try reader.required("status", reader.text("status"))
    guard status == "RINGING" else {
      let words = MessageText.sanitised("Call \(status.lowercased())", bytesMax: 128)
      return .edit(
        MessageEdit(
          conversation: conversation, externalID: id, kind: .call, text: words, details: details, editedAt: at
        ))
    }
    return .message(
      InboundMessage(
        conversation: conversation, externalID: id, direction: .outbound,
        sender: Person(id: account ?? "whatsapp"), kind: .call, text: "Call", details: details, sentAt: at))
  }

  // MARK: Groups and people

  /// Who came and went, what a group is called, and a system message.
  private func group(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    var conversation = ConversationRef(externalID: try reader.requiredID("group_id"), kind: .group)
    let at = try time(reader)
    let joined = try people(reader, "added_participants")
    let left = try people(reader, "removed_participants")
    let changed = try reader.object("group_subject")
    if try changed?.flag("update_successful") ?? true {
      conversation.title = MessageText.name(try (changed?.text("text")).or(reader.text("subject")))
    }
    var items: [InboundItem] = []
    if !joined.isEmpty || !left.isEmpty {
      items.append(
        .membership(MembershipChange(conversation: conversation, joined: joined, left: left, at: at)))
    }
    if conversation.title != nil {
      items.append(.conversation(ConversationChange(conversation: conversation, at: at)))
    }
    let name = MessageText.sanitised(try reader.text("type") ?? field, bytesMax: 128)
    let asking = try contacts.person(number: reader.id("wa_id"), user: reader.id("user_id"))
    let message = InboundMessage(
      conversation: conversation, externalID: Update.id(name, of: reader.members),
      sender: asking ?? Person(id: "whatsapp", name: "WhatsApp"), kind: .system, text: Update.words(name),
      details: [
        "service": .string(name), "group": .object(reader.rest(without: ["group_id", "timestamp"])),
      ],
      sentAt: at)
    return items + [.message(message)]
  }

  private func people(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> [Person] {
    var people: [Person] = []
    for entry in try reader.objects(name) ?? [] {
      let number = try entry.id("wa_id").or(entry.id("input"))
      if let person = try contacts.person(number: number, user: entry.id("user_id")) {
        let words = try entry.text("username")
        people.append(Person(id: person.id, name: person.name ?? MessageText.name(words)))
      }
    }
    return people
  }

  /// A customer has another user id: the conversation goes on under it.
  private func renamed(_ reader: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let ids = try reader.requiredObject("user_id")
    let old = ConversationRef(externalID: try ids.requiredID("previous"), kind: .direct)
    let new = try ids.requiredID("current")
    return [.conversation(ConversationChange(conversation: old, migratedTo: new, at: try time(reader)))]
  }

  // MARK: Others

  /// News of the number or the business account: in a channel called `updates`.
  private func other() -> InboundMessage {
    let name = MessageText.sanitised(field, bytesMax: 128)
    var words = name.split(separator: "_").joined(separator: " ")
    let error = value["errors"]?[0]
    if let title = (error?["title"] ?? error?["message"])?.string { words = MessageText.sanitised(title) }
    let time = changedAt.map { ":\($0.seconds)" } ?? ""
    return InboundMessage(
      conversation: ConversationRef(externalID: "updates", kind: .channel, title: "WhatsApp updates"),
      externalID: Update.id(name + time, of: value.members),
      sender: Person(id: "whatsapp", name: "WhatsApp"), kind: .system, text: words,
      details: ["service": .string(name), "value": .object(value.rest(without: ["metadata"]))],
      sentAt: changedAt ?? receivedAt)
  }

  private func time(_ reader: JSONReader) throws(NormaliseError) -> Timestamp {
    guard let text = try reader.id("timestamp") else { return receivedAt }
    guard let seconds = Int64(text), seconds > 0 else {
      throw .wrongValue(path: reader.place("timestamp"), expected: "seconds since 1970")
    }
    return Timestamp(seconds: seconds).clamped
  }
}

/// The people that a change tells of. They are matched by id: their order says nothing.
struct WhatsAppContacts {
  private var byNumber: [String: Person] = [:]
  private var byUser: [String: Person] = [:]

  init(_ value: JSONReader) throws(NormaliseError) {
    for contact in try value.objects("contacts") ?? [] {
      let number = try contact.id("wa_id")
      let user = try contact.id("user_id")
      guard let id = user ?? number else { continue }
      let profile = try contact.object("profile")
      let name = try (profile?.text("name")).or(profile?.text("username"))
      let person = Person(id: id, name: MessageText.name(name))
      if let number { byNumber[number] = person }
      if let user { byUser[user] = person }
    }
  }

  /// nil: neither is there.
  func person(number: String?, user: String?) -> Person? {
    if let user { return byUser[user] ?? number.flatMap { named(byNumber[$0], user) } ?? Person(id: user) }
    return number.map { byNumber[$0] ?? byUser[$0] ?? Person(id: $0) }
  }

  private func named(_ person: Person?, _ id: String) -> Person? {
    person.map { Person(id: id, name: $0.name) }
  }

  /// That a number and a user are the same.
  func same(number: String?, user: String?, at: Timestamp) -> [InboundItem] {
    guard let number else { return [] }
    let id = person(number: number, user: user)?.id ?? number
    guard id != number else { return [] }
    let old = ConversationRef(externalID: number, kind: .direct)
    return [.conversation(ConversationChange(conversation: old, migratedTo: id, at: at))]
  }
}
