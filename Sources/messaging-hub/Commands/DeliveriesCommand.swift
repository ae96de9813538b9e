import Bytes
import Hub
import JSON

/// `messaging-hub deliveries`.
struct DeliveriesCommand: Command {
  static let name = "deliveries"
  static let summary = "Looks into the ledger of what came in, and reads it again."
  static let synopsis = "list [options] | show <id> | replay <id>... | replay --all"
  static let notes = """
    deliveries list shows what could not be read (state dead), the newest first.
    deliveries show prints one delivery with its headers and body, as JSON.
    deliveries replay reads deliveries again with this program; what was read before changes nothing.
    """
  static let options = [
    OptionSpecification("state", "STATE", "dead (when it is not given), done or all"),
    OptionSpecification("tenant", "ID", "one tenant only"),
    OptionSpecification("limit", "N", "how many; 50 when it is not given"),
    OptionSpecification("all", nil, "replay: every dead delivery"),
    OptionSpecification("json", nil, "list: prints JSON"),
  ]
  static let positionalsMax = 1_000

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let rest = arguments.droppingFirst()
    switch try arguments.positional(0, "what to do (list, show, replay)") {
    case "list": try await list(rest, program)
    case "show": try await show(rest, program)
    case "replay": try await replay(rest, program)
    default:
      throw UsageError("there is no 'deliveries \(arguments.positionals[0])'; there is: list, show, replay")
    }
  }

  private static func id(_ text: String) throws(UsageError) -> UUIDv7 {
    guard let id = UUIDv7(text) else { throw UsageError("'\(text)' is not the id of a delivery") }
    return id
  }

  private static func filter(_ arguments: Arguments) throws(UsageError) -> DeliveryFilter {
    let state = arguments["state"] ?? "dead"
    guard ["dead", "done", "all"].contains(state) else { throw UsageError("--state is dead, done or all") }
    return DeliveryFilter(tenant: arguments["tenant"], state: state == "all" ? nil : state)
  }

  private static func list(_ arguments: Arguments, _ program: Program) async throws {
    guard arguments.positionals.isEmpty else {
      throw UsageError("'\(arguments.positionals[0])' is one word too many")
    }
    let filter = try filter(arguments)
    let limit = try arguments.integer("limit", in: 1...10_000, default: 50)
    let items = try await CommandDatabase.withStore(try program.settings()) { store, _ in
      try await store.deliveries(filter, limit: limit).items
    }
    if arguments.has("json") {
      return Console.line(String(decoding: JSONValue.array(items.map(\.json)).encoded(), as: UTF8.self))
    }
    guard !items.isEmpty else { return Console.line("there is none") }
    Console.table(
      [["id", "received", "platform", "state", "bytes", "reason"]]
        + items.map {
          [
            "\($0.id)", $0.receivedAt.rfc3339, $0.platform, $0.state, "\($0.bodyBytes)",
            ($0.reason ?? "").oneLine,
          ]
        })
  }

  private static func show(_ arguments: Arguments, _ program: Program) async throws {
    let id = try id(try arguments.positional(0, "<id>"))
    guard arguments.positionals.count == 1 else { throw UsageError("show takes one id") }
    let tenant = arguments["tenant"]
    let delivery = try await CommandDatabase.withStore(try program.settings()) { store, _ in
      try await store.delivery(id, tenant: tenant)
    }
    Console.line(String(decoding: delivery.json.encoded(), as: UTF8.self))
  }

  private static func replay(_ arguments: Arguments, _ program: Program) async throws {
    let all = arguments.has("all")
    guard all != !arguments.positionals.isEmpty else { throw UsageError("<id> or --all is missing") }
    var given: [UUIDv7] = []
    for text in arguments.positionals { given.append(try id(text)) }
    let filter = try filter(arguments)
    let ids = given
    let settings = try program.settings()
    let keys = try SecretStore(settings).secrets(settings).keys
    let counts = try await CommandDatabase.withStore(settings) { store, _ in
      try await replay(
        all ? nil : ids, filter, Replay(store: store, keys: keys, ids: IDSource(clock: Program.clock)))
    }
    Console.line(
      "\(counts.done) read, \(counts.unchanged) unchanged, \(counts.dead.count) still dead")
    guard counts.dead.isEmpty else {
      throw Failure("still not readable: " + counts.dead.prefix(5).joined(separator: "; "))
    }
  }

  private struct Counts: Sendable {
    var done = 0
    var unchanged = 0
    var dead: [String] = []
  }

  /// - Parameter given: nil: everything that the filter lets through.
  private static func replay(
    _ given: [UUIDv7]?, _ filter: DeliveryFilter, _ replay: Replay
  ) async throws -> Counts {
    var counts = Counts()
    var ids = given ?? []
    var position: (at: Timestamp, id: UUIDv7)?
    repeat {
      if given == nil {
        let page = try await replay.store.deliveries(filter, behind: position, limit: 200)
        ids = page.items.map(\.id)
        if case .delivery(let at, let id)? = page.next { position = (at, id) } else { position = nil }
      }
      for id in ids {
        switch try await replay.run(id, tenant: filter.tenant, notify: true).outcome {
        case .done: counts.done += 1
        case .unchanged: counts.unchanged += 1
        case .dead(let reason): counts.dead.append("\(id): \(reason)".oneLine)
        }
      }
    } while position != nil
    return counts
  }
}
