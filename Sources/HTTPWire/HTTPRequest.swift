/// The protocol versions that are served (RFC 9110 section 2.5).
package enum HTTPVersion: String, Sendable {
  case http10 = "HTTP/1.0"
  case http11 = "HTTP/1.1"
}

/// Everything of a request that comes before its body (RFC 9112 sections 3 and 5).
package struct HTTPRequestHead: Sendable, Equatable {
  package var method: HTTPMethod
  /// The request target as it came: `/path?query`, `http://host/path?query` or `*`.
  package var target: String
  /// The path of the target as it came, `*` for the asterisk form. Split this one into segments:
  /// in `path` an encoded slash looks like a separator.
  package var rawPath: String
  /// The path, percent-decoded once.
  package var path: String
  /// What stands behind the first `?`, still encoded; empty without one.
  package var rawQuery: String
  package var version: HTTPVersion
  package var headers: HTTPHeaders
  /// Host and port the client asked for: from an absolute target, or else from the Host field
  /// (RFC 9112 section 3.2.2). Empty only for HTTP/1.0 without a Host.
  package var authority: String
  /// Whether the client wants to use the connection again (RFC 9112 section 9.3).
  package var keepAlive: Bool
  /// The client waits for `100 Continue` before it sends its body (RFC 9110 section 10.1.1).
  package var expectsContinue: Bool

  /// A head by hand, for tests and for values that did not come over a wire.
  ///
  /// - Precondition: the path of `target` decodes.
  package init(
    method: HTTPMethod = .get, target: String, version: HTTPVersion = .http11, headers: HTTPHeaders = [:]
  ) {
    self.method = method
    self.target = target
    let mark = target.firstIndex(of: "?") ?? target.endIndex
    rawPath = String(target[..<mark])
    rawQuery = String(target[mark...].dropFirst())
    guard let path = PercentEncoding.decode(rawPath) else { preconditionFailure("target does not decode") }
    self.path = path
    self.version = version
    self.headers = headers
    authority = headers["host"] ?? ""
    keepAlive = version == .http11
    expectsContinue = false
  }

  init(
    method: HTTPMethod, target: RequestTarget, version: HTTPVersion, headers: HTTPHeaders,
    authority: String, keepAlive: Bool, expectsContinue: Bool
  ) {
    self.method = method
    self.target = target.raw
    rawPath = target.rawPath
    path = target.path
    rawQuery = target.rawQuery
    self.version = version
    self.headers = headers
    self.authority = authority
    self.keepAlive = keepAlive
    self.expectsContinue = expectsContinue
  }

  /// The query read into pairs. Read on demand, because most requests have none.
  ///
  /// - Throws: `.queryMalformed`, `.queryItemsTooMany`; answer with the error's status.
  package func query() throws(HTTPParseError) -> URLQuery { try URLQuery(rawQuery) }
}

/// A whole request as a handler sees it.
package struct HTTPRequest: Sendable, Equatable {
  package var head: HTTPRequestHead
  /// The decoded body; empty when there was none.
  package var body: [UInt8]
  /// The other end of the connection, without its port; a proxy when one stands in front.
  package var peer: String
  /// Whether it came over TLS to this process.
  package var isSecure: Bool

  package init(head: HTTPRequestHead, body: [UInt8] = [], peer: String = "", isSecure: Bool = false) {
    self.head = head
    self.body = body
    self.peer = peer
    self.isSecure = isSecure
  }

  package var method: HTTPMethod { head.method }
  package var path: String { head.path }
  package var headers: HTTPHeaders { head.headers }
}
