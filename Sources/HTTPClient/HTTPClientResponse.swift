package import HTTPWire

/// A response that was read whole; of a streamed one the body is empty.
package struct HTTPClientResponse: Sendable, Equatable {
  package var head: HTTPResponseHead
  package var body: [UInt8]
  package var trailers: HTTPHeaders
  /// Codes of the 1xx answers that came before it.
  package var informational: [Int]

  package var status: HTTPStatus { head.status }
  package var headers: HTTPHeaders { head.headers }
  package var text: String { String(decoding: body, as: UTF8.self) }
}

/// A streamed response, piece by piece.
package enum HTTPClientStreamEvent: Sendable, Equatable {
  /// First and once.
  case head(HTTPResponseHead)
  /// Some of the decoded body, never empty.
  case part([UInt8])
}
