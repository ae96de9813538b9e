/// What a Range field asks for of a body of known length (RFC 9110 section 14).
package enum ByteRange: Sendable, Equatable {
  /// All of it: there is no field, or one that has to be ignored (another unit, several ranges, not well
  /// formed).
  case whole
  /// First byte and one behind the last.
  case part(Range<Int64>)
  /// There is no such part: 416.
  case unsatisfiable

  private static let unit = "bytes="

  /// Several ranges are answered with the whole: a server may, and nobody who plays media asks for them.
  package init(_ field: String?, length: Int64) {
    guard let field, field.utf8.count <= 64, field.lowercased().hasPrefix(Self.unit) else {
      self = .whole
      return
    }
    let text = field.dropFirst(Self.unit.count).filter { $0 != " " && $0 != "\t" }
    guard let dash = text.firstIndex(of: "-"), !text.contains(",") else {
      self = .whole
      return
    }
    let (first, last) = (text[..<dash], text[text.index(after: dash)...])
    switch (Self.number(first), Self.number(last)) {
    case (let first?, let last?) where first <= last:
      self = first < length ? .part(first..<min(last, length - 1) + 1) : .unsatisfiable
    case (let start?, nil) where last.isEmpty: self = start < length ? .part(start..<length) : .unsatisfiable
    case (nil, let count?) where first.isEmpty:
      self = count > 0 && length > 0 ? .part(max(0, length - count)..<length) : .unsatisfiable
    default: self = .whole
    }
  }

  /// Digits only; more than fit are as many as there can be.
  private static func number(_ text: Substring) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int64(text).map { min($0, .max - 1) } ?? .max - 1
  }
}
