import Glibc
import JSON

/// One measured number.
struct Figure: Sendable {
  /// Its name in the JSON report.
  let key: String
  let label: String
  let value: Double
  let unit: String
  /// What the project wants, for the reader; never a verdict.
  let goal: String

  init(_ key: String, _ label: String, _ value: Double, _ unit: String, goal: String = "") {
    self.key = key
    self.label = label
    self.value = value
    self.unit = unit
    self.goal = goal
  }

  /// Enough digits to compare, not more.
  var text: String {
    switch value.magnitude {
    case 100...: Figure.grouped(Int(value.rounded()))
    case 10...: Figure.fixed(value, decimals: 1)
    default: Figure.fixed(value, decimals: 2)
    }
  }

  static func fixed(_ value: Double, decimals: Int) -> String {
    let scale = decimals == 1 ? 10 : 100
    let scaled = Int((value * Double(scale)).rounded())
    let fraction = String(scaled.magnitude % UInt(scale))
    let zeros = String(repeating: "0", count: max(0, decimals - fraction.count))
    return "\(scaled < 0 ? "-" : "")\(scaled.magnitude / UInt(scale)).\(zeros)\(fraction)"
  }

  static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    var text = value < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index).isMultiple(of: 3) { text += "," }
      text.append(digit)
    }
    return text
  }
}

/// All that was measured, as a table and as JSON.
struct BenchReport: Sendable {
  private let options: BenchOptions
  private var sections: [(section: BenchOptions.Section, figures: [Figure])] = []
  private(set) var failures: [(section: BenchOptions.Section, reason: String)] = []
  private let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))

  init(_ options: BenchOptions) {
    self.options = options
  }

  mutating func add(_ section: BenchOptions.Section, _ figures: [Figure]) {
    sections.append((section, figures))
  }

  mutating func fail(_ section: BenchOptions.Section, _ reason: String) {
    failures.append((section, reason))
  }

  func table() -> String {
    var rows: [[String]] = [["section", "figure", "value", "unit", "goal"]]
    for (section, figures) in sections {
      for (index, figure) in figures.enumerated() {
        rows.append([
          index == 0 ? section.rawValue : "", figure.label, figure.text, figure.unit, figure.goal,
        ])
      }
    }
    let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = "\n\(processors) processors shared by hub, PostgreSQL and load; "
    text += "\(options.seconds) s for each measurement\n\n"
    for (number, row) in rows.enumerated() {
      let cells = row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return column == 2 ? padding + cell : cell + padding
      }
      text += cells.joined(separator: "  ").trimmedAtEnd() + "\n"
      if number == 0 {
        text += widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n"
      }
    }
    for (section, reason) in failures { text += "\n\(section.rawValue) could not be measured: \(reason)\n" }
    return text
  }

  func json() -> JSONValue {
    var measured: [String: JSONValue] = [:]
    for (section, figures) in sections {
      measured[section.rawValue] = .object(
        Dictionary(figures.map { ($0.key, .number($0.value)) }, uniquingKeysWith: { _, last in last }))
    }
    let failed = failures.map { ($0.section.rawValue, JSONValue.string($0.reason)) }
    return [
      "processors": .integer(Int64(processors)),
      "seconds": .integer(Int64(options.seconds)),
      "rounds": .integer(Int64(options.rounds)),
      "connections": .integer(Int64(options.connections)),
      "sections": .object(measured),
      "failures": .object(Dictionary(failed, uniquingKeysWith: { _, last in last })),
    ]
  }
}

extension String {
  fileprivate func trimmedAtEnd() -> String {
    var copy = self
    while copy.last == " " { copy.removeLast() }
    return copy
  }
}

/// Times that were measured, in the order they came.
struct Samples: Sendable {
  private var milliseconds: [Double] = []

  var count: Int { milliseconds.count }

  mutating func add(_ duration: Duration) {
    milliseconds.append(
      Double(duration.components.attoseconds) / 1e15 + Double(duration.components.seconds) * 1e3)
  }

  mutating func add(_ other: Samples) {
    milliseconds += other.milliseconds
  }

  /// The smallest sample that at least `share` of all do not exceed (nearest rank). 0 without samples.
  func quantiles(_ shares: [Double]) -> [Double] {
    let sorted = milliseconds.sorted()
    return shares.map { share in
      guard !sorted.isEmpty else { return 0 }
      let rank = Int((share * Double(sorted.count)).rounded(.up))
      return sorted[min(max(rank, 1), sorted.count) - 1]
    }
  }
}

extension [Double] {
  /// The middle value; the mean of the two middle ones. 0 when empty.
  var median: Double {
    guard !isEmpty else { return 0 }
    let sorted = self.sorted()
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
  }
}
