import Foundation
import Glibc
import Hub
import Postgres

/// The program: finds the command, reads its words, runs it, and says in one line what went wrong.
///
/// Exit status: 0 done, 1 the command failed, 2 it was called wrongly.
@main
struct Main {
  static let commands: [any Command.Type] = [
    ServeCommand.self, MigrateCommand.self, TokenCommand.self, AccountCommand.self, PlatformsCommand.self,
    SimulateCommand.self, DeliveriesCommand.self, VerifyCommand.self, DoctorCommand.self, ConfigCommand.self,
    DatabaseURLCommand.self,
    VersionCommand.self,
  ]

  static func main() async {
    // A reader that went away is an error of the write, not the end of the program.
    signal(SIGPIPE, SIG_IGN)
    exit(await run(Array(CommandLine.arguments.dropFirst()), ProcessInfo.processInfo.environment))
  }

  private static func run(_ words: [String], _ environment: [String: String]) async -> Int32 {
    guard let name = words.first else {
      Console.complain("messaging-hub: a command is missing; see: messaging-hub --help")
      return 2
    }
    if ["help", "--help", "-h"].contains(name) {
      guard words.count > 1, let command = commands.first(where: { $0.name == words[1] }) else {
        Console.text(help)
        return 0
      }
      Console.text(command.help)
      return 0
    }
    if name == "--version" {
      Console.line(Program.version)
      return 0
    }
    guard let command = commands.first(where: { $0.name == name }) else {
      Console.complain("messaging-hub: there is no command '\(name)'; see: messaging-hub --help")
      return 2
    }
    return await run(command, Array(words.dropFirst()), Program(environment: environment))
  }

  private static func run(
    _ command: any Command.Type, _ words: [String], _ program: Program
  ) async -> Int32 {
    do {
      let arguments = try Arguments(
        parsing: words, options: command.options, positionalsMax: command.positionalsMax)
      guard !arguments.has("help") else {
        Console.text(command.help)
        return 0
      }
      try await command.run(arguments, program)
      return 0
    } catch let error as UsageError {
      Console.complain("messaging-hub \(command.name): \(error); see: messaging-hub \(command.name) --help")
      return 2
    } catch {
      Console.complain("messaging-hub \(command.name): \(text(error))")
      return 1
    }
  }

  /// An error as one line for people.
  private static func text(_ error: any Error) -> String {
    switch error {
    case let fault as PostgresError: "the database refused or does not answer: \(fault)".oneLine
    case HubStoreError.notFound: "there is nothing of this id"
    case HubStoreError.suspended: "the tenant is suspended"
    default: "\(error)".oneLine
    }
  }

  private static var help: String {
    var text = """
      messaging-hub: messages from every platform, stored once, counted right, pushed at once.

      usage: messaging-hub <command> [options]

      commands:

      """
    let width = (commands.map { $0.name.count }.max() ?? 0) + 2
    for command in commands {
      text +=
        "  " + command.name + String(repeating: " ", count: width - command.name.count) + command.summary
        + "\n"
    }
    text +=
      "\nmessaging-hub <command> --help says more."
      + " Configuration comes from the environment: messaging-hub config\n"
    return text
  }
}
