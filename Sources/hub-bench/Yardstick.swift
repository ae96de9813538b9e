import EventLoop
import FoundationEssentials
import Glibc

/// pgbench running the hub's own batch statement against the hub's own cluster: what PostgreSQL on this
/// machine can take, with the batch size that suits it best, and without a hub in between.
///
/// Each client writes to an account of its own, owned by a user of its own, in a tenant of its own, so
/// that it waits for nobody. The arrays are built in SQL with ids that count up, as the hub's do.
struct Yardstick {
  struct Shape: Sendable {
    let batch: Int
    let clients: Int
  }

  private static let batches = [1, 16, 64, 128, 256]
  private static let clientsMax = 2
  private static let conversations = 1_024
  /// Ids of one client, of all its runs.
  private static let idsPerClient = 1_000_000_000

  private let hub: HubProcess
  private let pgbench: String
  private let database: String
  private let accounts: [HubProcess.Account]
  private let folder: BenchFolder
  private let runs = RunCounter()

  /// Counts runs, so that no id is used twice.
  private final class RunCounter {
    var count = 0
  }

  init(hub: HubProcess) async throws {
    self.hub = hub
    pgbench = try Self.find()
    database = try await hub.command("database-url")
    var accounts: [HubProcess.Account] = []
    for number in 0..<Self.clientsMax {
      accounts.append(try await hub.telegramAccount(owner: "yardstick-\(number)"))
    }
    self.accounts = accounts
    folder = try BenchFolder.make(in: "/tmp")
  }

  /// Tries every shape for a short time.
  func findBest(secondsEach: Int) async throws -> Shape {
    var best = Shape(batch: 1, clients: 1)
    var bestRate = 0.0
    for clients in 1...Self.clientsMax {
      for batch in Self.batches {
        let shape = Shape(batch: batch, clients: clients)
        let rate = try await rate(shape, seconds: secondsEach)
        Progress.say(
          "ingest: pgbench, batch \(batch), clients \(clients): \(Figure.grouped(Int(rate))) messages/s")
        if rate > bestRate {
          bestRate = rate
          best = shape
        }
      }
    }
    return best
  }

  /// Messages a second in that shape.
  func rate(_ shape: Shape, seconds: Int) async throws -> Double {
    let script = folder.path + "/ingest.sql"
    try Data(statement(shape).utf8).write(to: URL(filePath: script))
    // A run has its own stretch of ids, wide enough for a million messages a second.
    runs.count += 1
    let output = try await ChildProgram.output(
      pgbench,
      [
        "--no-vacuum", "--protocol=prepared", "--client=\(shape.clients)", "--jobs=1", "--time=\(seconds)",
        "--file=\(script)", "--define=n=\(runs.count * 10_000_000)", database,
      ], folder: folder.path, limit: .seconds(seconds + 60), on: hub.loop)
    guard let line = output.split(separator: "\n").first(where: { $0.hasPrefix("tps = ") }),
      let number = line.dropFirst(6).split(separator: " ").first, let transactions = Double(number)
    else { throw BenchFailure("pgbench said nothing of its rate: \(output.suffix(500))") }
    return transactions * Double(shape.batch)
  }

  private static func find() throws(BenchFailure) -> String {
    let environment = ProcessInfo.processInfo.environment
    var folders = environment["HUB_PG_BIN"].map { [$0] } ?? []
    let debian = "/usr/lib/postgresql"
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: debian)) ?? []
    folders += versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "\(debian)/\($0)/bin" }
    folders += (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    for folder in folders where access(folder + "/pgbench", X_OK) == 0 { return folder + "/pgbench" }
    throw BenchFailure("there is no pgbench in /usr/lib/postgresql or PATH (apt-get install postgresql)")
  }

  /// The hub's call of `ingest`, its arrays built from a series. The parameters are documented in the
  /// migration that defines the function.
  private func statement(_ shape: Shape) -> String {
    let accountOfClient = accounts.enumerated()
      .map { "WHEN \($0.offset) THEN '\($0.element.id)'" }.joined(separator: " ")
    return """
      \\set first :n + :client_id * \(Self.idsPerClient)
      \\set n :n + \(shape.batch)
      WITH a AS MATERIALIZED (SELECT (CASE :client_id::int \(accountOfClient) END)::uuid AS account),
      b AS MATERIALIZED (SELECT
      \(columns.map { "array_agg(\($0.value)) AS \($0.name)" }.joined(separator: ",\n"))
      FROM generate_series(1, \(shape.batch)) g, LATERAL (SELECT :first::bigint + g AS i) s, a)
      SELECT e.* FROM b, LATERAL ingest(\(columns.map { "b.\($0.name)" }.joined(separator: ", ")),
      \(Self.changes.map { "'{}'::\($0)" }.joined(separator: ", ")), false) e;

      """
  }

  private static let changes = ["int[]", "text[]", "text[]", "text[]", "timestamptz[]", "bigint[]", "text[]"]

  /// An id from a number: it counts up, as a time-sorted id does.
  private static func uuid(_ prefix: String) -> String {
    "('\(prefix)' || lpad(to_hex(i), 24, '0'))::uuid"
  }

  private static let conversation = "(7000000000 + i % \(conversations))::text"
  private static let text = "'sent at 01234567890123456789 number ' || lpad(i::text, 10, '0')"

  /// pgbench reads a colon before a letter or a digit as a variable, in quotes too: hence the spaces.
  private var columns: [(name: String, value: String)] {
    let body =
      "convert_to('{\"update_id\":' || i || ',\"message\":{\"message_id\":' || i || ',\"from\":{\"id\":' "
      + "|| i % \(Self.conversations) || ',\"is_bot\": false,"
      + "\"first_name\":\"Ada\",\"last_name\":\"Lovelace\","
      + "\"language_code\":\"en\"},"
      + "\"chat\":{\"id\":' || i % \(Self.conversations) || ',\"first_name\":\"Ada\","
      + "\"last_name\":\"Lovelace\",\"type\":\"private\"},\"date\": 1800000000,\"text\":\"sent at "
      + "01234567890123456789 number 0123456789\"}}', 'UTF8')"
    return [
      ("d_id", Self.uuid("0d000000")), ("d_tenant", "'default'::text"), ("d_account", "account"),
      ("d_platform", "'telegram'::text"), ("d_received", "clock_timestamp()"),
      ("d_headers", "'{\"content-type\":\"application/json\"}'::text"), ("d_body", body),
      ("d_hash", "decode(lpad(to_hex(i), 64, '0'), 'hex')"), ("d_parser", "1"), ("d_state", "'done'::text"),
      ("d_reason", "NULL::text"), ("d_items", "1"),
      ("m_delivery", "g::int"), ("m_id", Self.uuid("0e000000")), ("m_conv_id", Self.uuid("0c000000")),
      ("m_conv_ext", Self.conversation), ("m_conv_kind", "'direct'::text"),
      ("m_conv_title", "'Ada Lovelace'::text"), ("m_ext", "i::text"), ("m_dir", "0::smallint"),
      ("m_kind", "'text'::text"), ("m_text", Self.text), ("m_sender_id", Self.conversation),
      ("m_sender_name", "'Ada Lovelace'::text"), ("m_sender_avatar", "NULL::text"),
      ("m_reply_ext", "NULL::text"), ("m_thread", "NULL::text"), ("m_attachments", "NULL::text"),
      ("m_details", "NULL::text"), ("m_preview", Self.text), ("m_status", "NULL::text"),
      ("m_sent", "clock_timestamp()"), ("m_order", "i"),
    ]
  }

  func removeFolder() {
    folder.remove()
  }
}
