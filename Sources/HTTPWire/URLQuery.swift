/// Name and value pairs of a query or of a form body
/// (application/x-www-form-urlencoded, WHATWG URL section 5).
package struct URLQuery: Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  package var items: [Item]

  package init(_ items: [Item] = []) {
    self.items = items
  }

  /// Reads `a=1&b=two+words&c`. A name without `=` has an empty value; empty pairs are skipped.
  ///
  /// - Throws: `.queryMalformed` for a bad `%` sequence or bytes that are not UTF-8,
  ///   `.queryItemsTooMany` above `itemsMax`.
  package init(_ raw: some StringProtocol, itemsMax: Int = 1000) throws(HTTPParseError) {
    try self.init(bytes: Array(raw.utf8), itemsMax: itemsMax)
  }

  package init(bytes: [UInt8], itemsMax: Int = 1000) throws(HTTPParseError) {
    items = []
    for pair in bytes.split(separator: UInt8(ascii: "&")) {
      guard items.count < itemsMax else { throw .queryItemsTooMany(limit: itemsMax) }
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
      guard let name = PercentEncoding.decode(pair[..<equals], plusIsSpace: true),
        let value = PercentEncoding.decode(pair[equals...].dropFirst(), plusIsSpace: true)
      else { throw .queryMalformed }
      items.append(Item(name: name, value: value))
    }
  }

  /// The first value of `name` (names are case-sensitive), nil when it is absent.
  package subscript(name: String) -> String? {
    items.first { $0.name == name }?.value
  }

  /// Every value of `name` in order.
  package func all(_ name: String) -> [String] {
    items.filter { $0.name == name }.map(\.value)
  }

  /// The pairs in encoded form, without a leading `?`.
  package var encoded: String {
    items.map { "\(PercentEncoding.encode($0.name))=\(PercentEncoding.encode($0.value))" }
      .joined(separator: "&")
  }
}
