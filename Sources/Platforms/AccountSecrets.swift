package import JSON
import Security

/// An account's credentials, opened. Several values of one name are valid at once, the newest first,
/// so that a secret can be changed without a gap. Prints as names only.
package struct AccountSecrets: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  /// Values that one credential may have.
  package static let valuesMax = 8
  /// Bytes of one value.
  package static let valueBytesMax = 8_192

  private var values: [String: [String]]
  /// Of these values; copies share it.
  private let keys = PEMKeys()

  package init(_ values: [String: [String]] = [:]) {
    self.values = values
  }

  /// Reads `{"name": "value"}` and `{"name": ["new", "old"]}`, as the API takes and the store keeps
  /// them. nil for anything else.
  package init?(json: JSONValue) {
    guard let members = json.object else { return nil }
    var values: [String: [String]] = [:]
    for (name, member) in members {
      let texts: [String]
      switch member {
      case .null: continue
      case .string(let text): texts = [text]
      case .array(let elements):
        texts = elements.compactMap(\.string)
        guard texts.count == elements.count else { return nil }
      default: return nil
      }
      guard texts.count <= Self.valuesMax, texts.allSatisfy({ $0.utf8.count <= Self.valueBytesMax }) else {
        return nil
      }
      values[name] = texts
    }
    self.values = values
  }

  /// The form that `init(json:)` reads.
  package var json: JSONValue {
    .object(values.mapValues { .array($0.map { .string($0) }) })
  }

  /// All valid values, newest first; none when the credential is not there.
  package subscript(name: String) -> [String] { values[name] ?? [] }

  /// What the first RSA key that can opens, of a credential's values. All copies of these secrets share the
  /// keys and what they opened last.
  func opened(_ sealed: [UInt8], by name: String) -> [UInt8]? {
    for pem in self[name] {
      if let bytes = keys.open(sealed, pem: pem) { return bytes }
    }
    return nil
  }

  package var names: [String] { values.keys.sorted() }

  /// Whether one of the valid values is this text. Every value is compared, so the time does not tell
  /// which one it was.
  func contains(_ text: String, in name: String) -> Bool {
    anyMatches(name) { constantTimeEquals(text, $0) }
  }

  /// Whether one of the valid values passes a check that takes constant time. All are checked.
  func anyMatches(_ name: String, _ check: (String) -> Bool) -> Bool {
    var isFound = false
    for value in self[name] where !value.isEmpty && check(value) { isFound = true }
    return isFound
  }

  package static func == (left: AccountSecrets, right: AccountSecrets) -> Bool {
    left.values == right.values
  }

  /// Replaces a credential.
  package mutating func set(_ name: String, _ newValues: [String]) {
    values[name] = newValues
  }

  package var description: String { "AccountSecrets(\(names.joined(separator: ", ")))" }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}
