package import HTTPWire
package import JSON
import Security

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
  package let method: String
  package let path: String
  /// Still encoded, without the question mark.
  package let query: String
  package let headers: [WebhookHeader]
  /// The bytes as they came.
  package let body: [UInt8]

  package init(
    method: String = "POST", path: String = "/", query: String = "", headers: [WebhookHeader],
    body: [UInt8]
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
  }

  package init(_ request: HTTPRequest) {
    self.init(
      method: request.method.name, path: request.path, query: request.head.rawQuery,
      headers: request.headers.fields.map { WebhookHeader($0.name, $0.value) }, body: request.body)
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
  package let fields: [WebhookHeader]

  package init(_ fields: [WebhookHeader] = []) {
    self.fields = fields
  }

  /// By lower-case name; of several values of a name the last.
  package var json: JSONValue {
    .object(
      Dictionary(
        fields.map { ($0.name.lowercased(), JSONValue.string($0.value)) }, uniquingKeysWith: { $1 }))
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
}

/// What is to be done with a request.
package enum WebhookVerdict: Sendable, Equatable {
  /// A handshake: answered, and nothing stored.
  case answer(WebhookAnswer)
  /// 401. The reason is for the operator's log, not for the sender.
  case refused(reason: String)
  /// Store it, and give this answer after the commit.
  case accepted(deliveryKey: String?, answer: WebhookAnswer)
}

extension HTTPResponse {
  package init(_ answer: WebhookAnswer) {
    var headers = HTTPHeaders()
    for header in answer.headers { headers.add(header.name, header.value) }
    self.init(status: HTTPStatus(answer.status), headers: headers, body: .bytes(answer.body))
  }
}
