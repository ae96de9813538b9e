package import HTTPWire

/// A request to anywhere, with what may be spent on it.
package struct HTTPClientRequest: Sendable {
  package var method: HTTPMethod
  package var url: HTTPURL
  /// Added are Host, the framing fields, traceparent, and User-Agent and Accept-Encoding unless they are set.
  package var headers: HTTPHeaders
  package var body: [UInt8]
  /// For everything together: waiting for a connection, connecting, redirects, the whole answer.
  package var timeout: Duration = .seconds(30)
  /// The longest time without a byte of the answer; nil: only `timeout` counts. For streams without an end.
  package var silenceMax: Duration?
  /// The largest body of the answer, in bytes, also of a streamed one.
  package var responseBytesMax = 8 << 20
  package var addressPolicy = AddressPolicy.any
  /// Where redirects to another origin may lead; nil: as `addressPolicy` says.
  package var redirectAddressPolicy: AddressPolicy?
  /// Redirects that are followed; the one behind them is the answer.
  package var redirectsMax = 0
  /// For long polls and streams: a connection outside of the bound that exchanges share.
  package var isLongLived = false
  /// The W3C trace context that the request belongs to.
  package var traceparent: String?

  package init(_ method: HTTPMethod = .get, _ url: HTTPURL, headers: HTTPHeaders = [:], body: [UInt8] = []) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
  }

  /// - Throws: `.notSent` for a text that is no http or https URL.
  package init(
    _ method: HTTPMethod = .get, _ url: String, headers: HTTPHeaders = [:], body: [UInt8] = []
  ) throws(HTTPClientError) {
    do {
      self.init(method, try HTTPURL(url), headers: headers, body: body)
    } catch {
      throw .notSent(.urlMalformed(error))
    }
  }

  /// A form (application/x-www-form-urlencoded).
  package mutating func setForm(_ items: [(String, String)]) {
    headers.set("Content-Type", "application/x-www-form-urlencoded")
    body = Array(URLQuery(items.map { URLQuery.Item(name: $0.0, value: $0.1) }).encoded.utf8)
  }

  /// Bytes that are JSON already.
  package mutating func setJSON(_ bytes: [UInt8]) {
    headers.set("Content-Type", "application/json")
    body = bytes
  }

  /// A form with files.
  package mutating func setMultipart(_ form: MultipartWriter) {
    headers.set("Content-Type", form.contentType)
    body = form.finish()
  }
}
