import EventLoop

/// Names to addresses, off the loop.
enum HostNames {
  /// - Throws: `.resolution` when there is no address.
  static func resolve(
    _ host: String, port: UInt16, _ blocking: BlockingPool
  ) async throws(SocketError) -> [SocketAddress] {
    if let address = SocketAddress(host: host, port: port) { return [address] }
    let found: [SocketAddress]
    do {
      found = try await blocking.run { NameLookup.addresses(of: host) }
    } catch {
      throw .resolution(host)
    }
    guard !found.isEmpty else { throw .resolution(host) }
    return found.map { $0.at(port: port) }
  }
}
