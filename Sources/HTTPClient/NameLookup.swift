package import EventLoop
import Glibc

/// Asks the system for the addresses of a name. Blocks; the client calls it on its `BlockingPool`.
package enum NameLookup {
  static let addressesMax = 16

  /// In the system's order (RFC 6724), with port 0; empty when there are none.
  package static func system(_ name: String) -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var entry = list
    while let current = entry, addresses.count < addressesMax {
      if let address = address(current.pointee), !addresses.contains(address) { addresses.append(address) }
      entry = current.pointee.ai_next
    }
    return addresses
  }

  private static func address(_ entry: addrinfo) -> SocketAddress? {
    guard let source = entry.ai_addr else { return nil }
    switch entry.ai_family {
    case AF_INET:
      return source.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
        .v4(withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }, 0)
      }
    case AF_INET6:
      return source.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
        .v6(withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }, 0)
      }
    default: return nil
    }
  }
}

extension SocketAddress {
  /// The same host at another port.
  func at(port: UInt16) -> SocketAddress {
    switch self {
    case .v4(let bytes, _): .v4(bytes, port)
    case .v6(let bytes, _): .v6(bytes, port)
    case .unix: self
    }
  }
}
