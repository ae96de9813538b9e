import Bytes
import JSON
import Messaging

extension Optional {
  /// `??` whose other side may throw this module's error.
  func or(
    _ other: @autoclosure () throws(NormaliseError) -> Wrapped?
  ) throws(NormaliseError) -> Wrapped? {
    if let self { return self }
    return try other()
  }
}

/// Reads the members of a JSON object that a platform sent, and names the place when one is wrong.
///
/// Absent and null are the same. Members that are not asked for do not matter: platforms add fields.
struct JSONReader {
  let members: [String: JSONValue]
  private let trail: Trail

  /// Where this object stands in the document.
  var path: String { trail.path }

  init(_ members: [String: JSONValue], path: String = "") {
    self.init(members, .path(path))
  }

  private init(_ members: [String: JSONValue], _ trail: Trail) {
    self.members = members
    self.trail = trail
  }

  /// Reads a whole body. U+0000 becomes U+FFFD everywhere: the store cannot hold it, not even escaped.
  init(body: [UInt8]) throws(NormaliseError) {
    let value = try Self.document(body)
    guard let members = value.object else { throw .wrongType(path: "", expected: "a JSON object") }
    self.init(members)
  }

  private static func document(_ body: [UInt8]) throws(NormaliseError) -> JSONValue {
    guard let value = try? JSONValue(parsing: body) else { throw .notJSON }
    return JSONValue.mayHoldNUL(body) ? withoutNull(value) : value
  }

  /// U+0000 becomes U+FFFD in all texts and names.
  static func withoutNull(_ value: JSONValue) -> JSONValue {
    switch value {
    case .string(let text): .string(MessageText.sanitised(text, bytesMax: .max))
    case .array(let elements): .array(elements.map { withoutNull($0) })
    case .object(let members):
      .object(
        Dictionary(
          members.map { (MessageText.sanitised($0.key, bytesMax: .max), withoutNull($0.value)) },
          uniquingKeysWith: { first, _ in first }))
    default: value
    }
  }

  subscript(name: String) -> JSONValue? {
    guard let value = members[name], !value.isNull else { return nil }
    return value
  }

  func has(_ name: String) -> Bool { self[name] != nil }

  func place(_ name: String) -> String { Trail.member(name, of: trail).path }

  // MARK: Values that may be missing

  func text(_ name: String) throws(NormaliseError) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.string else { throw .wrongType(path: place(name), expected: "a string") }
    return text
  }

  /// A string or a whole number, as text. Ids stay exact. An empty one names nothing and counts as missing:
  /// forms have fields without a value, and WhatsApp leaves a hidden number empty.
  func id(_ name: String) throws(NormaliseError) -> String? {
    guard let value = self[name] else { return nil }
    guard let id = value.identifier else { throw .wrongType(path: place(name), expected: "an id") }
    guard id.utf8.count <= MessageText.nameBytesMax else {
      throw .wrongValue(path: place(name), expected: "an id of at most \(MessageText.nameBytesMax) bytes")
    }
    return id.isEmpty ? nil : id
  }

  func integer(_ name: String) throws(NormaliseError) -> Int64? {
    guard let value = self[name] else { return nil }
    guard let number = value.integer else {
      throw .wrongType(path: place(name), expected: "a whole number")
    }
    return number
  }

  func number(_ name: String) throws(NormaliseError) -> Double? {
    guard let value = self[name] else { return nil }
    guard let number = value.double, number.isFinite else {
      throw .wrongType(path: place(name), expected: "a number")
    }
    return number
  }

  func flag(_ name: String) throws(NormaliseError) -> Bool? {
    guard let value = self[name] else { return nil }
    guard let flag = value.bool else { throw .wrongType(path: place(name), expected: "true or false") }
    return flag
  }

  func object(_ name: String) throws(NormaliseError) -> JSONReader? {
    guard let value = self[name] else { return nil }
    guard let members = value.object else {
      throw .wrongType(path: place(name), expected: "an object")
    }
    return JSONReader(members, .member(name, of: trail))
  }

  func objects(_ name: String, max limit: Int = 1_000) throws(NormaliseError) -> [JSONReader]? {
    guard let value = self[name] else { return nil }
    guard let elements = value.array else {
      throw .wrongType(path: place(name), expected: "an array")
    }
    guard elements.count <= limit else { throw .tooMany(path: place(name), limit: limit) }
    let list = Trail.member(name, of: trail)
    var readers: [JSONReader] = []
    for (index, element) in elements.enumerated() {
      let trail = Trail.element(index, of: list)
      guard let members = element.object else { throw .wrongType(path: trail.path, expected: "an object") }
      readers.append(JSONReader(members, trail))
    }
    return readers
  }

  /// Strings or whole numbers.
  func ids(_ name: String, max limit: Int = 1_000) throws(NormaliseError) -> [String]? {
    guard let value = self[name] else { return nil }
    guard let elements = value.array else {
      throw .wrongType(path: place(name), expected: "an array")
    }
    guard elements.count <= limit else { throw .tooMany(path: place(name), limit: limit) }
    var ids: [String] = []
    for (index, element) in elements.enumerated() {
      guard let id = element.identifier, !id.isEmpty, id.utf8.count <= MessageText.nameBytesMax else {
        throw .wrongType(path: "\(place(name))[\(index)]", expected: "an id")
      }
      ids.append(id)
    }
    return ids
  }

  // MARK: Values that must be there

  func required<Value>(_ name: String, _ value: Value?) throws(NormaliseError) -> Value {
    guard let value else { throw .missing(path: place(name)) }
    return value
  }

  func requiredID(_ name: String) throws(NormaliseError) -> String { try required(name, id(name)) }

  func requiredObject(_ name: String) throws(NormaliseError) -> JSONReader {
    try required(name, object(name))
  }

  /// The members that are in none of these, nil when nothing is left.
  func rest(without names: Set<String>) -> [String: JSONValue] {
    members.filter { !names.contains($0.key) && !$0.value.isNull }
  }
}

/// The way to an object, from the top of its document: written out only when somebody asks for it.
private indirect enum Trail {
  case path(String)
  case member(String, of: Trail)
  case element(Int, of: Trail)

  var path: String {
    switch self {
    case .path(let path): return path
    case .member(let name, let holder):
      let path = holder.path
      return path.isEmpty ? name : "\(path).\(name)"
    case .element(let index, let list): return "\(list.path)[\(index)]"
    }
  }
}
