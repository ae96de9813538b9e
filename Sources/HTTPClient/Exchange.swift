import HTTPWire

/// One request on its way to one answer; a redirect makes another.
struct Exchange: Sendable {
  /// Bodies up to this size are copied behind their head.
  private static let smallBodyBytesMax = 16 * 1024

  let request: HTTPClientRequest
  /// Whether a redirect is followed instead of handed over.
  let mayRedirect: Bool

  init(_ request: HTTPClientRequest, mayRedirect: Bool) {
    self.request = request
    self.mayRedirect = mayRedirect
  }

  func key(_ proxy: HTTPProxy?) -> PoolKey {
    PoolKey(
      scheme: request.url.scheme, host: request.url.host, port: request.url.port, proxy: proxy,
      policy: request.addressPolicy, isLongLived: request.isLongLived)
  }

  /// The request in one or two pieces.
  func encode(_ proxy: HTTPProxy?, userAgent: String) throws(HTTPClientError) -> [[UInt8]] {
    let url = request.url
    var headers = request.headers
    if !headers.contains("user-agent") { headers.set("User-Agent", userAgent) }
    if !headers.contains("accept-encoding") { headers.set("Accept-Encoding", "identity") }
    if let traceparent = request.traceparent { headers.set("traceparent", traceparent) }
    let isForwarded = proxy != nil && url.scheme == .http
    headers.remove("proxy-authorization")
    if isForwarded, let authorization = proxy?.authorization {
      headers.set("Proxy-Authorization", authorization)
    }
    do throws(HTTPWriteError) {
      var head = try RequestWriter.encodeHead(
        request.method, isForwarded ? url.absoluteString : url.target, host: url.authority,
        headers: headers, bodyBytes: request.body.count)
      guard request.body.count <= Self.smallBodyBytesMax else { return [head, request.body] }
      head.append(contentsOf: request.body)
      return [head]
    } catch {
      throw .notSent(.requestMalformed(error))
    }
  }

  var asksToClose: Bool { request.headers.list("connection", contains: "close") }
}
