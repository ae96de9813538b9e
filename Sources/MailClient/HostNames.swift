import EventLoop
import Glibc

/// Names to addresses, off the loop.
enum HostNames {
  /// - Throws: `.resolution` when there is no address.
  static func resolve(
    _ host: String, port: UInt16, _ blocking: BlockingPool
  ) async throws(SocketError) -> [SocketAddress] {
    if let address = SocketAddress(host: host, port: port) { return [address] }
    let found: [String]
    do {
      found = try await blocking.run { numericAddresses(of: host) }
    } catch {
      throw .resolution(host)
    }
    let addresses = found.compactMap { SocketAddress(host: $0, port: port) }
    guard !addresses.isEmpty else { throw .resolution(host) }
    return addresses
  }

  /// Blocks.
  private static func numericAddresses(of host: String) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [String] = []
    var entry = list
    while let current = entry {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      let length = socklen_t(text.count)
      if getnameinfo(
        current.pointee.ai_addr, current.pointee.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST) == 0
      {
        addresses.append(
          String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
      entry = current.pointee.ai_next
    }
    return addresses
  }
}
