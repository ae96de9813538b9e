/// What can go wrong between the hub and PostgreSQL.
///
/// An open code, so that a new one breaks nobody's switch. Its description never holds the value of a
/// bind: PostgreSQL repeats values in DETAIL, so that field is kept for the program and left out of the
/// text.
package struct PostgresError: Error, Sendable, Equatable, CustomStringConvertible {
  package struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String {
      case connectFailed, connectionLost, timedOut, server, rolledBack, poolExhausted, unavailable, closed
      case decoding, misuse, limit, migration, listener
    }
    private let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// No connection could be made.
    package static let connectFailed = Code(.connectFailed)
    /// The connection ended while the statement was under way: it may or may not have committed.
    package static let connectionLost = Code(.connectionLost)
    /// The statement passed its deadline: it may or may not have committed.
    package static let timedOut = Code(.timedOut)
    /// PostgreSQL answered with an error; `server` has the fields.
    package static let server = Code(.server)
    /// COMMIT was answered with a rollback.
    package static let rolledBack = Code(.rolledBack)
    /// Too many callers wait for a connection, or this one waited too long. Nothing was sent.
    package static let poolExhausted = Code(.poolExhausted)
    /// No connection is open at the moment. Nothing was sent.
    package static let unavailable = Code(.unavailable)
    /// The connection or pool was closed by the hub. Nothing was sent.
    package static let closed = Code(.closed)
    /// A value is not of the type, or not in the column, that the caller asked for.
    package static let decoding = Code(.decoding)
    /// libpq refused the call.
    package static let misuse = Code(.misuse)
    /// One of this module's limits.
    package static let limit = Code(.limit)
    /// The schema's history does not fit this binary.
    package static let migration = Code(.migration)
    /// The name of a channel is not one PostgreSQL can listen on.
    package static let listener = Code(.listener)

    package var description: String { kind.rawValue }
  }

  /// The fields of an error from PostgreSQL (protocol, section 55.8).
  package struct Server: Sendable, Equatable {
    /// Five characters, appendix A of PostgreSQL's manual.
    package var sqlState: String
    package var message: String
    /// May repeat values of the row: never log it.
    package var detail: String?
    package var hint: String?
    package var schema: String?
    package var table: String?
    package var column: String?
    package var constraint: String?

    package init(
      sqlState: String, message: String, detail: String? = nil, hint: String? = nil,
      schema: String? = nil, table: String? = nil, column: String? = nil, constraint: String? = nil
    ) {
      self.sqlState = sqlState
      self.message = message
      self.detail = detail
      self.hint = hint
      self.schema = schema
      self.table = table
      self.column = column
      self.constraint = constraint
    }
  }

  package let code: Code
  /// What happened, without values.
  package let message: String
  /// Set when the code is `server`.
  package let server: Server?

  package init(_ code: Code, _ message: String, server: Server? = nil) {
    self.code = code
    self.message = message
    self.server = server
  }

  init(server: Server) {
    self.init(.server, server.message, server: server)
  }

  /// Five characters; nil when the error is not PostgreSQL's.
  package var sqlState: String? { server?.sqlState }

  package var isUniqueViolation: Bool { sqlState == "23505" }
  package var isForeignKeyViolation: Bool { sqlState == "23503" }
  /// Statement timeout, or a cancel.
  package var isQueryCancelled: Bool { sqlState == "57014" }

  /// The fault lies in one row's values (classes 22 and 23): the same values fail again, other rows
  /// would pass.
  package var isDataFault: Bool {
    guard let sqlState else { return false }
    return sqlState.hasPrefix("22") || sqlState.hasPrefix("23")
  }

  /// The same work may succeed later. After `connectionLost` and `timedOut` it may have been done, so
  /// retry only what is safe to do twice.
  package var isRetryable: Bool {
    switch code {
    case .connectFailed, .connectionLost, .timedOut, .poolExhausted, .unavailable: return true
    case .server:
      guard let sqlState else { return false }
      // Serialization failure, deadlock, lock not available, read-only (failover under way);
      // then connection faults, lack of resources, operator intervention.
      let states: Set = ["40001", "40P01", "55P03", "25006"]
      return states.contains(sqlState) || ["08", "53", "57"].contains(String(sqlState.prefix(2)))
    default: return false
    }
  }

  package var description: String {
    guard let server else { return "\(code): \(message)" }
    var text = "server \(server.sqlState): \(server.message)"
    if let table = server.table { text += " (table \(table))" }
    if let constraint = server.constraint { text += " (constraint \(constraint))" }
    return text
  }
}
