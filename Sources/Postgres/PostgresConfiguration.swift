import CPostgres

/// Where the database is and how a session behaves. Every limit names its unit.
package struct PostgresConfiguration: Sendable {
  /// `postgresql://...` or `host=... dbname=...`, as libpq reads it. Holds a password: never log it.
  package var connectionString: String
  /// Shown in pg_stat_activity.
  package var applicationName = "messaging-hub"
  /// The role that the session takes on (SET ROLE). nil keeps the login's own.
  package var role: String?
  /// After this PostgreSQL itself cancels a statement. Zero switches it off.
  package var statementTimeout: Duration = .seconds(10)
  /// After this PostgreSQL gives up waiting for a lock. Zero switches it off.
  package var lockTimeout: Duration = .seconds(5)
  /// After this PostgreSQL ends a session that idles inside a transaction. Zero switches it off.
  package var idleInTransactionTimeout: Duration = .seconds(30)
  /// More `-c name=value` settings of the session.
  package var settings: [String: String] = [:]
  /// Resolution, connection, TLS and login together.
  package var connectTimeout: Duration = .seconds(5)
  /// How long after the statement's time-out the hub itself cancels it, and how long after that it gives
  /// the connection up.
  package var deadlineGrace: Duration = .seconds(2)
  /// Prepared statements kept for a connection; more are prepared each time.
  package var preparedStatementsMax = 512
  /// Stretches under way on one connection.
  package var stretchesMax = 1_024
  /// Bytes of the binds of one stretch.
  package var stretchBytesMax = 64 * 1_024 * 1_024

  package init(connectionString: String) {
    self.connectionString = connectionString
  }

  /// The statement's deadline when its caller names none. nil when the time-out is switched off.
  var deadlineAfter: Duration? {
    statementTimeout > .zero ? statementTimeout + deadlineGrace : nil
  }

  /// The connection string taken apart, with the session's settings added.
  func parameters() throws(PostgresError) -> [String: String] {
    var errorText: UnsafeMutablePointer<CChar>?
    guard let options = PQconninfoParse(connectionString, &errorText) else {
      // libpq's text may repeat a part of the string, a password perhaps: not passed on.
      PQfreemem(errorText)
      throw PostgresError(.connectFailed, "the connection string is not one libpq can read")
    }
    defer { PQconninfoFree(options) }
    var parameters: [String: String] = [:]
    var option = options
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
      option += 1
    }
    parameters["application_name"] = parameters["application_name"] ?? applicationName
    parameters["client_encoding"] = "UTF8"
    // Looking for Kerberos tickets may block on name servers.
    parameters["gssencmode"] = parameters["gssencmode"] ?? "disable"
    // A peer that went away without a word is noticed in half a minute, not in hours.
    let keepAlive = [
      "keepalives_idle": "15", "keepalives_interval": "5", "keepalives_count": "3",
      "tcp_user_timeout": "30000",
    ]
    parameters.merge(keepAlive) { given, _ in given }
    parameters["options"] = ([parameters["options"]].compactMap { $0 } + sessionOptions())
      .joined(separator: " ")
    return parameters
  }

  private func sessionOptions() -> [String] {
    var values = settings
    values["statement_timeout"] = "\(statementTimeout.milliseconds)"
    values["lock_timeout"] = "\(lockTimeout.milliseconds)"
    values["idle_in_transaction_session_timeout"] = "\(idleInTransactionTimeout.milliseconds)"
    values["timezone"] = "UTC"
    values["role"] = role
    return values.sorted { $0.key < $1.key }.map { "-c \($0.key)=\(Self.escapeOption($0.value))" }
  }

  /// Spaces end an option in the start-up packet unless a backslash stands before them.
  private static func escapeOption(_ value: String) -> String {
    var text = ""
    for character in value {
      if character == " " || character == "\\" { text.append("\\") }
      text.append(character)
    }
    return text
  }
}

extension Duration {
  /// Whole milliseconds, never negative.
  var milliseconds: Int64 {
    max(0, components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000)
  }
}

/// SQL text from parts.
package enum PostgresQuoting {
  /// An identifier in double quotes. PostgreSQL cuts names at 63 bytes.
  package static func identifier(_ name: String) -> String {
    "\"" + doubling("\"", in: name) + "\""
  }

  /// A string literal; for places where no bind is allowed.
  package static func literal(_ value: String) -> String {
    // E'' form, so that a backslash means the same whatever standard_conforming_strings says.
    "E'" + doubling("'", in: doubling("\\", in: value)) + "'"
  }

  /// A value of a `key='value'` connection string.
  package static func connectionValue(_ value: String) -> String {
    var text = "'"
    for character in value {
      if character == "'" || character == "\\" { text.append("\\") }
      text.append(character)
    }
    return text + "'"
  }

  private static func doubling(_ mark: Character, in text: String) -> String {
    var doubled = ""
    for character in text {
      if character == mark { doubled.append(mark) }
      doubled.append(character)
    }
    return doubled
  }
}
