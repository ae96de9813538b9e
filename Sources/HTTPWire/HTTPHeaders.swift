/// The header fields of a message, or the trailers of a body (RFC 9110 section 5).
///
/// Order is kept, names compare without regard to ASCII case, and one name may stand several times.
/// Values are kept as they came, without the white space around them.
package struct HTTPHeaders: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  package struct Field: Sendable, Equatable {
    package let name: String
    package let value: String
  }

  package private(set) var fields: [Field]

  package init() {
    fields = []
  }

  package init(dictionaryLiteral elements: (String, String)...) {
    fields = elements.map { Field(name: $0.0, value: $0.1) }
  }

  package var count: Int { fields.count }
  package var isEmpty: Bool { fields.isEmpty }

  /// The first value of `name`, nil when the field is absent.
  package subscript(name: String) -> String? {
    for field in fields where equalsIgnoringCase(field.name, name) { return field.value }
    return nil
  }

  /// Every value of `name`, in the order of the message.
  package func all(_ name: String) -> [String] {
    fields.compactMap { equalsIgnoringCase($0.name, name) ? $0.value : nil }
  }

  package func contains(_ name: String) -> Bool { self[name] != nil }

  /// Replaces every value of `name` by one.
  package mutating func set(_ name: String, _ value: String) {
    remove(name)
    add(name, value)
  }

  /// Adds one more value, behind the others.
  package mutating func add(_ name: String, _ value: String) {
    fields.append(Field(name: name, value: value))
  }

  package mutating func add(contentsOf other: HTTPHeaders) {
    fields.append(contentsOf: other.fields)
  }

  package mutating func remove(_ name: String) {
    fields.removeAll { equalsIgnoringCase($0.name, name) }
  }

  package mutating func reserve(_ fieldCount: Int) {
    fields.reserveCapacity(fieldCount)
  }

  /// The members of a comma-separated list field, over all its lines, empty members left out
  /// (RFC 9110 section 5.6.1). Not for fields whose members may hold quoted commas.
  package func list(_ name: String) -> [String] {
    var members: [String] = []
    for field in fields where equalsIgnoringCase(field.name, name) {
      for member in field.value.utf8.split(separator: UInt8(ascii: ",")) {
        let trimmed = trimmingBlanks(member)
        if !trimmed.isEmpty { members.append(String(decoding: trimmed, as: UTF8.self)) }
      }
    }
    return members
  }

  /// Whether a list field has this member, without regard to ASCII case.
  package func list(_ name: String, contains token: String) -> Bool {
    list(name).contains { equalsIgnoringCase($0, token) }
  }

  /// The value of one cookie (RFC 6265 section 5.4), nil when the client did not send it.
  /// Surrounding quotes are dropped; nothing else is decoded.
  package func cookie(_ name: String) -> String? {
    for line in all("cookie") {
      for pair in line.utf8.split(separator: UInt8(ascii: ";")) {
        guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { continue }
        guard trimmingBlanks(pair[..<equals]).elementsEqual(name.utf8) else { continue }
        var value = trimmingBlanks(pair[pair.index(after: equals)...])
        if value.count >= 2, value.first == UInt8(ascii: "\""), value.last == UInt8(ascii: "\"") {
          value = value.dropFirst().dropLast()
        }
        return String(decoding: value, as: UTF8.self)
      }
    }
    return nil
  }

  /// The same fields in the same order; the case of names does not count.
  package static func == (left: HTTPHeaders, right: HTTPHeaders) -> Bool {
    left.fields.count == right.fields.count
      && zip(left.fields, right.fields).allSatisfy {
        equalsIgnoringCase($0.name, $1.name) && $0.value == $1.value
      }
  }
}

extension HTTPHeaders: CustomStringConvertible {
  /// Names only: values may be secrets (cookies, tokens, signatures).
  package var description: String { "HTTPHeaders(\(fields.map(\.name).joined(separator: ", ")))" }
}

/// Whether two texts are equal when ASCII letters of either case count as one.
package func equalsIgnoringCase(_ left: String, _ right: String) -> Bool {
  let left = left.utf8
  let right = right.utf8
  guard left.count == right.count else { return false }
  var other = right.makeIterator()
  for byte in left {
    guard let otherByte = other.next(), lowercased(byte) == lowercased(otherByte) else { return false }
  }
  return true
}

func lowercased(_ byte: UInt8) -> UInt8 {
  byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}

/// Without the spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
func trimmingBlanks<Bytes: BidirectionalCollection<UInt8>>(_ bytes: Bytes) -> Bytes.SubSequence {
  var slice = bytes[...]
  while let first = slice.first, first == 0x20 || first == 0x09 { slice = slice.dropFirst() }
  while let last = slice.last, last == 0x20 || last == 0x09 { slice = slice.dropLast() }
  return slice
}
