/// Why a socket could not do what was asked.
package enum SocketError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Our side closed it.
  case closed
  /// The deadline of the call passed.
  case timedOut
  /// More was queued for writing than the bound allows; the socket is closed.
  case overflow(limitBytes: Int)
  /// A system call failed.
  case system(errno: Int32, operation: String)
  /// The TLS layer failed: handshake, certificate or record.
  case tls(String)
  /// A host name or address could not be used.
  case resolution(String)

  package var description: String {
    switch self {
    case .closed: "the socket is closed"
    case .timedOut: "the deadline passed"
    case .overflow(let limit): "the peer reads too slowly: more than \(limit) bytes are waiting"
    case .system(let number, let operation): "\(operation): \(systemErrorText(number))"
    case .tls(let reason): "TLS: \(reason)"
    case .resolution(let name): "cannot resolve \(name)"
    }
  }
}
