import Glibc

/// Asks the system for the addresses of a name. Blocks: call it on a `BlockingPool`.
package enum NameLookup {
  /// Of one name; what the system knows beyond these is left out.
  package static let addressesMax = 16

  /// Numeric addresses, with their zone where they have one, in the system's order (RFC 6724); empty when
  /// there are none.
  package static func hosts(of name: String) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var hosts: [String] = []
    var entry = list
    while let current = entry, hosts.count < addressesMax {
      if let host = host(current.pointee), !hosts.contains(host) { hosts.append(host) }
      entry = current.pointee.ai_next
    }
    return hosts
  }

  /// The same as addresses that sockets connect to, with port 0; those with a zone are left out.
  package static func addresses(of name: String) -> [SocketAddress] {
    hosts(of: name).compactMap { SocketAddress(host: $0, port: 0) }
  }

  private static func host(_ entry: addrinfo) -> String? {
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let length = socklen_t(text.count)
    guard getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST) == 0 else {
      return nil
    }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
