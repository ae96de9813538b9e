import Bytes
import HTTPServer
import HTTPWire
import JSON
import Postgres
import Telemetry

/// One authenticated request under `/api`, with what its handler needs to read it.
struct APICall: Sendable {
  static let limitRange = 1...200
  static let limitDefault = 50

  let request: HTTPRequest
  let parameters: RouteParameters
  let principal: Principal
  let query: URLQuery

  /// A `{name}` of the path that is one of our ids. - Throws: 404, because no row has another.
  func id(_ name: String) throws(Problem) -> UUIDv7 {
    guard let id = parameters[name].flatMap({ UUIDv7($0) }) else {
      throw .notFound("there is nothing of this id")
    }
    return id
  }

  // MARK: Query

  /// nil when the parameter is missing or empty.
  func text(_ name: String) -> String? {
    query[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  func id(inQuery name: String) throws(Problem) -> UUIDv7? {
    guard let text = text(name) else { return nil }
    guard let id = UUIDv7(text) else { throw .invalid("'\(name)' is not an id", field: name) }
    return id
  }

  func choice(_ name: String, of words: [String]) throws(Problem) -> String? {
    guard let text = text(name) else { return nil }
    guard words.contains(text) else {
      throw .invalid("'\(name)' is one of \(words.joined(separator: ", "))", field: name)
    }
    return text
  }

  func flag(_ name: String) throws(Problem) -> Bool? {
    try choice(name, of: ["true", "false"]).map { $0 == "true" }
  }

  /// A whole number that is not negative.
  func number(_ name: String) throws(Problem) -> Int64? {
    guard let text = text(name) else { return nil }
    guard let number = Int64(text), number >= 0 else {
      throw .invalid("'\(name)' is a whole number from 0", field: name)
    }
    return number
  }

  func limit() throws(Problem) -> Int {
    guard let text = text("limit") else { return Self.limitDefault }
    guard let number = Int(text), Self.limitRange.contains(number) else {
      throw .invalid(
        "'limit' is a whole number from \(Self.limitRange.lowerBound) to \(Self.limitRange.upperBound)",
        field: "limit")
    }
    return number
  }

  func cursor() throws(Problem) -> PageCursor? {
    guard let text = text("cursor") else { return nil }
    guard let cursor = PageCursor(text: text) else { throw .invalidCursor }
    return cursor
  }

  // MARK: Body

  /// The body as a JSON object. - Parameter optional: an empty body counts as `{}`.
  func body(optional: Bool = false) throws(Problem) -> RequestFields {
    if request.body.isEmpty && optional { return RequestFields([:]) }
    return try RequestFields(parsing: request.body)
  }
}

/// The members of a JSON object that a client sent. Errors name the field.
struct RequestFields: Sendable {
  private let members: [String: JSONValue]

  init(_ members: [String: JSONValue]) { self.members = members }

  init(parsing bytes: [UInt8]) throws(Problem) {
    guard let value = try? JSONValue(parsing: bytes) else { throw .invalid("the body is not JSON") }
    guard let members = value.object else { throw .invalid("the body has to be a JSON object") }
    self.members = members
  }

  /// All of them, in one form whatever the client's spelling was.
  var document: [UInt8] { JSONValue.object(members).encoded() }

  func has(_ name: String) -> Bool { members[name] != nil }

  /// null when it is missing.
  func value(_ name: String) -> JSONValue { members[name] ?? .null }

  /// Refuses members that nobody reads, so that a misspelt one is not lost in silence.
  func allow(only names: Set<String>) throws(Problem) {
    guard let other = members.keys.filter({ !names.contains($0) }).min() else { return }
    throw .invalid("there is no field '\(other)'", field: other)
  }

  /// A text of 1 to `bytesMax` bytes; nil when it is missing or null.
  func text(_ name: String, bytesMax: Int = 255) throws(Problem) -> String? {
    guard let value = members[name], !value.isNull else { return nil }
    guard let text = value.string else { throw .invalid("'\(name)' has to be a text", field: name) }
    guard (1...bytesMax).contains(text.utf8.count), !text.utf8.contains(0) else {
      throw .invalid("'\(name)' has to be 1 to \(bytesMax) bytes of text", field: name)
    }
    return text
  }

  func required(_ name: String, bytesMax: Int = 255) throws(Problem) -> String {
    guard let text = try text(name, bytesMax: bytesMax) else {
      throw .invalid("'\(name)' is missing", field: name)
    }
    return text
  }

  func id(_ name: String) throws(Problem) -> UUIDv7? {
    guard let text = try text(name) else { return nil }
    guard let id = UUIDv7(text) else { throw .invalid("'\(name)' is not an id", field: name) }
    return id
  }

  func flag(_ name: String) throws(Problem) -> Bool? {
    guard let value = members[name], !value.isNull else { return nil }
    guard let flag = value.bool else { throw .invalid("'\(name)' is true or false", field: name) }
    return flag
  }

  func choice(_ name: String, of words: [String]) throws(Problem) -> String? {
    guard let text = try text(name) else { return nil }
    guard words.contains(text) else {
      throw .invalid("'\(name)' is one of \(words.joined(separator: ", "))", field: name)
    }
    return text
  }

  /// A list of texts; nil when it is missing.
  func texts(_ name: String, countMax: Int, bytesMax: Int = 255) throws(Problem) -> [String]? {
    guard let value = members[name], !value.isNull else { return nil }
    guard let items = value.array, items.count <= countMax else {
      throw .invalid("'\(name)' has to be a list of at most \(countMax) texts", field: name)
    }
    var texts: [String] = []
    for item in items {
      guard let text = item.string, (1...bytesMax).contains(text.utf8.count), !text.utf8.contains(0) else {
        throw .invalid("'\(name)' holds something that is no text of 1 to \(bytesMax) bytes", field: name)
      }
      texts.append(text)
    }
    return texts
  }

  func isNull(_ name: String) -> Bool { members[name]?.isNull ?? false }
}

/// Puts answers together around documents that are JSON text already.
enum JSONDocument {
  /// `{"items":[...],"nextCursor":...}` and further members, given as JSON text.
  static func list(
    _ items: [[UInt8]], next: PageCursor?, more: [(name: String, json: String)] = []
  ) -> [UInt8] {
    var bytes = Array("{\"items\":[".utf8)
    bytes.reserveCapacity(items.reduce(64) { $0 + $1.count + 1 })
    for (index, item) in items.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes.append(contentsOf: item)
    }
    bytes.append(contentsOf: "],\"nextCursor\":\(cursor(next))".utf8)
    for (name, json) in more { bytes.append(contentsOf: ",\"\(name)\":\(json)".utf8) }
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }

  /// A cursor as JSON: base64url needs no escapes.
  static func cursor(_ cursor: PageCursor?) -> String {
    cursor.map { "\"\($0.text)\"" } ?? "null"
  }

  /// An object with members added at its end.
  static func adding(_ members: [(name: String, value: JSONValue)], to object: [UInt8]) -> [UInt8] {
    var bytes = object
    guard bytes.popLast() == UInt8(ascii: "}") else { return object }
    for (name, value) in members {
      if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
      JSONText.append(name, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      JSONText.append(value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }
}
