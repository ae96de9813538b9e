package import Bytes
import JSON
import Synchronization

/// How much a line matters, least first.
package enum LogLevel: Int, Sendable, Comparable, CaseIterable {
  case debug, info, warning, error

  package init?(name: some StringProtocol) {
    guard let level = Self.allCases.first(where: { $0.name == name.lowercased() }) else { return nil }
    self = level
  }

  package var name: String {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }

  package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// The value of a field.
package enum LogValue: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral
{
  case string(String)
  case integer(Int64)
  case number(Double)
  case bool(Bool)
  /// Written as `<secret>`.
  case secret

  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .integer(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init<Value>(_ secret: Secret<Value>) { self = .secret }
}

/// Writes structured lines: one event, one line. A value: copies with more fields are cheap.
///
/// As JSON: `{"ts":"2026-11-21T10:00:00.000Z","level":"info","msg":"...","event":"...", fields}`. As
/// `pretty`: for people. Control characters cannot break a line in either form.
package struct Logger: Sendable {
  package enum Format: String, Sendable {
    case json, pretty
  }

  private let sink: LogSink
  private let clock: @Sendable () -> Timestamp
  private var fields: [(key: String, value: LogValue)] = []

  /// - Parameter clock: reads the wall clock.
  package init(sink: LogSink, clock: @escaping @Sendable () -> Timestamp) {
    self.sink = sink
    self.clock = clock
  }

  /// The same logger with fields on every line.
  package func with(_ more: KeyValuePairs<String, LogValue>) -> Logger {
    var logger = self
    for (key, value) in more {
      logger.fields.removeAll { $0.key == key }
      logger.fields.append((key, value))
    }
    return logger
  }

  /// - Parameter event: a stable name for machines, such as `webhook.refused`.
  package func log(
    _ level: LogLevel, _ message: @autoclosure () -> String, event: String? = nil,
    _ more: @autoclosure () -> KeyValuePairs<String, LogValue> = [:]
  ) {
    guard level >= sink.level else { return }
    var all = fields
    if let event { all.insert(("event", .string(event)), at: 0) }
    for (key, value) in more() {
      all.removeAll { $0.key == key }
      all.append((key, value))
    }
    sink.write(LogLine.encode(clock(), level, message(), all, sink.format))
  }

  package func debug(
    _ message: @autoclosure () -> String, event: String? = nil,
    _ more: @autoclosure () -> KeyValuePairs<String, LogValue> = [:]
  ) { log(.debug, message(), event: event, more()) }

  package func info(
    _ message: @autoclosure () -> String, event: String? = nil,
    _ more: @autoclosure () -> KeyValuePairs<String, LogValue> = [:]
  ) { log(.info, message(), event: event, more()) }

  package func warning(
    _ message: @autoclosure () -> String, event: String? = nil,
    _ more: @autoclosure () -> KeyValuePairs<String, LogValue> = [:]
  ) { log(.warning, message(), event: event, more()) }

  package func error(
    _ message: @autoclosure () -> String, event: String? = nil,
    _ more: @autoclosure () -> KeyValuePairs<String, LogValue> = [:]
  ) { log(.error, message(), event: event, more()) }
}

/// Writes one line in either form.
enum LogLine {
  /// Names that the line itself uses; a field of such a name gets an underscore behind it.
  private static let reserved: Set<String> = ["ts", "level", "msg"]

  static func encode(
    _ time: Timestamp, _ level: LogLevel, _ message: String, _ fields: [(key: String, value: LogValue)],
    _ format: Logger.Format
  ) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(160)
    switch format {
    case .json:
      line.append(contentsOf: "{\"ts\":\"\(time.rfc3339)\",\"level\":\"\(level.name)\",\"msg\":".utf8)
      JSONText.append(message, to: &line)
      for (key, value) in fields {
        line.append(UInt8(ascii: ","))
        JSONText.append(reserved.contains(key) ? key + "_" : key, to: &line)
        line.append(UInt8(ascii: ":"))
        append(value, to: &line)
      }
      line.append(UInt8(ascii: "}"))
    case .pretty:
      let name = level.name.uppercased()
      let padding = String(repeating: " ", count: max(0, 7 - name.count))
      line.append(contentsOf: "\(time.rfc3339.dropFirst(11).dropLast()) \(name)\(padding) ".utf8)
      line.append(contentsOf: printable(message).utf8)
      for (key, value) in fields {
        line.append(contentsOf: "  \(printable(key))=\(text(value))".utf8)
      }
    }
    line.append(UInt8(ascii: "\n"))
    return line
  }

  private static func append(_ value: LogValue, to line: inout [UInt8]) {
    switch value {
    case .string(let text): JSONText.append(text, to: &line)
    case .integer(let number): line.append(contentsOf: String(number).utf8)
    case .number(let number): line.append(contentsOf: (number.isFinite ? "\(number)" : "null").utf8)
    case .bool(let flag): line.append(contentsOf: (flag ? "true" : "false").utf8)
    case .secret: line.append(contentsOf: "\"<secret>\"".utf8)
    }
  }

  private static func text(_ value: LogValue) -> String {
    switch value {
    case .string(let text): printable(text)
    case .integer(let number): String(number)
    case .number(let number): "\(number)"
    case .bool(let flag): flag ? "true" : "false"
    case .secret: "<secret>"
    }
  }

  /// Control characters become spaces: nothing that came from outside can start a line of its own or
  /// steer the terminal.
  private static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(isControl(scalar) ? " " : scalar) }
    return String(result)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar.value == 0x2028
      || scalar.value == 0x2029
  }
}
