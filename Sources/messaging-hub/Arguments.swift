// What stands behind a command on the command line, read by the command's own description. Pure.

/// An option that a command takes.
struct OptionSpecification: Sendable, Equatable {
  /// Without the dashes.
  let name: String
  /// What stands for the value in the help; nil: a flag, it takes no value.
  let value: String?
  let help: String

  init(_ name: String, _ value: String? = nil, _ help: String) {
    self.name = name
    self.value = value
    self.help = help
  }
}

/// A command line that the command does not understand. Ends the program with status 2.
struct UsageError: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// The words behind a command: options `--name value` or `--name=value`, flags `--name`, and the rest
/// in order. After `--` nothing is an option. `--help` and `-h` are flags of every command.
struct Arguments: Sendable, Equatable {
  private(set) var positionals: [String] = []
  private var values: [String: String] = [:]
  private var flags: Set<String> = []

  /// - Throws: for an unknown option, a missing or superfluous value, an option given twice, and more
  ///   words than the command takes.
  init(
    parsing words: [String], options: [OptionSpecification] = [], positionalsMax: Int = 0
  ) throws(UsageError) {
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        positionals += rest
        break
      }
      if word == "-h" || word == "--help" {
        flags.insert("help")
      } else if word.hasPrefix("--") {
        try readOption(word.dropFirst(2), &rest, options)
      } else if word.hasPrefix("-") && word != "-" {
        throw UsageError("there is no option \(word)")
      } else {
        positionals.append(word)
      }
    }
    guard positionals.count <= positionalsMax || has("help") else {
      throw UsageError("'\(positionals[positionalsMax])' is one word too many")
    }
  }

  private mutating func readOption(
    _ word: Substring, _ rest: inout ArraySlice<String>, _ options: [OptionSpecification]
  ) throws(UsageError) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts.first ?? "")
    guard let option = options.first(where: { $0.name == name }) else {
      throw UsageError("there is no option --\(name)")
    }
    guard values[name] == nil, !flags.contains(name) else { throw UsageError("--\(name) is given twice") }
    guard option.value != nil else {
      guard parts.count == 1 else { throw UsageError("--\(name) takes no value") }
      flags.insert(name)
      return
    }
    if parts.count == 2 {
      values[name] = String(parts[1])
    } else if let value = rest.popFirst() {
      values[name] = value
    } else {
      throw UsageError("--\(name) needs a value")
    }
  }

  /// The value of an option; nil when it was not given.
  subscript(name: String) -> String? { values[name] }

  func has(_ flag: String) -> Bool { flags.contains(flag) }

  /// - Throws: when the option is missing or empty.
  func required(_ name: String) throws(UsageError) -> String {
    guard let value = values[name], !value.isEmpty else { throw UsageError("--\(name) is needed") }
    return value
  }

  /// The value as a whole number. - Throws: when it is none or outside the range.
  func integer(_ name: String, in range: ClosedRange<Int>, default standard: Int) throws(UsageError) -> Int {
    guard let text = values[name] else { return standard }
    guard let number = Int(text), range.contains(number) else {
      throw UsageError(
        "--\(name) is a whole number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
    }
    return number
  }

  /// The positional word at an index. - Throws: naming it when it is missing.
  func positional(_ index: Int, _ name: String) throws(UsageError) -> String {
    guard index < positionals.count else { throw UsageError("\(name) is missing") }
    return positionals[index]
  }

  /// The same options behind one positional word fewer: what a subcommand sees.
  func droppingFirst() -> Arguments {
    var copy = self
    copy.positionals = Array(positionals.dropFirst())
    return copy
  }
}
