package import EventLoop
import Glibc
package import HTTPWire

extension HTTPServer {
  /// Limits and time-outs of a server. Each loop has a server, so counts are per loop.
  package struct Configuration: Sendable {
    package var limits = HTTPLimits()
    /// The body limit of a request in bytes, known from its head alone, so that a body that is too
    /// large is refused before it is sent.
    package var bodyBytesMax: @Sendable (HTTPRequestHead) -> Int
    /// The route of a request as a label for the observer: a pattern, never the path itself.
    package var routeLabel: @Sendable (HTTPRequestHead) -> String?
    /// Fields for an answer that the server gives by itself to a request whose head it has read, so that the
    /// page which sent it can read the answer.
    package var refusalHeaders: @Sendable (HTTPRequestHead) -> HTTPHeaders = { _ in HTTPHeaders() }
    /// TLS for every connection; nil for plain ones.
    package var tls: TLSContext?

    /// From the first byte of a head (on a new connection from its start) to its last.
    package var headDeadline = Duration.seconds(10)
    /// For a body: this long, and a second more for each `bodyBytesPerSecondMin` received.
    package var bodyDeadline = Duration.seconds(30)
    package var bodyBytesPerSecondMin = 8 * 1024
    /// Between two requests.
    package var idleMax = Duration.seconds(75)
    /// For a client that does not take what it asked for.
    package var writeStallMax = Duration.seconds(30)
    /// How long bytes are still read and thrown away after the last answer, so that the client can
    /// read it: closing over unread bytes would destroy it (RFC 9112 section 9.6).
    package var lingerMax = Duration.seconds(5)

    /// Connections beyond it get 503.
    package var connectionsMax = 20_000
    /// Connections beyond `connectionsMax` that are told so; any more are closed without a word.
    package var refusalsMax = 256
    /// Bodies held in memory at once by all connections of the loop; a request beyond it gets 503.
    package var bufferedBodyBytesMax = 256 * 1024 * 1024
    /// What Retry-After says in a 503.
    package var retryAfterSeconds = 2
    /// Requests answered in a row on one connection before the others get their turn.
    package var requestsPerTurnMax = 32
    /// Seconds since 1970, for the Date field.
    package var unixSeconds: @Sendable () -> Int = { time(nil) }

    package init(
      bodyBytesMax: @escaping @Sendable (HTTPRequestHead) -> Int = { _ in HTTPLimits().bodyBytesMax },
      routeLabel: @escaping @Sendable (HTTPRequestHead) -> String? = { _ in nil }
    ) {
      self.bodyBytesMax = bodyBytesMax
      self.routeLabel = routeLabel
    }
  }
}

/// One finished request, for metrics and the access log.
package struct HTTPExchangeRecord: Sendable {
  /// nil when not even the head could be read.
  package var method: HTTPMethod?
  /// From `Configuration.routeLabel`.
  package var route: String?
  package var status: HTTPStatus
  /// From the complete head to the queued answer.
  package var duration: Duration
  package var requestBodyBytes: Int
  package var responseBodyBytes: Int
}

/// Watches a server. Called on the server's loop, in the way of the requests: be quick.
package protocol HTTPServerObserver: Sendable {
  func connectionOpened()
  func connectionClosed()
  func requestFinished(_ record: HTTPExchangeRecord)
}
