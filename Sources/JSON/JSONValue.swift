import Foundation

/// A JSON document of a shape not known before, read by Foundation's parser.
///
/// Integers stay exact through the whole range of Int64 and UInt64; only other numbers become a
/// Double. Ids of platforms are therefore read from `.integer`, `.unsigned` or `.string`, never from
/// `.number`.
package enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// What Foundation takes, and RFC 8259 and the database do not.
  enum Refusal: Error {
    /// A comma behind the last element of an array or object.
    case trailingComma
    /// A NUL: Foundation guesses another encoding than UTF-8 then.
    case notUTF8
  }

  /// Parses a whole document. Throws for anything that is not JSON, for a number that no Double can
  /// hold, for a document that nests deeper than 512, and for bytes behind it. Of several members with
  /// one name the last counts.
  ///
  /// `JSONSerialization` and not `JSONDecoder`: a decoder is asked type by type what a value is, each
  /// wrong guess throws, and that costs three times as much.
  package init(parsing bytes: some Sequence<UInt8>) throws {
    let data = Data(bytes)
    let traits = data.withUnsafeBytes { JSONTraits(of: $0) }
    guard !traits.hasNUL else { throw Refusal.notUTF8 }
    if traits.mayHaveTrailingComma, data.withUnsafeBytes({ JSONTraits.hasTrailingComma($0) }) {
      throw Refusal.trailingComma
    }
    if traits.mayHoldByteOrderMark {
      // The decoder does not look into members that another of their name takes the place of.
      guard String(validating: data, as: UTF8.self) != nil else { throw Refusal.notUTF8 }
      self = try JSONDecoder().decode(JSONValueDecoding.self, from: data).value
    } else {
      self.init(parsed: try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed))
    }
  }

  /// Whether a document may have U+0000 in a text, escaped as it has to be.
  package static func mayHoldNUL(_ document: [UInt8]) -> Bool {
    document.withUnsafeBytes { JSONTraits.mayHoldEscapedNUL($0) }
  }

  /// - Parameter value: what `JSONSerialization` gives, and nothing else.
  private init(parsed value: Any) {
    // Types are compared before a cast: one that fails looks for bridges, and costs more than reading did.
    let type = Swift.type(of: value)
    if type == String.self, let text = value as? String {
      self = .string(text)
    } else if type == [String: Any].self, let members = value as? [String: Any] {
      self = .object(members.mapValues { JSONValue(parsed: $0) })
    } else if type == [Any].self, let elements = value as? [Any] {
      self = .array(elements.map { JSONValue(parsed: $0) })
    } else if let number = value as? NSNumber {
      self.init(number)
    } else {
      self = .null
    }
  }

  private init(_ number: NSNumber) {
    // What is near the ends of Int64 or has many digits comes as a decimal.
    if number is NSDecimalNumber {
      let digits = number.stringValue
      self =
        Int64(digits).map { .integer($0) } ?? UInt64(digits).map { .unsigned($0) }
        // Not its `doubleValue`, which may be the neighbour of the nearest Double.
        ?? .number(Double(digits) ?? number.doubleValue)
      return
    }
    switch UInt8(bitPattern: number.objCType.pointee) {
    case UInt8(ascii: "c"), UInt8(ascii: "B"): self = .bool(number.boolValue)
    case UInt8(ascii: "d"), UInt8(ascii: "f"): self = .number(number.doubleValue)
    case UInt8(ascii: "Q"): self = .unsigned(number.uint64Value)
    default: self = .integer(number.int64Value)
    }
  }

  package subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  package subscript(index: Int) -> JSONValue? {
    if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
  }

  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  package var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }
  package var isNull: Bool { if case .null = self { true } else { false } }

  /// An exact integer; nil for fractions and for what does not fit.
  package var integer: Int64? {
    switch self {
    case .integer(let value): value
    case .unsigned(let value): Int64(exactly: value)
    case .number(let value): Int64(exactly: value)
    case .null, .bool, .string, .array, .object: nil
    }
  }

  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .number(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }

  /// The text of an id that a platform writes now as a string, now as a number. nil for fractions.
  package var identifier: String? {
    switch self {
    case .string(let value): value
    case .integer(let value): String(value)
    case .unsigned(let value): String(value)
    case .null, .bool, .number, .array, .object: nil
    }
  }

  /// The document as UTF-8 text, object keys sorted.
  package func encoded() -> [UInt8] {
    var output: [UInt8] = []
    JSONText.append(self, to: &output)
    return output
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByNilLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .integer(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
  }
  package init(nilLiteral: ()) { self = .null }
}
