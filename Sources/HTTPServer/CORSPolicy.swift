package import HTTPWire

/// Which web origins may use the hub from a browser.
package enum OriginRule: Sendable, Equatable {
  /// Every origin. For development.
  case any
  /// Exactly these, as browsers write them: `https://inbox.example`, no path, no slash at the end.
  case list(Set<String>)

  /// `null`, which sandboxed pages and files send, is in no list.
  package func allows(_ origin: String) -> Bool {
    switch self {
    case .any: true
    case .list(let origins): origins.contains(origin)
    }
  }

  /// Whether whoever sent a request may open a connection. Browsers let every page do so, and name it in
  /// Origin: a page may when it is allowed, or the server's own. A request without Origin comes from a
  /// program, which no other site can make act for a user.
  package func allowsSender(of head: HTTPRequestHead) -> Bool {
    let origins = head.headers.all("origin")
    guard let origin = origins.first else { return true }
    return origins.count == 1 && (allows(origin) || Self.isOwn(origin, head))
  }

  private static func isOwn(_ origin: String, _ head: HTTPRequestHead) -> Bool {
    guard !head.authority.isEmpty else { return false }
    return ["http://", "https://"].contains { equalsIgnoringCase(origin, $0 + head.authority) }
  }
}

/// Cross-origin resource sharing (WHATWG Fetch section 3.2) as a pure function of a request head.
///
/// An allowed origin is always named in full: a `*` is not valid together with credentials.
package struct CORSPolicy: Sendable, Equatable {
  package var origins: OriginRule
  /// Whether browsers may send cookies and read the answer.
  package var allowsCredentials = true
  package var methods: [HTTPMethod] = [.get, .head, .post, .put, .patch, .delete]
  package var requestHeaders = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match"]
  package var exposedHeaders = ["ETag", "Location", "Retry-After", "X-Request-Id"]
  /// How long a browser may remember a preflight.
  package var maxAgeSeconds = 600

  package init(origins: OriginRule) {
    self.origins = origins
  }

  /// The fields to add to an ordinary answer. `Vary: Origin` is always among them, because the answer
  /// would have been another one for another origin.
  package func headers(for head: HTTPRequestHead) -> HTTPHeaders {
    var headers = originHeaders(head)
    if headers.contains("access-control-allow-origin") && !exposedHeaders.isEmpty {
      headers.add("Access-Control-Expose-Headers", exposedHeaders.joined(separator: ", "))
    }
    return headers
  }

  /// The answer to a preflight, nil when the request is none: 204 for an allowed origin, 403 without
  /// the permission for others.
  package func preflight(for head: HTTPRequestHead) -> HTTPResponse? {
    guard head.method == .options, head.headers.contains("origin"),
      head.headers.contains("access-control-request-method")
    else { return nil }
    var headers = originHeaders(head)
    headers.add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
    guard headers.contains("access-control-allow-origin") else {
      return .empty(.forbidden, headers: headers)
    }
    headers.add("Access-Control-Allow-Methods", methods.map(\.name).joined(separator: ", "))
    headers.add("Access-Control-Allow-Headers", requestHeaders.joined(separator: ", "))
    headers.add("Access-Control-Max-Age", String(maxAgeSeconds))
    return .empty(.noContent, headers: headers)
  }

  private func originHeaders(_ head: HTTPRequestHead) -> HTTPHeaders {
    var headers: HTTPHeaders = ["Vary": "Origin"]
    let sent = head.headers.all("origin")
    guard sent.count == 1, let origin = sent.first, origins.allows(origin) else { return headers }
    headers.add("Access-Control-Allow-Origin", origin)
    if allowsCredentials { headers.add("Access-Control-Allow-Credentials", "true") }
    return headers
  }
}
