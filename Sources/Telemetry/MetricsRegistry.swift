import Synchronization

/// All metrics of a process, and their exposition in the Prometheus text format 0.0.4.
///
/// Handles are resolved once, at set-up, with their labels; the hot path then touches one atomic. A
/// series exists, with 0, from the moment its handle was made. Labels never carry ids: their values
/// come from a small fixed set.
/// https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
package final class MetricsRegistry: Sendable {
  package typealias Labels = KeyValuePairs<String, String>

  /// The content type of `exposition`.
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private enum Series: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
    case sampled(@Sendable () -> Double)
  }

  private enum Kind: String {
    case counter, gauge, histogram
  }

  private struct Family {
    let kind: Kind
    let help: String
    /// By rendered labels, in the order of registration.
    var series: [(labels: String, series: Series)] = []
  }

  private let families = Mutex<[String: Family]>([:])

  package init() {}

  // MARK: Registration

  /// The same name and labels give the same handle. - Precondition: one name has one kind.
  package func counter(_ name: String, _ help: String, _ labels: Labels = [:]) -> Counter {
    let series = register(name, help, .counter, labels) { .counter(Counter()) }
    guard case .counter(let counter) = series else { preconditionFailure("\(name) is sampled") }
    return counter
  }

  package func gauge(_ name: String, _ help: String, _ labels: Labels = [:]) -> Gauge {
    let series = register(name, help, .gauge, labels) { .gauge(Gauge()) }
    guard case .gauge(let gauge) = series else { preconditionFailure("\(name) is sampled") }
    return gauge
  }

  package func histogram(
    _ name: String, _ help: String, _ labels: Labels = [:], bounds: [Double] = Histogram.latencyBounds
  ) -> Histogram {
    let series = register(name, help, .histogram, labels) { .histogram(Histogram(bounds: bounds)) }
    guard case .histogram(let histogram) = series else { preconditionFailure("\(name) is sampled") }
    return histogram
  }

  /// A gauge that is read when the metrics are; `read` is called on the scraping thread and must not
  /// block.
  package func sampledGauge(
    _ name: String, _ help: String, _ labels: Labels = [:], _ read: @escaping @Sendable () -> Double
  ) {
    _ = register(name, help, .gauge, labels) { .sampled(read) }
  }

  /// The same for a number that only rises.
  package func sampledCounter(
    _ name: String, _ help: String, _ labels: Labels = [:], _ read: @escaping @Sendable () -> Double
  ) {
    _ = register(name, help, .counter, labels) { .sampled(read) }
  }

  private func register(
    _ name: String, _ help: String, _ kind: Kind, _ labels: Labels, _ make: () -> Series
  ) -> Series {
    precondition(Self.isName(name, allowsColon: true), "\(name) is no metric name")
    precondition(labels.allSatisfy { Self.isName($0.key, allowsColon: false) }, "\(name) has a wrong label")
    let rendered = labels.map { "\($0.key)=\"\(Self.escape($0.value, quotes: true))\"" }
      .joined(separator: ",")
    return families.withLock { families in
      var family = families[name] ?? Family(kind: kind, help: help)
      precondition(family.kind == kind, "\(name) is a \(family.kind.rawValue)")
      if let known = family.series.first(where: { $0.labels == rendered }) { return known.series }
      let series = make()
      family.series.append((rendered, series))
      families[name] = family
      return series
    }
  }

  private static func isName(_ name: String, allowsColon: Bool) -> Bool {
    guard let first = name.utf8.first, !(48...57).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        || byte == UInt8(ascii: "_") || (allowsColon && byte == UInt8(ascii: ":"))
    }
  }

  // MARK: Exposition

  /// All families, sorted by name, as the body of an answer to a scrape.
  package func exposition() -> [UInt8] {
    let families = families.withLock { $0 }
    var text = ""
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      text += "# HELP \(name) \(Self.escape(family.help, quotes: false))\n"
      text += "# TYPE \(name) \(family.kind.rawValue)\n"
      for (labels, series) in family.series { Self.append(name, labels, series, to: &text) }
    }
    return Array(text.utf8)
  }

  private static func append(_ name: String, _ labels: String, _ series: Series, to text: inout String) {
    let braces = labels.isEmpty ? "" : "{\(labels)}"
    switch series {
    case .counter(let counter): text += "\(name)\(braces) \(counter.value)\n"
    case .gauge(let gauge): text += "\(name)\(braces) \(gauge.value)\n"
    case .sampled(let read): text += "\(name)\(braces) \(number(read()))\n"
    case .histogram(let histogram):
      let prefix = labels.isEmpty ? "" : labels + ","
      let counts = histogram.counts
      var total: UInt64 = 0
      for (bound, count) in zip(histogram.bounds, counts) {
        total += count
        text += "\(name)_bucket{\(prefix)le=\"\(number(bound))\"} \(total)\n"
      }
      total += counts.last ?? 0
      text += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(total)\n"
      text += "\(name)_sum\(braces) \(number(histogram.sum))\n\(name)_count\(braces) \(total)\n"
    }
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if let whole = Int64(exactly: value) { return String(whole) }
    return "\(value)"
  }

  private static func escape(_ text: String, quotes: Bool) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}
