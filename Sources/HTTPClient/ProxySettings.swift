import Bytes
import EventLoop
package import HTTPWire

/// An HTTP proxy that requests go through.
package struct HTTPProxy: Sendable, Hashable {
  /// A name or an address, without brackets.
  package let host: String
  package let port: UInt16
  /// The value of Proxy-Authorization; nil without credentials.
  package let authorization: String?

  /// Reads `[http://][user:password@]host[:port]`, user and password percent-encoded. As with curl the
  /// standard port is 1080.
  /// - Throws: `Unusable` with a text that shows no credentials.
  package init(_ text: String) throws(Unusable) {
    var rest = text[...]
    if let scheme = rest.firstRange(of: "://") {
      guard equalsIgnoringCase(String(rest[..<scheme.lowerBound]), "http") else {
        throw Unusable(reason: "a proxy of another kind than http://")
      }
      rest = rest[scheme.upperBound...]
    }
    if rest.hasSuffix("/") { rest.removeLast() }
    if let at = rest.lastIndex(of: "@") {
      authorization = try HTTPProxy.basic(rest[..<at])
      rest = rest[rest.index(after: at)...]
    } else {
      authorization = nil
    }
    let url: HTTPURL
    do {
      url = try HTTPURL("http://\(rest)")
    } catch {
      throw Unusable(reason: "no address of a proxy (\(error))")
    }
    guard url.target == "/" else { throw Unusable(reason: "no address of a proxy, because it has a path") }
    host = url.host
    let behindHost = rest.lastIndex(of: "]").map { rest[$0...] } ?? rest
    port = behindHost.contains(":") ? url.port : 1080
  }

  /// Why a text names no proxy.
  package struct Unusable: Error, Equatable {
    package let reason: String
  }

  private static func basic(_ credentials: Substring) throws(Unusable) -> String {
    let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let user = PercentEncoding.decode(parts[0]),
      let password = PercentEncoding.decode(parts.count > 1 ? parts[1] : "")
    else { throw Unusable(reason: "credentials that are not percent-encoded") }
    return "Basic " + Base64.encode(Array("\(user):\(password)".utf8))
  }
}

/// Which requests go through which proxy, with the meaning that curl gives to `http_proxy`, `https_proxy` and
/// `no_proxy`.
package struct ProxySettings: Sendable, Equatable {
  package var http: HTTPProxy?
  package var https: HTTPProxy?
  private var exceptions: [Exception] = []
  private var exceptsAll = false

  private enum Exception: Sendable, Equatable {
    /// The domain and everything below it.
    case domain(String)
    case network([UInt8], bits: Int)
  }

  /// - Parameter exceptions: names and addresses by comma or blank: `example.org` (and all below it),
  ///   `10.0.0.0/8`, `::1`; or `*` for everything.
  package init(http: HTTPProxy? = nil, https: HTTPProxy? = nil, exceptions: String = "") {
    self.http = http
    self.https = https
    except(exceptions)
  }

  /// Replaces the exceptions.
  package mutating func except(_ list: String) {
    let items = list.split { $0 == "," || $0.isWhitespace }.map { $0.lowercased() }
    exceptsAll = items.contains("*")
    exceptions = items.compactMap(ProxySettings.exception)
  }

  /// nil: the request goes straight to its host.
  package func proxy(for url: HTTPURL) -> HTTPProxy? {
    guard let proxy = url.scheme == .http ? http : https, !exceptsAll else { return nil }
    let address = SocketAddress(host: url.host, port: 0).flatMap(ProxySettings.bytes)
    let isExcepted = exceptions.contains { exception in
      switch exception {
      case .domain(let domain): address == nil && (url.host == domain || url.host.hasSuffix(".\(domain)"))
      case .network(let network, let bits):
        address.map { $0.count == network.count && AddressPolicy.has($0, prefix: network, bits: bits) }
          ?? false
      }
    }
    return isExcepted ? nil : proxy
  }

  private static func exception(_ item: String) -> Exception? {
    let parts = item.split(separator: "/", maxSplits: 1).map(String.init)
    guard var name = parts.first else { return nil }
    if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
    if let network = SocketAddress(host: name, port: 0).flatMap(bytes) {
      guard let bits = parts.count > 1 ? Int(parts[1]) : network.count * 8,
        (0...network.count * 8).contains(bits)
      else { return nil }
      return .network(network, bits: bits)
    }
    if name.hasPrefix(".") { name.removeFirst() }
    if name.hasSuffix(".") { name.removeLast() }
    return name.isEmpty || parts.count > 1 ? nil : .domain(name)
  }

  private static func bytes(_ address: SocketAddress) -> [UInt8]? {
    switch address {
    case .v4(let bytes, _), .v6(let bytes, _): bytes
    case .unix: nil
    }
  }
}
