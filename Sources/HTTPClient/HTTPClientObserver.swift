package import HTTPWire

/// One request that ended. Host and method only: paths, queries and headers hold secrets.
package struct HTTPClientRecord: Sendable, Equatable {
  package var host: String
  package var method: HTTPMethod
  /// nil when there was no answer.
  package var status: HTTPStatus?
  /// nil when there was one.
  package var error: HTTPClientError?
  /// From the call to the end of the answer, waiting and redirects included.
  package var duration: Duration
}

/// Watches a client. Called on the client's loop, in the way of the requests: be quick.
package protocol HTTPClientObserver: Sendable {
  func requestStarted(host: String, method: HTTPMethod)
  func requestFinished(_ record: HTTPClientRecord)
}
