/// The body of a response that is known as a whole. Streams are the server's matter.
package enum HTTPBody: Sendable, Equatable {
  case bytes([UInt8])

  package static let empty = HTTPBody.bytes([])

  package var bytes: [UInt8] {
    switch self {
    case .bytes(let bytes): bytes
    }
  }
}

/// A response as a handler gives it.
///
/// The writer adds Date, the framing fields (Content-Length or Transfer-Encoding) and Connection.
package struct HTTPResponse: Sendable, Equatable {
  package var status: HTTPStatus
  package var headers: HTTPHeaders
  package var body: HTTPBody

  package init(status: HTTPStatus, headers: HTTPHeaders = [:], body: HTTPBody = .empty) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  package static func empty(_ status: HTTPStatus, headers: HTTPHeaders = [:]) -> HTTPResponse {
    HTTPResponse(status: status, headers: headers)
  }

  /// UTF-8 text.
  package static func text(_ status: HTTPStatus, _ text: String, headers: HTTPHeaders = [:]) -> HTTPResponse {
    bytes(status, Array(text.utf8), type: "text/plain; charset=utf-8", headers: headers)
  }

  /// Bytes that are JSON already.
  package static func json(_ status: HTTPStatus, _ bytes: [UInt8], headers: HTTPHeaders = [:]) -> HTTPResponse
  {
    self.bytes(status, bytes, type: "application/json", headers: headers)
  }

  package static func bytes(
    _ status: HTTPStatus, _ bytes: [UInt8], type: String, headers: HTTPHeaders = [:]
  ) -> HTTPResponse {
    var headers = headers
    headers.set("Content-Type", type)
    return HTTPResponse(status: status, headers: headers, body: .bytes(bytes))
  }
}

/// A response can be thrown: it ends a handler early, as its answer.
extension HTTPResponse: Error {}

/// Everything of a response that comes before its body, as a client reads it.
package struct HTTPResponseHead: Sendable, Equatable {
  package var version: HTTPVersion
  package var status: HTTPStatus
  package var headers: HTTPHeaders
  /// Whether the connection may carry another request after this response.
  package var keepAlive: Bool
}
