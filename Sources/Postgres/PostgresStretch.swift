import EventLoop

/// Some statements that one caller asked for together, and where their answers go. Loop-confined.
final class PostgresStretch {
  typealias Outcome = Result<[PostgresRows], PostgresError>

  /// What libpq was given, in order.
  enum Step {
    /// The key of a named statement; nil for the unnamed one.
    case prepare(PreparedStatements.Key?)
    /// The key when the statement had been prepared by an earlier stretch.
    case execute(known: PreparedStatements.Key?)
  }

  let id: PipelineStateMachine.StretchID
  let batch: [PostgresStatement]
  let isCached: Bool
  var steps: [Step] = []
  var rows: [PostgresRows] = []
  var error: PostgresError?
  var deadline: LoopInstant?
  var continuation: UnsafeContinuation<Outcome, Never>?

  init(
    _ id: PipelineStateMachine.StretchID, _ batch: [PostgresStatement], deadline: LoopInstant?,
    isCached: Bool
  ) {
    self.id = id
    self.batch = batch
    self.deadline = deadline
    self.isCached = isCached
  }

  /// The caller has its answer already; PostgreSQL has not given it yet.
  var isAbandoned: Bool { continuation == nil }

  /// nil when there is no such step: the fault came with the sync.
  func step(_ index: Int) -> Step? {
    index < steps.count ? steps[index] : nil
  }

  /// Answers the caller, once.
  func finish(_ outcome: Outcome) {
    guard let waiting = continuation else { return }
    continuation = nil
    waiting.resume(returning: outcome)
  }
}

/// The statements a session has prepared, by text and parameter types. Pure.
struct PreparedStatements {
  struct Key: Hashable {
    let sql: String
    let types: [UInt32]

    init(_ statement: PostgresStatement) {
      sql = statement.sql
      types = statement.binds.map(\.oid)
    }
  }

  enum Use: Equatable {
    case ready(String)
    /// Prepare it under this name first.
    case prepare(String)
    /// Prepare it without a name, for this stretch alone.
    case prepareUnnamed
  }

  private enum State {
    case preparing(String)
    case ready(String)
  }

  private let limit: Int
  private var states: [Key: State] = [:]
  private var lastNumber = 0

  init(limit: Int) {
    self.limit = limit
  }

  mutating func use(_ key: Key) -> Use {
    switch states[key] {
    case .ready(let name): return .ready(name)
    case .preparing: return .prepareUnnamed
    case nil:
      guard states.count < limit else { return .prepareUnnamed }
      lastNumber += 1
      states[key] = .preparing("s\(lastNumber)")
      return .prepare("s\(lastNumber)")
    }
  }

  mutating func succeeded(_ key: Key) {
    if case .preparing(let name) = states[key] { states[key] = .ready(name) }
  }

  /// The prepare failed or was skipped, or the statement is of no use any more. Its number is not used
  /// again.
  mutating func forget(_ key: Key) {
    states[key] = nil
  }
}
