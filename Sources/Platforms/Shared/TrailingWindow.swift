import JSON

/// What a poller remembers of the newest messages of a channel, so that reading them once more shows which
/// were edited and which are gone. Ids are numbers in decimal, and grow with time.
///
/// A pass reads everything behind `floor`, in any order and over any number of answers: `note` each message,
/// then `end`.
struct TrailingWindow {
  enum News { case new, changed, same }

  /// How many messages are looked at again.
  static let messagesMax = 50
  private static let markBytesMax = 128

  /// What is up to here is settled.
  private(set) var floor: String
  /// Of the messages behind the floor: what changes when the message does.
  private(set) var marks: [String: String] = [:]
  /// Those that this pass has not met yet.
  private var missing: Set<String>?
  private var seen: [String: String] = [:]
  private var settled: String

  init(floor: String) {
    self.floor = floor
    settled = floor
  }

  var isEmpty: Bool { marks.isEmpty }

  /// Whether one id stands before another.
  static func isBefore(_ left: String, _ right: String) -> Bool {
    let (a, b) = (left.utf8.count, right.utf8.count)
    return a == b ? left.utf8.lexicographicallyPrecedes(right.utf8) : a < b
  }

  /// - Parameter mark: differs when the message was edited.
  mutating func note(_ id: String, mark: String) -> News {
    let mark = MarkText.cut(mark, bytesMax: Self.markBytesMax)
    if missing == nil { missing = Set(marks.keys) }
    missing?.remove(id)
    guard Self.isBefore(floor, id) else { return .same }
    seen[id] = mark
    if seen.count > Self.messagesMax, let oldest = seen.keys.min(by: Self.isBefore) { settle(oldest) }
    guard let before = marks[id] else { return .new }
    return before == mark ? .same : .changed
  }

  private mutating func settle(_ id: String) {
    seen[id] = nil
    if Self.isBefore(settled, id) { settled = id }
  }

  /// - Parameter oldest: messages before this id are not looked at again.
  /// - Returns: the ids that are gone.
  mutating func end(oldest: String) -> [String] {
    let gone = (missing ?? Set(marks.keys)).sorted(by: Self.isBefore)
    for id in seen.keys.filter({ Self.isBefore($0, oldest) }).sorted(by: Self.isBefore) { settle(id) }
    marks = seen
    floor = settled
    seen = [:]
    missing = nil
    return gone
  }

  // MARK: JSON

  init?(_ json: JSONValue?) {
    guard let floor = json?["floor"]?.string else { return nil }
    self.floor = floor
    settled = json?["settled"]?.string ?? floor
    marks = Self.texts(json?["marks"])
    seen = Self.texts(json?["seen"])
    missing = (json?["missing"]?.array).map { Set($0.compactMap(\.string)) }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = ["floor": .string(floor)]
    if settled != floor { members["settled"] = .string(settled) }
    if !marks.isEmpty { members["marks"] = .object(marks.mapValues { .string($0) }) }
    if !seen.isEmpty { members["seen"] = .object(seen.mapValues { .string($0) }) }
    members["missing"] = missing.map { .array($0.sorted().map { .string($0) }) }
    return .object(members)
  }

  private static func texts(_ json: JSONValue?) -> [String: String] {
    (json?.object ?? [:]).compactMapValues(\.string)
  }
}

private enum MarkText {
  static func cut(_ text: String, bytesMax: Int) -> String {
    text.utf8.count <= bytesMax ? text : String(decoding: text.utf8.prefix(bytesMax), as: UTF8.self)
  }
}
