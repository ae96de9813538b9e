import JSON
import Messaging
import Platforms

/// `messaging-hub platforms`.
struct PlatformsCommand: Command {
  static let name = "platforms"
  static let summary = "Lists the platforms and what each can do."
  static let options = [
    OptionSpecification("json", nil, "as JSON, with the credentials of each"),
    OptionSpecification("markdown", nil, "as the table of the README"),
  ]

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    if arguments.has("json") {
      Console.line(String(decoding: json.encoded(), as: UTF8.self))
    } else if arguments.has("markdown") {
      Console.line(markdown)
    } else {
      Console.table([header] + PlatformCatalogue.all.map { row($0) })
    }
  }

  private static let header = [
    "name", "platform", "webhook URL", "reply", "react", "edit", "delete", "files", "receipts", "typing",
    "text",
  ]

  private static func row(_ platform: any Platform) -> [String] {
    let can = platform.capabilities
    let flags = [
      can.canReply, can.canReact, can.canEdit, can.canDelete, can.canAttach, can.hasReceipts, can.hasTyping,
    ]
    return [
      platform.name.rawValue, platform.displayName,
      !platform.hasWebhook ? "none" : platform.appCredentials.isEmpty ? "account" : "account, app",
    ] + flags.map { $0 ? "yes" : "-" } + [can.textUnitsMax.map { "\($0)" } ?? "-"]
  }

  static var markdown: String {
    let rows = [header, header.map { _ in "---" }] + PlatformCatalogue.all.map { row($0) }
    return rows.map { "| \($0.joined(separator: " | ")) |" }.joined(separator: "\n")
  }

  private static var json: JSONValue {
    .array(
      PlatformCatalogue.all.map { platform in
        [
          "name": .string(platform.name.rawValue), "displayName": .string(platform.displayName),
          "webhook": .bool(platform.hasWebhook), "methods": .array(platform.methods.map { .string($0) }),
          "accountField": platform.accountField.map { .string($0) } ?? .null,
          "appCredentials": .array(platform.appCredentials.map { .string($0) }),
          "credentials": .array(
            platform.credentials.map { field in
              [
                "name": .string(field.name), "explanation": .string(field.explanation),
                "secret": .bool(field.isSecret), "required": .bool(field.isRequired),
                "generated": .bool(field.isGenerated),
              ]
            }),
          "capabilities": platform.capabilities.json,
          "parserVersion": .integer(Int64(platform.parserVersion)),
        ]
      })
  }
}
