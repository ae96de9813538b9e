package import Bytes
package import HTTPWire
package import JSON
package import Security

/// A header field as it came.
package struct WebhookHeader: Sendable, Equatable {
  package let name: String
  package let value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// What a platform sees of a request.
package struct WebhookRequest: Sendable {
  /// Upper case, such as `POST`.
  package var method: String
  /// As the platform knows it, without the query: some sign it.
  package var url: String
  /// What the platform put behind the account's webhook URL: empty, or with a leading slash.
  package var subpath: String
  /// Still encoded, without the question mark.
  package var query: String
  package var headers: [WebhookHeader]
  /// The bytes as they came.
  package var body: [UInt8]

  package init(
    method: String = "POST", url: String = "", subpath: String = "", query: String = "",
    headers: [WebhookHeader], body: [UInt8]
  ) {
    self.method = method
    self.url = url
    self.subpath = subpath
    self.query = query
    self.headers = headers
    self.body = body
  }

  /// - Parameter baseURL: how the platform reaches the hub, without a slash at the end.
  package init(_ request: HTTPRequest, baseURL: String, subpath: String) {
    self.init(
      method: request.method.name, url: baseURL + request.path, subpath: subpath,
      query: request.head.rawQuery,
      headers: request.headers.fields.map { WebhookHeader($0.name, $0.value) }, body: request.body)
  }

  /// The URL with its query, as it was requested.
  package var fullURL: String { query.isEmpty ? url : "\(url)?\(query)" }

  /// The value of a query parameter, decoded; nil when it is missing or the query is not readable.
  package func parameter(_ name: String) -> String? {
    (try? URLQuery(query))?[name]
  }

  /// What is stored and read: the body, or the query of a request that has none by its method.
  package var content: [UInt8] { method == "GET" ? Array(query.utf8) : body }

  package func adding(_ more: WebhookHeader...) -> WebhookRequest {
    var request = self
    request.headers += more
    return request
  }

  /// The value of a header; the case of its name does not count. nil when it is missing or there
  /// several times: no platform sends one twice, and what is checked must be what is read.
  package func header(_ name: String) -> String? {
    var found: String?
    for header in headers where equalsIgnoringCase(header.name, name) {
      guard found == nil else { return nil }
      found = header.value
    }
    return found
  }
}

/// The headers that stay with a delivery: none that authenticates it.
package struct KeptHeaders: Sendable, Equatable {
  package private(set) var fields: [WebhookHeader]

  package init(_ fields: [WebhookHeader] = []) {
    self.fields = fields
  }

  /// The headers of a request that are kept for a platform.
  package init(of request: WebhookRequest, platform: any Platform) {
    fields = request.headers.filter { header in
      let name = header.name.lowercased()
      return Self.general.contains(name) || platform.keptHeaders.contains(name)
    }
    guard request.method == "GET" else { return }
    fields = fields.filter { $0.name.lowercased() != "content-type" }
    fields.append(WebhookHeader("Content-Type", "application/x-www-form-urlencoded"))
  }

  /// What platforms say about a delivery, never what authenticates it.
  private static let general: Set<String> = [
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp",
    "content-encoding", "traceparent",
  ]

  /// The value of a header by its lower-case name; of several the last.
  package subscript(name: String) -> String? {
    fields.last { $0.name.lowercased() == name }?.value
  }

  /// By lower-case name; of several values of a name the last.
  package var json: JSONValue {
    .object(
      Dictionary(
        fields.map { ($0.name.lowercased(), JSONValue.string($0.value)) }, uniquingKeysWith: { $1 }))
  }
}

/// What a request is checked against.
package struct WebhookContext: Sendable {
  package let secrets: AccountSecrets
  package let now: Timestamp
  /// Public keys that were fetched, by the URL they came from.
  package let keySets: [String: [JWTKey]]

  package init(secrets: AccountSecrets, now: Timestamp, keySets: [String: [JWTKey]] = [:]) {
    self.secrets = secrets
    self.now = now
    self.keySets = keySets
  }
}

/// A verified request as it is read, at once and again in a replay.
package struct WebhookDelivery: Sendable {
  /// `WebhookRequest.content`.
  package let body: [UInt8]
  package let headers: KeptHeaders
  /// Stands in where the platform gives no time.
  package let receivedAt: Timestamp
  /// For content that is encrypted.
  package let secrets: AccountSecrets

  package init(
    body: [UInt8], headers: KeptHeaders = KeptHeaders(), receivedAt: Timestamp,
    secrets: AccountSecrets = AccountSecrets()
  ) {
    self.body = body
    self.headers = headers
    self.receivedAt = receivedAt
    self.secrets = secrets
  }
}

/// An answer that a platform expects.
package struct WebhookAnswer: Sendable, Equatable {
  package let status: Int
  package let headers: [WebhookHeader]
  package let body: [UInt8]

  package init(status: Int = 200, headers: [WebhookHeader] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// 200 and nothing to say.
  package static let ok = WebhookAnswer()

  package static func json(_ value: JSONValue, status: Int = 200) -> WebhookAnswer {
    WebhookAnswer(
      status: status, headers: [WebhookHeader("Content-Type", "application/json")], body: value.encoded())
  }

  package static func text(_ text: String, status: Int = 200) -> WebhookAnswer {
    WebhookAnswer(
      status: status, headers: [WebhookHeader("Content-Type", "text/plain; charset=utf-8")],
      body: Array(text.utf8))
  }

  /// Sent as `text/xml`.
  package static func xml(_ text: String) -> WebhookAnswer {
    WebhookAnswer(headers: [WebhookHeader("Content-Type", "text/xml")], body: Array(text.utf8))
  }
}

/// What is to be done with a request.
package enum WebhookVerdict: Sendable, Equatable {
  /// A handshake: answered, and nothing stored.
  case answer(WebhookAnswer)
  /// The platform's `refusal`, or 401. The reason is for the operator's log, not for the sender.
  case refused(reason: String)
  /// Store it, and give this answer after the commit.
  case accepted(WebhookAnswer)
  /// It is signed by a key that is not among the context's. Fetch the set of this URL (a JSON Web Key
  /// Set, RFC 7517, certificates by key id, or an OpenID configuration that names a set) and ask again; if
  /// the key is still unknown, it is refused.
  case needsKeys(url: String)
}

extension HTTPResponse {
  package init(_ answer: WebhookAnswer) {
    var headers = HTTPHeaders()
    for header in answer.headers { headers.add(header.name, header.value) }
    self.init(status: HTTPStatus(answer.status), headers: headers, body: .bytes(answer.body))
  }
}
