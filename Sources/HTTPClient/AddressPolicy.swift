package import EventLoop

/// Where a request may go.
///
/// `publicOnly` is for URLs that strangers wrote: without it the hub could be sent into the network behind it
/// (server-side request forgery). Every address of a name is checked, and the connection goes to an address
/// that was checked: a name that answers differently the second time gains nothing.
package enum AddressPolicy: Sendable, Hashable {
  case any
  /// Only addresses that the registries of special-purpose addresses (RFC 6890) call globally reachable.
  case publicOnly

  package func allows(_ address: SocketAddress) -> Bool {
    if self == .any { return true }
    switch address {
    case .v4(let bytes, _): return AddressPolicy.isPublic(v4: bytes)
    case .v6(let bytes, _): return AddressPolicy.isPublic(v6: bytes)
    case .unix: return false
    }
  }

  /// Network and length of its prefix.
  private static let specialV4: [([UInt8], Int)] = [
    ([0, 0, 0, 0], 8),  // this network
    ([10, 0, 0, 0], 8),  // private
    ([100, 64, 0, 0], 10),  // shared, carrier-grade NAT
    ([127, 0, 0, 0], 8),  // loopback
    ([169, 254, 0, 0], 16),  // link-local, metadata services of clouds
    ([172, 16, 0, 0], 12),  // private
    ([192, 0, 0, 0], 24),  // protocol assignments
    ([192, 0, 2, 0], 24),  // documentation
    ([192, 88, 99, 0], 24),  // 6to4 relays, no longer used
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),  // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),  // multicast
    ([240, 0, 0, 0], 4),  // reserved, broadcast
  ]

  private static let specialV6: [([UInt8], Int)] = [
    ([0x20, 0x01, 0x00], 23),  // protocol assignments, Teredo among them
    ([0x20, 0x01, 0x0d, 0xb8], 32),  // documentation
    ([0x20, 0x02], 16),  // 6to4, which leads to any IPv4 address
    ([0x3f, 0xff, 0x00], 20),  // documentation
  ]

  private static func isPublic(v4 bytes: [UInt8]) -> Bool {
    bytes.count == 4 && !specialV4.contains { has(bytes, prefix: $0.0, bits: $0.1) }
  }

  /// Global unicast is 2000::/3 so far; mapped, unique local, link-local and the others lie outside. NAT64
  /// (RFC 6052) is as public as the IPv4 address in it.
  private static func isPublic(v6 bytes: [UInt8]) -> Bool {
    guard bytes.count == 16 else { return false }
    if has(bytes, prefix: [0x00, 0x64, 0xff, 0x9b] + [UInt8](repeating: 0, count: 8), bits: 96) {
      return isPublic(v4: Array(bytes[12...]))
    }
    guard has(bytes, prefix: [0x20], bits: 3) else { return false }
    return !specialV6.contains { has(bytes, prefix: $0.0, bits: $0.1) }
  }

  /// Whether the first `bits` bits are those of `prefix`.
  static func has(_ bytes: [UInt8], prefix: [UInt8], bits: Int) -> Bool {
    let whole = bits / 8
    guard bytes.count >= (bits + 7) / 8, prefix.count >= (bits + 7) / 8,
      bytes.prefix(whole).elementsEqual(prefix.prefix(whole))
    else { return false }
    let rest = bits % 8
    guard rest > 0 else { return true }
    return (bytes[whole] ^ prefix[whole]) >> UInt8(8 - rest) == 0
  }
}
