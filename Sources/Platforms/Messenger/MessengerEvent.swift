import Bytes
import JSON
import Messaging

/// Reads one event of Messenger or Instagram. The member that is there decides:
///
/// - `message`: a message; from the account where it is an echo, then with the key that it was sent with;
///   a deletion where it was unsent;
/// - `message_edit`, `reaction`, `read`, `delivery`: changes of messages;
/// - `postback`: the presser's message, whose text is the button's title;
/// - opt-ins, referrals, threads that change hands: a system message;
/// - what this version does not know: an unsupported message.
struct MessengerEvent {
  private static let eventsMax = 1_000
  private static let common: Set<String> = ["sender", "recipient", "timestamp"]

  private static let systemNames: Set<String> = [
    "optin", "referral", "account_linking", "pass_thread_control", "take_thread_control",
    "request_thread_control", "policy_enforcement", "app_roles", "game_play", "pre_checkout", "payment",
  ]

  private let reader: JSONReader
  private let account: String
  private let other: String
  private let at: Timestamp
  private let isEcho: Bool
  /// Whether the account is who did it.
  private let isOwn: Bool

  /// Reads a whole delivery; a part that cannot be read is a fault beside the others.
  static func read(
    _ delivery: WebhookDelivery, platform: String
  ) throws(NormaliseError) -> Normalised {
    var result = Normalised()
    let body = try JSONReader(body: delivery.body)
    for entry in try body.required("entry", body.objects("entry")) {
      do throws(NormaliseError) {
        let account = try entry.requiredID("id")
        for name in ["messaging", "standby"] {
          for event in try entry.objects(name, max: eventsMax) ?? [] {
            do throws(NormaliseError) {
              result.add(try items(event, account: account, delivery.receivedAt), account: account)
            } catch {
              result.faults.append(error)
            }
          }
        }
        let at = try time(entry, "time")
        for change in try entry.objects("changes") ?? [] {
          do throws(NormaliseError) {
            let value = try? change.object("value")
            if let value, value.has("sender"), value.has("recipient") {
              result.add(try items(value, account: account, delivery.receivedAt), account: account)
            } else {
              let update = try update(change, value, platform, at, delivery.receivedAt)
              result.add([.message(update)], account: account)
            }
          } catch {
            result.faults.append(error)
          }
        }
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  private static func items(
    _ event: JSONReader, account: String, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    // Instagram sends edits number 0 of new messages: without a text, and often without people.
    if let edit = try event.object("message_edit"), !edit.has("text") { return [] }
    return try MessengerEvent(event, account: account, receivedAt: receivedAt).items()
  }

  /// News of the page or the account that is no conversation, such as comments: in a channel called
  /// `updates`.
  /// - Parameter at: when Meta tells it, the same whenever it is told again.
  private static func update(
    _ change: JSONReader, _ value: JSONReader?, _ platform: String, _ at: Timestamp?, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    let field = MessageText.sanitised(change["field"]?.string ?? "change", bytesMax: 128)
    let time = at.map { ":\($0.microseconds / 1_000)" } ?? ""
    let words = value?["text"]?.string ?? value?["message"]?.string ?? ""
    let from = try? value?.object("from")
    let name = from?["name"]?.string ?? from?["username"]?.string
    let sender = from?["id"]?.identifier.flatMap { MessageText.name($0) }
    return InboundMessage(
      conversation: ConversationRef(externalID: "updates", kind: .channel, title: "Updates"),
      externalID: Update.id(field + time, of: change.members),
      sender: sender.map { Person(id: $0, name: MessageText.name(name)) } ?? Person(id: platform),
      kind: .system, text: words.isEmpty ? Update.words(field) : MessageText.sanitised(words),
      details: ["service": .string(field), "value": change["value"] ?? .null], sentAt: at ?? receivedAt)
  }

  private init(_ reader: JSONReader, account: String, receivedAt: Timestamp) throws(NormaliseError) {
    self.reader = reader
    self.account = account
    isEcho = try reader.object("message")?.flag("is_echo") ?? false
    let sender = try reader.object("sender")?.id("id")
    let recipient = try reader.object("recipient")?.id("id")
    // Who of the two is not the account: some events, and old echoes, have them the other way round.
    let people = [sender, recipient].compactMap { $0 }
    guard let other = people.first(where: { $0 != account }) ?? people.first else {
      throw .missing(path: reader.place("sender"))
    }
    self.other = other
    isOwn = sender == account && sender != recipient
    at = try Self.time(reader, "timestamp") ?? receivedAt
  }

  private var conversation: ConversationRef { ConversationRef(externalID: other, kind: .direct) }
  private var person: Person { Person(id: other) }

  private func items() throws(NormaliseError) -> [InboundItem] {
    if let message = try reader.object("message") { return [try spoken(message)] }
    if let edit = try reader.object("message_edit") { return [try edited(edit)] }
    if let reaction = try reader.object("reaction") { return [try reacted(reaction)] }
    if let read = try reader.object("read") { return [try seen(read)] }
    if let delivery = try reader.object("delivery") { return try delivered(delivery) }
    if let postback = try reader.object("postback") { return [.message(try pressed(postback))] }
    return [.message(named())]
  }

  /// Milliseconds; rarely seconds.
  private static func time(_ reader: JSONReader, _ name: String) throws(NormaliseError) -> Timestamp? {
    guard let text = try reader.id(name) else { return nil }
    guard let number = Int64(text) else {
      throw .wrongValue(path: reader.place(name), expected: "milliseconds since 1970")
    }
    let isSeconds = number < 1_000_000_000_000
    return (isSeconds ? Timestamp(seconds: number) : Timestamp(milliseconds: number)).clamped
  }

  // MARK: Messages

  private func spoken(_ message: JSONReader) throws(NormaliseError) -> InboundItem {
    let id = try message.requiredID("mid")
    if try message.flag("is_deleted") == true {
      return .delete(MessageDeletion(conversation: conversation, externalIDs: [id], at: at))
    }
    let content = try MessengerContent(message)
    var details = content.details
    if isEcho { details["clientKey"] = try message.text("metadata").map { .string($0) } }
    let replyTo = try message.object("reply_to")?.id("mid")
    return .message(
      InboundMessage(
        conversation: conversation, externalID: id, direction: isEcho ? .outbound : .inbound,
        sender: isEcho ? Person(id: account) : person, kind: content.kind, text: content.text,
        attachments: content.attachments, replyTo: replyTo,
        details: details.isEmpty ? nil : .object(details), sentAt: at,
        status: isEcho ? .sent : nil))
  }

  private func edited(_ edit: JSONReader) throws(NormaliseError) -> InboundItem {
    let text = try edit.text("text")
    return .edit(
      MessageEdit(
        conversation: conversation, externalID: try edit.requiredID("mid"), kind: .text,
        text: text.map { MessageText.sanitised($0) }, editedAt: at, order: try edit.integer("num_edit") ?? 0))
  }

  private func pressed(_ postback: JSONReader) throws(NormaliseError) -> InboundMessage {
    let title = try postback.text("title").or(postback.text("payload"))
    return InboundMessage(
      conversation: conversation, externalID: try postback.id("mid") ?? eventID("postback"), sender: person,
      kind: .text, text: title.map { MessageText.sanitised($0) },
      details: ["postback": .object(postback.rest(without: ["mid"]))], sentAt: at)
  }

  private func named() -> InboundMessage {
    let rest = reader.rest(without: Self.common)
    let names = rest.keys.sorted()
    let known = names.first { Self.systemNames.contains($0) }
    let name = MessageText.sanitised(known ?? names.first ?? "event", bytesMax: 128)
    return InboundMessage(
      conversation: conversation, externalID: eventID(name), sender: person,
      kind: known == nil ? .unsupported : .system,
      text: known.map { $0.split(separator: "_").joined(separator: " ") },
      details: known == nil
        ? ["raw": .object(rest)]
        : .object(rest.merging(["service": .string(name)]) { first, _ in first }), sentAt: at)
  }

  /// What has no id of its own.
  private func eventID(_ name: String) -> String { "\(name):\(at.microseconds / 1_000):\(other)" }

  // MARK: Changes

  /// One person has one reaction to a message.
  private func reacted(_ reaction: JSONReader) throws(NormaliseError) -> InboundItem {
    let isGone = try reaction.text("action") == "unreact"
    let emoji = try reaction.text("emoji").or(reaction.text("reaction")) ?? ""
    let all = isGone || emoji.isEmpty ? [] : [MessageText.sanitised(emoji, bytesMax: 64)]
    return .reaction(
      ReactionChange(
        conversation: conversation, externalID: try reaction.requiredID("mid"),
        actor: isOwn ? Person(id: account) : person, isOwn: isOwn, change: .replace(all), at: at))
  }

  private func seen(_ read: JSONReader) throws(NormaliseError) -> InboundItem {
    let bound: ReadMark.Bound
    if let id = try read.id("mid") {
      bound = .message(id)
    } else {
      bound = .time(try read.required("watermark", Self.time(read, "watermark")))
    }
    return .read(ReadMark(conversation: conversation, reader: person, upTo: bound, at: at))
  }

  /// The watermark says no more than that earlier ones came as well; those have been named before.
  private func delivered(_ delivery: JSONReader) throws(NormaliseError) -> [InboundItem] {
    let time = try Self.time(delivery, "watermark") ?? at
    return try (delivery.ids("mids") ?? []).map { id in
      .status(StatusChange(conversation: conversation, externalID: id, status: .delivered, at: time))
    }
  }
}
