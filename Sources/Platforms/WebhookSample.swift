import Bytes
import HTTPWire
package import JSON

/// A sample under Webhooks/: a request of a platform as it came, and others like it with ids of their
/// own. Pure.
///
/// `request` has one of `body` (JSON), `text` (any other text), `base64` (bytes), `form` (an object of
/// texts, or a list of pairs) and `multipart` (a list of objects with `name`, `text` or `base64`,
/// `filename`, `contentType`), and where they matter `method`, `subpath`, `query` and `headers`.
package struct WebhookSample: Sendable, Equatable {
  enum Content: Sendable, Equatable {
    case json(JSONValue)
    case bytes([UInt8])
    case form([URLQuery.Item])
    case multipart([MultipartPart])
  }

  struct MultipartPart: Sendable, Equatable {
    let name: String
    let filename: String?
    let contentType: String?
    let content: [UInt8]
  }

  /// Between the parts of a multipart body.
  private static let boundary = "hub-sample-5f2c1d7b"

  package let method: String
  package let subpath: String
  package let query: String
  private let fields: [WebhookHeader]
  private let content: Content
  /// What reading it needs, of credentials.
  package let credentials: AccountSecrets

  /// nil unless the text is a sample with a request.
  package init?(parsing text: String) {
    guard let sample = try? JSONValue(parsing: text.utf8) else { return nil }
    self.init(sample)
  }

  package init?(_ sample: JSONValue) {
    guard let request = sample["request"], let content = Self.content(request) else { return nil }
    method = request["method"]?.string ?? "POST"
    subpath = request["subpath"]?.string ?? ""
    query = request["query"]?.string ?? ""
    fields = (request["headers"]?.object ?? [:]).sorted { $0.key < $1.key }.compactMap { name, value in
      value.string.map { WebhookHeader(name, $0) }
    }
    credentials = sample["credentials"].flatMap { AccountSecrets(json: $0) } ?? AccountSecrets()
    self.content = content
  }

  private init(_ other: WebhookSample, content: Content, query: String, fields: [WebhookHeader]? = nil) {
    method = other.method
    subpath = other.subpath
    self.query = query
    self.fields = fields ?? other.fields
    credentials = other.credentials
    self.content = content
  }

  // MARK: The request

  /// Without a signature.
  /// - Parameter url: the account's webhook URL.
  package func request(url: String) -> WebhookRequest {
    WebhookRequest(
      method: method, url: url + subpath, subpath: subpath, query: query, headers: headers, body: body)
  }

  private var headers: [WebhookHeader] {
    guard let type = contentType, !fields.contains(where: { $0.name.lowercased() == "content-type" }) else {
      return fields
    }
    return fields + [WebhookHeader("Content-Type", type)]
  }

  /// The same request with other bytes for its body, whatever its headers say of them.
  package func replacing(body: [UInt8]) -> WebhookSample {
    WebhookSample(self, content: .bytes(body), query: query, fields: headers)
  }

  private var contentType: String? {
    guard method != "GET" else { return nil }
    switch content {
    case .json: return "application/json"
    case .bytes: return nil
    case .form: return "application/x-www-form-urlencoded"
    case .multipart: return "multipart/form-data; boundary=\(Self.boundary)"
    }
  }

  package var body: [UInt8] {
    switch content {
    case .json(let value): return value.encoded()
    case .bytes(let bytes): return bytes
    case .form(let items): return Array(URLQuery(items).encoded.utf8)
    case .multipart(let parts):
      var bytes: [UInt8] = []
      for part in parts {
        var head = "--\(Self.boundary)\r\nContent-Disposition: form-data; name=\"\(part.name)\""
        if let filename = part.filename { head += "; filename=\"\(filename)\"" }
        if let type = part.contentType { head += "\r\nContent-Type: \(type)" }
        bytes += Array("\(head)\r\n\r\n".utf8) + part.content + [13, 10]
      }
      return bytes + Array("--\(Self.boundary)--\r\n".utf8)
    }
  }

  /// The document of a sample that is JSON.
  package var document: JSONValue? { if case .json(let value) = content { value } else { nil } }

  // MARK: Reading

  private static func content(_ request: JSONValue) -> Content? {
    if let body = request["body"] { return .json(body) }
    if let text = request["text"]?.string { return .bytes(Array(text.utf8)) }
    if let text = request["base64"]?.string { return Base64.decode(text).map { .bytes($0) } }
    if let form = request["form"] { return items(form).map { .form($0) } }
    if let parts = request["multipart"]?.array {
      let read = parts.compactMap { part($0) }
      return read.count == parts.count ? .multipart(read) : nil
    }
    return request["method"]?.string == "GET" ? .bytes([]) : nil
  }

  private static func items(_ form: JSONValue) -> [URLQuery.Item]? {
    if let members = form.object {
      return members.sorted { $0.key < $1.key }.compactMap { name, value in
        value.string.map { URLQuery.Item(name: name, value: $0) }
      }
    }
    return form.array?.compactMap { pair in
      guard let name = pair[0]?.string, let value = pair[1]?.string else { return nil }
      return URLQuery.Item(name: name, value: value)
    }
  }

  private static func part(_ value: JSONValue) -> MultipartPart? {
    guard let name = value["name"]?.string,
      let content = value["text"]?.string.map({ Array($0.utf8) })
        ?? value["base64"]?.string.flatMap({ Base64.decode($0) })
    else { return nil }
    return MultipartPart(
      name: name, filename: value["filename"]?.string, contentType: value["contentType"]?.string,
      content: content)
  }

  // MARK: Variations

  /// Names of members that number a delivery or a message: raised by the variation's number.
  private static let numbers: Set<String> = ["update_id", "message_id"]
  /// Names of members and fields that hold the id of a message as text.
  private static let ids: Set<String> = [
    "mid", "message_token", "MessageSid", "SmsMessageSid", "event_id", "webhookEventId", "client_msg_id",
    "MsgId", "message_uuid", "messageId", "MessageID", "Message-Id", "msg_id",
  ]

  /// The same message under another id; number 0 is the sample itself.
  package func varied(_ number: Int) -> WebhookSample {
    guard number > 0 else { return self }
    let content: Content
    switch self.content {
    case .json(let value): content = .json(Self.varied(value, number))
    case .form(let items): content = .form(items.map { Self.varied($0, number) })
    case .bytes, .multipart: content = self.content
    }
    let items = ((try? URLQuery(query))?.items ?? []).map { Self.varied($0, number) }
    return WebhookSample(self, content: content, query: query.isEmpty ? "" : URLQuery(items).encoded)
  }

  private static func varied(_ item: URLQuery.Item, _ number: Int) -> URLQuery.Item {
    guard ids.contains(item.name) else { return item }
    return URLQuery.Item(name: item.name, value: "\(item.value)-\(number)")
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
    if ids.contains(name) {
      if let base = value.integer { return .integer(base + Int64(number)) }
      if let text = value.string { return .string("\(text)-\(number)") }
    }
    // A message of a platform whose ids are texts.
    if name == "message" || name == "messages" { return numbered(value, number) }
    return varied(value, number)
  }

  private static func numbered(_ value: JSONValue, _ number: Int) -> JSONValue {
    if let messages = value.array { return .array(messages.map { numbered($0, number) }) }
    guard var members = value.object, let id = members["id"]?.string else { return varied(value, number) }
    members["id"] = .string("\(id)-\(number)")
    return .object(members)
  }
}
