package import EventLoop
package import HTTPWire

/// Why a request got no answer. The two cases are the point: after the first it may be sent again, after the
/// second nobody knows whether it was done.
package enum HTTPClientError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Nothing of the request left, so nothing came of it. Of an idempotent method something may have left
  /// over a kept connection that the server had closed; sending it again is safe all the same.
  case notSent(NotSentReason)
  /// Some of the request left, and no whole answer came. What changes something must not be repeated blindly.
  case unanswered(UnansweredReason)

  package enum NotSentReason: Error, Equatable, Sendable {
    case urlMalformed(HTTPURLError)
    case requestMalformed(HTTPWriteError)
    case nameNotResolved
    /// The address policy forbids where the name leads.
    case addressRefused
    case connectFailed(SocketError)
    case tlsFailed(String)
    /// The proxy gave no tunnel; its status.
    case proxyRefused(status: Int)
    case proxyFailed
    /// As many wait for a connection as may.
    case queueFull
    case timedOut(Phase)
    /// The connection ended before the first byte.
    case connectionClosed
    case cancelled
    case clientClosed
  }

  package enum Phase: String, Equatable, Sendable {
    case waiting, resolving, connecting, securing, sending
  }

  package enum UnansweredReason: Error, Equatable, Sendable {
    case timedOut
    case connectionClosed
    case malformedAnswer(HTTPParseError)
    /// A 101 that nobody asked for, or no end of interim answers.
    case unexpectedAnswer(status: Int)
    case answerTooLarge(limitBytes: Int)
    /// The answer was a redirect, and this became of following it.
    case redirectFailed(NotSentReason)
    /// Whoever took the parts of a stream threw.
    case consumerFailed
    case cancelled
    case clientClosed
  }

  /// One word for logs and metrics.
  package var kind: String {
    switch self {
    case .notSent(let reason): "not_sent_\(reason.kind)"
    case .unanswered(let reason): "unanswered_\(reason.kind)"
    }
  }

  package var description: String {
    switch self {
    case .notSent(let reason): "the request was not sent: \(reason)"
    case .unanswered(let reason): "the request was sent and has no answer: \(reason)"
    }
  }
}

extension HTTPClientError.NotSentReason: CustomStringConvertible {
  var kind: String {
    switch self {
    case .urlMalformed: "url_malformed"
    case .requestMalformed: "request_malformed"
    case .nameNotResolved: "name_not_resolved"
    case .addressRefused: "address_refused"
    case .connectFailed: "connect_failed"
    case .tlsFailed: "tls_failed"
    case .proxyRefused, .proxyFailed: "proxy_failed"
    case .queueFull: "queue_full"
    case .timedOut: "timed_out"
    case .connectionClosed: "connection_closed"
    case .cancelled: "cancelled"
    case .clientClosed: "client_closed"
    }
  }

  package var description: String {
    switch self {
    case .urlMalformed(let error): "the URL cannot be used (\(error))"
    case .requestMalformed(let error): "the request cannot be written (\(error))"
    case .nameNotResolved: "the host's name does not resolve"
    case .addressRefused: "the host is not at a public address"
    case .connectFailed(let error): "\(error)"
    case .tlsFailed(let text): text
    case .proxyRefused(let status): "the proxy answered \(status)"
    case .proxyFailed: "the proxy gave no usable answer"
    case .queueFull: "too many requests wait for a connection"
    case .timedOut(let phase): "the time was over while \(phase.rawValue)"
    case .connectionClosed: "the connection was closed"
    case .cancelled: "it was cancelled"
    case .clientClosed: "the client was closed"
    }
  }
}

extension HTTPClientError.UnansweredReason: CustomStringConvertible {
  var kind: String {
    switch self {
    case .timedOut: "timed_out"
    case .connectionClosed: "connection_closed"
    case .malformedAnswer: "malformed_answer"
    case .unexpectedAnswer: "unexpected_answer"
    case .answerTooLarge: "answer_too_large"
    case .redirectFailed: "redirect_failed"
    case .consumerFailed: "consumer_failed"
    case .cancelled: "cancelled"
    case .clientClosed: "client_closed"
    }
  }

  package var description: String {
    switch self {
    case .timedOut: "the time was over"
    case .connectionClosed: "the connection was closed"
    case .malformedAnswer(let error): "the answer is malformed (\(error))"
    case .unexpectedAnswer(let status): "the answer \(status) was not asked for"
    case .answerTooLarge(let limit): "the answer has more than \(limit) bytes"
    case .redirectFailed(let reason): "the redirect could not be followed: \(reason)"
    case .consumerFailed: "its parts were not taken"
    case .cancelled: "it was cancelled"
    case .clientClosed: "the client was closed"
    }
  }
}
