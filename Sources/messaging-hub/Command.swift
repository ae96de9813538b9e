/// One command of the program: how it is called, and what it does.
protocol Command: Sendable {
  static var name: String { get }
  /// One line.
  static var summary: String { get }
  /// What stands behind the name, e.g. `<platform> <sample> [options]`.
  static var synopsis: String { get }
  /// More help, lines; may be empty.
  static var notes: String { get }
  static var options: [OptionSpecification] { get }
  static var positionalsMax: Int { get }

  /// - Throws: `UsageError` for a wrong call, `Failure` or another error with a text for people.
  static func run(_ arguments: Arguments, _ program: Program) async throws
}

extension Command {
  static var synopsis: String { options.isEmpty ? "" : "[options]" }
  static var notes: String { "" }
  static var options: [OptionSpecification] { [] }
  static var positionalsMax: Int { 0 }

  static var help: String {
    var text = "\(summary)\n\nusage: messaging-hub \(name) \(synopsis)".trimmingTrailingSpace + "\n"
    if !notes.isEmpty { text += "\n\(notes)\n" }
    let all = options + [OptionSpecification("help", nil, "this text")]
    let left = all.map { option in "--" + option.name + (option.value.map { " \($0)" } ?? "") }
    let width = (left.map(\.count).max() ?? 0) + 2
    text += "\noptions:\n"
    for (call, option) in zip(left, all) {
      text += "  " + call + String(repeating: " ", count: width - call.count) + option.help + "\n"
    }
    return text
  }
}

/// A command could not do its work. The text is one plain line for people; the program ends with
/// status 1.
struct Failure: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

extension String {
  var trimmingTrailingSpace: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }

  /// The text without line breaks: an error is one line.
  var oneLine: String {
    split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
