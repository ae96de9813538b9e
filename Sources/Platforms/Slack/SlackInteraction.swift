import Bytes
import JSON
import Messaging

/// Reads what a person did with an app: pressed buttons, sent forms, used shortcuts and slash commands.
enum SlackInteraction {
  private static let secrets: Set<String> = ["token", "response_url", "response_urls"]

  static func read(_ form: JSONReader, receivedAt: Timestamp) throws(NormaliseError) -> Normalised {
    var result = Normalised()
    guard let payload = try form.text("payload") else {
      result.add([.message(try command(form, receivedAt))], account: try form.id("team_id"))
      return result
    }
    let reader = try JSONReader(body: Array(payload.utf8))
    let team = try (reader.object("team")?.id("id")).or(reader.object("user")?.id("team_id"))
    result.add(try interaction(reader, receivedAt), account: team)
    return result
  }

  /// What was typed, as the person's message.
  private static func command(
    _ form: JSONReader, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    let name = try form.required("command", form.text("command"))
    let words = [name, try form.text("text") ?? ""].filter { !$0.isEmpty }.joined(separator: " ")
    let channel = try form.requiredID("channel_id")
    return InboundMessage(
      conversation: SlackEvent.conversation(id: channel, type: nil),
      externalID: "command:" + (try form.requiredID("trigger_id")),
      sender: Person(id: try form.requiredID("user_id"), name: MessageText.name(try form.text("user_name"))),
      kind: .text, text: MessageText.sanitised(words),
      details: ["command": .object(form.rest(without: secrets))], sentAt: receivedAt)
  }

  private static func interaction(
    _ reader: JSONReader, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> [InboundItem] {
    let type = try reader.required("type", reader.text("type"))
    let user = try reader.requiredObject("user")
    let name = try user.text("name").or(user.text("username"))
    let person = Person(id: try user.requiredID("id"), name: MessageText.name(name))
    let container = try reader.object("container")
    let channel = try (reader.object("channel")?.id("id")).or(container?.id("channel_id"))
    let conversation =
      channel.map { SlackEvent.conversation(id: $0, type: nil) }
      ?? ConversationRef(externalID: person.id, kind: .direct, title: person.name)
    let replyTo = try (reader.object("message")?.id("ts")).or(container?.id("message_ts"))
    let thread = try reader.object("message")?.id("thread_ts")
    let trigger = try reader.id("trigger_id") ?? Update.id(type, of: reader.rest(without: secrets))
    if type == "block_actions" {
      var items: [InboundItem] = []
      for action in try reader.required("actions", reader.objects("actions")) {
        let at = SlackEvent.time(try action.text("action_ts")) ?? receivedAt
        let id = try action.id("action_id") ?? "\(items.count)"
        items.append(
          .message(
            InboundMessage(
              conversation: conversation, externalID: "action:\(trigger):\(id)", sender: person,
              kind: .text, text: try words(action).map { MessageText.sanitised($0) }, replyTo: replyTo,
              threadID: thread == replyTo ? nil : thread, details: ["action": .object(action.members)],
              sentAt: at)))
      }
      return items
    }
    let known: Set = [
      "view_submission", "view_closed", "shortcut", "message_action", "block_suggestion",
      "interactive_message", "dialog_submission",
    ]
    let isKnown = known.contains(type)
    let rest = reader.rest(without: secrets)
    let label = MessageText.sanitised(type, bytesMax: 128)
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: "\(label):\(trigger)", sender: person,
          kind: isKnown ? .system : .unsupported,
          text: isKnown ? label.split(separator: "_").joined(separator: " ") : nil, replyTo: replyTo,
          details: isKnown
            ? ["service": .string(label), "payload": .object(rest)] : ["raw": .object(rest)],
          sentAt: receivedAt))
    ]
  }

  /// What a person sees of what was pressed or chosen.
  private static func words(_ action: JSONReader) throws(NormaliseError) -> String? {
    if let option = try action.object("selected_option") {
      return try (option.object("text")?.text("text")).or(option.text("value"))
    }
    if let options = try action.objects("selected_options"), !options.isEmpty {
      let chosen = options.compactMap { ($0["text"]?["text"] ?? $0["value"])?.string }
      return chosen.joined(separator: ", ")
    }
    let names = [
      "value", "selected_date", "selected_time", "selected_user", "selected_channel", "selected_conversation",
    ]
    for name in ["selected_users", "selected_channels", "selected_conversations"] {
      if let ids = try action.ids(name), !ids.isEmpty { return ids.joined(separator: ", ") }
    }
    if let text = try action.object("text")?.text("text") { return text }
    for name in names {
      if let text = try action.text(name) { return text }
    }
    return try action.text("action_id")
  }
}
