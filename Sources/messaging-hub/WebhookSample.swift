import JSON

/// A sample request of a platform, and others like it with ids of their own. Pure.
struct WebhookSample: Sendable, Equatable {
  /// Sent besides those that the signature makes.
  let headers: [(name: String, value: String)]
  let body: JSONValue

  /// Names of members that number a delivery or a message: raised by the variation's number.
  private static let numbers: Set<String> = ["update_id", "message_id"]

  init(headers: [(name: String, value: String)], body: JSONValue) {
    self.headers = headers
    self.body = body
  }

  /// nil unless the text is a sample with a request.
  init?(parsing text: String) {
    guard let sample = try? JSONValue(parsing: Array(text.utf8)), let body = sample["request"]?["body"] else {
      return nil
    }
    let fields = sample["request"]?["headers"]?.object ?? [:]
    headers = fields.sorted { $0.key < $1.key }.compactMap { name, value in
      value.string.map { (name: name, value: $0) }
    }
    self.body = body
  }

  static func == (left: WebhookSample, right: WebhookSample) -> Bool {
    left.body == right.body && left.headers.map(\.name) == right.headers.map(\.name)
      && left.headers.map(\.value) == right.headers.map(\.value)
  }

  /// The same message under another id; number 0 is the sample itself.
  func varied(_ number: Int) -> WebhookSample {
    guard number > 0 else { return self }
    return WebhookSample(headers: headers, body: Self.varied(body, number))
  }

  private static func varied(_ value: JSONValue, _ number: Int) -> JSONValue {
    switch value {
    case .array(let items): return .array(items.map { varied($0, number) })
    case .object(let members):
      var changed: [String: JSONValue] = [:]
      for (name, member) in members { changed[name] = varied(name, member, number) }
      return .object(changed)
    default: return value
    }
  }

  private static func varied(_ name: String, _ value: JSONValue, _ number: Int) -> JSONValue {
    if numbers.contains(name), let base = value.integer { return .integer(base + Int64(number)) }
    // A message of a platform whose ids are texts.
    if name == "message", var members = value.object, let id = members["id"]?.string {
      members["id"] = .string("\(id)-\(number)")
      return .object(members)
    }
    return varied(value, number)
  }
}
