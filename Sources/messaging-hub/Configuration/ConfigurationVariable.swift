import Hub

/// One environment variable: what it means and how it is read. A row of `ConfigurationTable`.
struct ConfigurationVariable: Sendable {
  /// A value that is not one. The text goes on after the variable's name: "is ...".
  struct Unusable: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
  }

  typealias Apply = @Sendable (String, inout Settings) throws(Unusable) -> Void

  let name: String
  /// How the value looks, in a word or two.
  let type: String
  /// As the table shows it; made from the defaults of `Settings` where there is a plain one.
  let standard: String
  let doc: String
  /// Never printed; `NAME_FILE` may name a file that holds it.
  let isSecret: Bool
  let apply: Apply
  /// Tradition writes it in lower case; that form counts too, and first.
  var hasLowerCaseForm = false

  /// The value in an environment; nil when it is not set or empty.
  func value(in environment: [String: String]) -> String? {
    let names = hasLowerCaseForm ? [name.lowercased(), name] : [name]
    return names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
  }

  /// The same variable, with its name in lower case too.
  var inEitherCase: ConfigurationVariable {
    var variable = self
    variable.hasLowerCaseForm = true
    return variable
  }

  static func text(
    _ name: String, _ type: String = "text", standard: String = "", secret: Bool = false, _ doc: String,
    _ apply: @escaping Apply
  ) -> ConfigurationVariable {
    ConfigurationVariable(
      name: name, type: type, standard: standard, doc: doc, isSecret: secret, apply: apply)
  }

  static func optional(
    _ name: String, _ type: String, _ field: any WritableKeyPath<Settings, String?> & Sendable,
    secret: Bool = false, _ doc: String
  ) -> ConfigurationVariable {
    text(name, type, secret: secret, doc) { value, settings throws(Unusable) in
      settings[keyPath: field] = value
    }
  }

  /// A whole number in a range.
  static func integer(
    _ name: String, _ range: ClosedRange<Int>, _ field: any WritableKeyPath<Settings, Int> & Sendable,
    unit: String = "number", standard: String? = nil, _ doc: String
  ) -> ConfigurationVariable {
    text(name, unit, standard: standard ?? "\(Settings()[keyPath: field])", doc) {
      value, settings throws(Unusable) in
      settings[keyPath: field] = try read(value, range)
    }
  }

  /// A number of bytes, with an optional K, M or G (powers of 1024) behind it.
  static func bytes(
    _ name: String, _ range: ClosedRange<Int>, _ field: any WritableKeyPath<Settings, Int> & Sendable,
    _ doc: String
  ) -> ConfigurationVariable {
    text(name, "bytes", standard: byteText(Settings()[keyPath: field]), doc) {
      value, settings throws(Unusable) in
      settings[keyPath: field] = try readBytes(value, range)
    }
  }

  /// A whole number of seconds.
  static func seconds(
    _ name: String, _ range: ClosedRange<Int>, _ field: any WritableKeyPath<Settings, Duration> & Sendable,
    _ doc: String
  ) -> ConfigurationVariable {
    text(name, "seconds", standard: "\(Settings()[keyPath: field].components.seconds)", doc) {
      value, settings throws(Unusable) in
      settings[keyPath: field] = .seconds(try read(value, range))
    }
  }

  /// One word of a list.
  static func choice(
    _ name: String, _ words: [String], standard: String, _ doc: String,
    _ apply: @escaping @Sendable (String, inout Settings) -> Void
  ) -> ConfigurationVariable {
    text(name, words.joined(separator: ", "), standard: standard, doc) { value, settings throws(Unusable) in
      guard words.contains(value) else {
        throw Unusable("'\(value)', which is none of \(words.joined(separator: ", "))")
      }
      apply(value, &settings)
    }
  }

  static func read(_ text: String, _ range: ClosedRange<Int>) throws(Unusable) -> Int {
    guard let number = Int(text), range.contains(number) else {
      throw Unusable(
        "'\(text)', but has to be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  static func readBytes(_ text: String, _ range: ClosedRange<Int>) throws(Unusable) -> Int {
    let units: [Character: Int] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
    var digits = text[...]
    var factor = 1
    if let last = digits.last, let unit = units[Character(last.lowercased())] {
      factor = unit
      digits = digits.dropLast()
    }
    guard let number = Int(digits) else {
      throw Unusable("'\(text)', which is no number of bytes (64K, 10M)")
    }
    let (bytes, isTooMuch) = number.multipliedReportingOverflow(by: factor)
    guard !isTooMuch, range.contains(bytes) else {
      throw Unusable(
        "'\(text)', but has to be from \(byteText(range.lowerBound)) to \(byteText(range.upperBound))")
    }
    return bytes
  }

  static func byteText(_ bytes: Int) -> String {
    for (unit, size) in [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]
    where bytes >= size && bytes.isMultiple(of: size) {
      return "\(bytes / size)\(unit)"
    }
    return "\(bytes)"
  }
}
