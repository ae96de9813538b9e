import EventLoop

/// One call of a client, from its start to its end: its deadline, and how to end it early.
final class HTTPCall {
  enum Interruption { case cancelled, closed }

  let request: HTTPClientRequest
  /// nil: the answer is collected.
  let handler: (@Sendable (HTTPClientStreamEvent) async throws -> Void)?
  var deadline = LoopInstant(nanoseconds: 0)
  private(set) var interruption: Interruption?
  /// Ends what the call waits for just now.
  var onInterrupt: (() -> Void)?
  /// What the handler threw.
  var consumerError: (any Error)?

  init(
    _ request: HTTPClientRequest, handler: (@Sendable (HTTPClientStreamEvent) async throws -> Void)?
  ) {
    self.request = request
    self.handler = handler
  }

  func interrupt(_ reason: Interruption) {
    guard interruption == nil else { return }
    interruption = reason
    onInterrupt?()
  }

  /// - Throws: when the call was interrupted.
  func check() throws(HTTPClientError) {
    switch interruption {
    case .cancelled: throw .notSent(.cancelled)
    case .closed: throw .notSent(.clientClosed)
    case nil: return
    }
  }
}
