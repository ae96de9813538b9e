package import Bytes
package import EventLoop
package import HTTPWire

/// What a handler does with a request. It runs on the connection's loop, inside the connection's
/// task: the next request of the same connection waits for it.
package typealias HTTPHandler = @Sendable (HTTPRequest) async -> HTTPAnswer

/// The answer to one request.
package enum HTTPAnswer: Sendable {
  case response(HTTPResponse)
  /// A head, and a body that is written in parts while the closure runs. When the closure throws, or does not
  /// write as much as Content-Length says, the connection is cut, so that the client sees that the body is
  /// not complete. Not run for HEAD.
  case stream(HTTPResponse, @Sendable (HTTPBodyStream) async throws -> Void)
  /// A 101 head, after which the connection speaks another protocol. The closure gets the socket and
  /// the bytes that came behind the request; the socket closes when it returns.
  case upgrade(HTTPResponse, @Sendable (Socket, ByteBuffer) async -> Void)
}

/// Where a streamed body is written. Used on the connection's loop, by one writer.
package final class HTTPBodyStream: @unchecked Sendable {
  // Safe because: confined to the socket's loop, which `Socket.write` asserts.
  private let output: PacedOutput
  private let framing: ResponseWriter.StreamFraming
  /// Given to `write` so far, without the framing.
  package private(set) var bytes = 0

  init(_ output: PacedOutput, framing: ResponseWriter.StreamFraming) {
    self.output = output
    self.framing = framing
  }

  /// Sends a part. Suspends while the client is behind.
  ///
  /// - Throws: `.timedOut` when the client takes nothing for the write stall time, or why the
  ///   connection closed.
  package func write(_ bytes: [UInt8]) async throws(SocketError) {
    self.bytes += bytes.count
    switch framing {
    case .none: return
    case .chunked: try await output.write(ResponseWriter.chunk(bytes))
    case .length(let length):
      // More would be taken for the next response.
      guard self.bytes <= length else { throw .closed }
      try await output.write(bytes)
    case .untilClose: try await output.write(bytes)
    }
  }

  /// Whether everything was written that was announced.
  var isComplete: Bool {
    if case .length(let length) = framing { bytes == length } else { true }
  }
}

/// Writes to a socket without queueing more than a bound: beyond it, it waits for the peer.
struct PacedOutput: Sendable {
  private static let sliceBytes = 64 * 1024
  private static let queuedBytesHigh = 256 * 1024
  private static let queuedBytesLow = 64 * 1024

  let socket: Socket
  /// How long the peer may take for its next share.
  let stallMax: Duration

  func write(_ bytes: [UInt8]) async throws(SocketError) {
    if bytes.count <= Self.sliceBytes {
      socket.write(bytes)
      return try await settle()
    }
    var sent = 0
    while sent < bytes.count {
      let end = min(sent + Self.sliceBytes, bytes.count)
      socket.write(Array(bytes[sent..<end]))
      sent = end
      try await settle()
    }
  }

  private func settle() async throws(SocketError) {
    guard socket.queuedBytes > Self.queuedBytesHigh else { return }
    try await socket.drain(below: Self.queuedBytesLow, deadline: socket.loop.now + stallMax)
  }
}
