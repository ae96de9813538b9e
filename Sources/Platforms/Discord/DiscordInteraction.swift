import Bytes
import JSON
import Messaging

/// Reads what a person did with an app: a command, a pressed button or choice, a form. Each is the person's
/// text message; what is typed so far (autocomplete) is nothing yet.
struct DiscordInteraction {
  /// Members that the model's own fields carry, and the token that answers.
  private static let mapped: Set<String> = [
    "id", "token", "version", "channel_id", "channel", "user", "member", "message", "application_id", "type",
  ]

  private let reader: JSONReader
  private let receivedAt: Timestamp

  init(_ reader: JSONReader, receivedAt: Timestamp) {
    self.reader = reader
    self.receivedAt = receivedAt
  }

  func items() throws(NormaliseError) -> [InboundItem] {
    let type = try reader.required("type", reader.integer("type"))
    let data = try reader.object("data")
    let text: String?
    switch (type, data) {
    case (2, let data?): text = try Self.command(data)
    case (3, let data?): text = try Self.choice(data)
    case (4, _): return []
    case (5, let data?): text = try Self.inputs(data, depth: 0)
    default: text = nil
    }
    let member = try reader.object("member")
    guard let user = try (member?.object("user")).or(reader.object("user")) else {
      throw .missing(path: "user")
    }
    let person = try DiscordMessage.person(user)
    let id = try reader.requiredID("id")
    let channelType = try reader.object("channel")?.integer("type") ?? 1
    let isDirect = !reader.has("guild_id") && channelType == 1
    let conversation = ConversationRef(
      externalID: try reader.id("channel_id") ?? person.id, kind: isDirect ? .direct : .group,
      title: isDirect ? person.name : MessageText.name(try reader.object("channel")?.text("name")))
    let isKnown = (2...5).contains(type)
    return [
      .message(
        InboundMessage(
          conversation: conversation, externalID: id, sender: person,
          kind: isKnown ? .text : .unsupported,
          text: text.flatMap { $0.isEmpty ? nil : MessageText.sanitised($0) },
          replyTo: try reader.object("message")?.id("id"),
          details: isKnown
            ? ["interaction": .object(reader.rest(without: Self.mapped))]
            : ["raw": .object(reader.rest(without: ["token"]))],
          sentAt: DiscordMessage.time(ofID: id) ?? receivedAt))
    ]
  }

  /// `/name option: value`
  private static func command(_ data: JSONReader) throws(NormaliseError) -> String? {
    var words = ["/" + (try data.text("name") ?? "")]
    try words.append(contentsOf: options(data, depth: 0))
    return words.joined(separator: " ")
  }

  private static func options(_ reader: JSONReader, depth: Int) throws(NormaliseError) -> [String] {
    guard depth < 4 else { return [] }
    var words: [String] = []
    for option in try reader.objects("options", max: 100) ?? [] {
      let name = try option.text("name") ?? ""
      if let value = option["value"] {
        words.append("\(name): \(value.string ?? String(decoding: value.encoded(), as: UTF8.self))")
      } else {
        words.append(name)
        words += try options(option, depth: depth + 1)
      }
    }
    return words
  }

  private static func choice(_ data: JSONReader) throws(NormaliseError) -> String? {
    let values = try data.ids("values", max: 100) ?? []
    return values.isEmpty ? try data.text("custom_id") : values.joined(separator: ", ")
  }

  /// What was typed into a form, a line for each field.
  private static func inputs(_ reader: JSONReader, depth: Int) throws(NormaliseError) -> String? {
    guard depth < 8 else { return nil }
    var lines: [String] = []
    for component in try reader.objects("components", max: 100) ?? [] {
      if let value = component["value"]?.string { lines.append(value) }
      let values = component["values"]?.array?.compactMap(\.string) ?? []
      if !values.isEmpty { lines.append(values.joined(separator: ", ")) }
      let inner = try component.object("component").map { JSONReader(["components": [.object($0.members)]]) }
      for nested in [inner, component.has("components") ? component : nil].compactMap({ $0 }) {
        if let text = try inputs(nested, depth: depth + 1) { lines.append(text) }
      }
    }
    return lines.isEmpty ? nil : lines.joined(separator: "\n")
  }
}

/// Reads a webhook event: messages of the social features, authorisations, purchases.
enum DiscordEvent {
  private static let systemTypes: Set<String> = [
    "APPLICATION_AUTHORIZED", "APPLICATION_DEAUTHORIZED", "ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE",
    "ENTITLEMENT_DELETE", "QUEST_USER_ENROLLMENT",
  ]

  static func items(_ event: JSONReader, receivedAt: Timestamp) throws(NormaliseError) -> [InboundItem] {
    let type = try event.required("type", event.text("type"))
    let at = try DiscordMessage.time(event, "timestamp") ?? receivedAt
    if let data = try event.object("data"), data.has("channel_id"), data.has("id") {
      if type.hasSuffix("MESSAGE_CREATE") { return [.message(try DiscordMessage(data).message())] }
      if type.hasSuffix("MESSAGE_UPDATE") { return [.edit(try DiscordMessage(data).edit(at: at))] }
      if type.hasSuffix("MESSAGE_DELETE") {
        return [
          .delete(
            MessageDeletion(
              conversation: try DiscordMessage(data).conversation, externalIDs: [try data.requiredID("id")],
              at: at))
        ]
      }
    }
    let isKnown = systemTypes.contains(type)
    let name = MessageText.sanitised(type, bytesMax: 128)
    let user = try event.object("data")?.object("user").map(DiscordMessage.person)
    return [
      .message(
        InboundMessage(
          conversation: ConversationRef(externalID: "updates", kind: .channel, title: "Discord updates"),
          externalID: "\(name):\(at.microseconds):\(user?.id ?? "discord")",
          sender: user ?? Person(id: "discord", name: "Discord"), kind: isKnown ? .system : .unsupported,
          text: isKnown ? name.lowercased().split(separator: "_").joined(separator: " ") : nil,
          details: isKnown
            ? ["service": .string(name), "event": .object(event.members)]
            : ["raw": .object(event.members)], sentAt: at))
    ]
  }
}
