import Glibc

/// Where a socket listens or connects: an IP address with a port, or a path.
package enum SocketAddress: Sendable, Hashable, CustomStringConvertible {
  /// Four bytes in network order, and a port.
  case v4([UInt8], UInt16)
  /// Sixteen bytes in network order, and a port.
  case v6([UInt8], UInt16)
  case unix(String)

  /// Reads a numeric address; names are not resolved. nil for anything else.
  package init?(host: String, port: UInt16) {
    var four = in_addr()
    var six = in6_addr()
    if inet_pton(AF_INET, host, &four) == 1 {
      self = .v4(withUnsafeBytes(of: four) { Array($0) }, port)
    } else if inet_pton(AF_INET6, host, &six) == 1 {
      self = .v6(withUnsafeBytes(of: six) { Array($0) }, port)
    } else {
      return nil
    }
  }

  /// The address without its port; the path of a unix socket.
  package var host: String {
    switch self {
    case .v4(let bytes, _): text(AF_INET, bytes)
    case .v6(let bytes, _): text(AF_INET6, bytes)
    case .unix(let path): path
    }
  }

  /// The same host at another port.
  package func at(port: UInt16) -> SocketAddress {
    switch self {
    case .v4(let bytes, _): .v4(bytes, port)
    case .v6(let bytes, _): .v6(bytes, port)
    case .unix: self
    }
  }

  /// nil for a unix socket.
  package var port: Int? {
    switch self {
    case .v4(_, let port), .v6(_, let port): Int(port)
    case .unix: nil
    }
  }

  package var description: String {
    switch self {
    case .v4(_, let port): "\(host):\(port)"
    case .v6(_, let port): "[\(host)]:\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  var family: Int32 {
    switch self {
    case .v4: AF_INET
    case .v6: AF_INET6
    case .unix: AF_UNIX
    }
  }

  private func text(_ family: Int32, _ bytes: [UInt8]) -> String {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "?" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The system's form. A path longer than 107 bytes does not fit and is `.resolution`.
  func withSystemAddress<R>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
  ) throws(SocketError) -> R {
    var storage = sockaddr_storage()
    let length: Int
    switch self {
    case .v4(let bytes, let port):
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
      length = MemoryLayout<sockaddr_in>.size
      withUnsafeBytes(of: address) { source in
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
      }
    case .v6(let bytes, let port):
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
      length = MemoryLayout<sockaddr_in6>.size
      withUnsafeBytes(of: address) { source in
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
      }
    case .unix(let path):
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let name = Array(path.utf8)
      guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { throw .resolution(path) }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
      length = MemoryLayout<sockaddr_un>.size
      withUnsafeBytes(of: address) { source in
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
      }
    }
    return withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
    }
  }

  /// Reads the system's form. nil for a family that is none of the three.
  init?(_ storage: sockaddr_storage) {
    var storage = storage
    switch Int32(storage.ss_family) {
    case AF_INET:
      let address = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in.self) }
      self = .v4(withUnsafeBytes(of: address.sin_addr) { Array($0) }, UInt16(bigEndian: address.sin_port))
    case AF_INET6:
      let address = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in6.self) }
      self = .v6(withUnsafeBytes(of: address.sin6_addr) { Array($0) }, UInt16(bigEndian: address.sin6_port))
    case AF_UNIX:
      self = .unix("")
    default:
      return nil
    }
  }
}

/// The system's text for an error number.
func systemErrorText(_ number: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
  let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return text.isEmpty ? "error \(number)" : text
}
