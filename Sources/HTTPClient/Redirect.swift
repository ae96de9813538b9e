import HTTPWire

/// Where a redirect leads (RFC 9110 section 15.4).
enum Redirect {
  /// What another origin may know of a request. Any other field may be a credential: platforms invent their
  /// own.
  private static let harmless = ["accept", "accept-language", "accept-encoding", "user-agent", "range"]
  private static let aboutBody = [
    "content-type", "content-encoding", "content-language", "content-location", "content-length",
  ]

  /// The request to send next; nil when the answer is to be taken as it is: no redirect, a Location that is
  /// none, a step down from https, or a body that would go to another origin.
  static func next(_ request: HTTPClientRequest, _ head: HTTPResponseHead) -> HTTPClientRequest? {
    guard [301, 302, 303, 307, 308].contains(head.status.code), let location = head.headers["location"],
      let url = try? request.url.resolve(location)
    else { return nil }
    if request.url.scheme == .https && url.scheme == .http { return nil }
    var next = request
    next.url = url
    let code = head.status.code
    if (code == 303 && request.method != .head) || ((code == 301 || code == 302) && request.method == .post) {
      next.method = .get
      next.body = []
      for name in aboutBody { next.headers.remove(name) }
    }
    guard url.origin != request.url.origin else { return next }
    guard next.body.isEmpty else { return nil }
    next.addressPolicy = next.redirectAddressPolicy ?? next.addressPolicy
    var headers = HTTPHeaders()
    for field in next.headers.fields
    where harmless.contains(where: { equalsIgnoringCase($0, field.name) }) {
      headers.add(field.name, field.value)
    }
    next.headers = headers
    return next
  }
}
