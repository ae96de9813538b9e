import Bytes

/// Why a text is no URL that a request can be sent to.
package enum HTTPURLError: Error, Equatable, Sendable {
  /// Neither `http://` nor `https://` in front.
  case schemeUnsupported
  /// `name:password@` before the host. Credentials belong in a header, where they are not logged.
  case userInformation
  /// Empty, too long, with foreign characters, or a number that is no dotted address.
  case hostMalformed
  /// Letters beyond ASCII: write the name in its ASCII form, `xn--...`.
  case hostInternational
  case portMalformed
  /// White space, a control byte, a letter beyond ASCII, or one of `"`, `<`, `>`, `\` and the backtick.
  case targetMalformed
}

/// An absolute http or https URL (RFC 9110 section 4.2), strictly read.
///
/// Percent-encoding stays as it was given. A fragment is dropped: it never travels. The description
/// leaves path and query out, because platforms put secrets there.
package struct HTTPURL: Sendable, Hashable, CustomStringConvertible {
  package enum Scheme: String, Sendable {
    case http, https

    package var standardPort: UInt16 { self == .http ? 80 : 443 }
  }

  package let scheme: Scheme
  /// In lower case; an IPv6 address without its brackets.
  package let host: String
  package let port: UInt16
  /// Path and query as they travel; begins with `/`.
  package let target: String

  package init(_ text: some StringProtocol) throws(HTTPURLError) {
    let bytes = Array(text.utf8)
    guard let (scheme, length) = HTTPURL.scheme(of: bytes) else { throw .schemeUnsupported }
    self.scheme = scheme
    let rest = bytes[length...]
    let end = rest.firstIndex { [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0) }
    let authority = rest[..<(end ?? rest.endIndex)]
    (host, port) = try HTTPURL.readAuthority(authority, standardPort: scheme.standardPort)
    target = try HTTPURL.readTarget(rest[authority.endIndex...])
  }

  private init(_ base: HTTPURL, target: String) {
    (scheme, host, port) = (base.scheme, base.host, base.port)
    self.target = target
  }

  /// The host is an IPv6 address.
  package var isIPv6: Bool { host.utf8.contains(UInt8(ascii: ":")) }

  /// Host and port always; the target of CONNECT.
  package var hostAndPort: String { (isIPv6 ? "[\(host)]" : host) + ":\(port)" }

  /// As in the Host field: without the scheme's own port.
  package var authority: String {
    if port != scheme.standardPort { return hostAndPort }
    return isIPv6 ? "[\(host)]" : host
  }

  /// Scheme, host and port (RFC 6454): what may share credentials.
  package var origin: String { "\(scheme.rawValue)://\(authority)" }

  /// The whole URL. May hold secrets.
  package var absoluteString: String { origin + target }

  package var description: String { origin }

  private static func scheme(of bytes: [UInt8]) -> (Scheme, length: Int)? {
    let start = bytes.prefix(8).map(lowercased)
    if start.starts(with: "http://".utf8) { return (.http, 7) }
    return start.starts(with: "https://".utf8) ? (.https, 8) : nil
  }

  // MARK: Authority

  private static func readAuthority(
    _ bytes: ArraySlice<UInt8>, standardPort: UInt16
  ) throws(HTTPURLError) -> (String, UInt16) {
    guard !bytes.contains(UInt8(ascii: "@")) else { throw .userInformation }
    guard bytes.allSatisfy({ $0 < 0x80 }) else { throw .hostInternational }
    if bytes.first == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { throw .hostMalformed }
      let literal = String(decoding: bytes[(bytes.startIndex + 1)..<close].map(lowercased), as: UTF8.self)
      guard isIPv6Address(literal) else { throw .hostMalformed }
      return (literal, try readPort(bytes[(close + 1)...], standardPort))
    }
    let name = bytes.prefix { $0 != UInt8(ascii: ":") }
    let host = String(decoding: name.map(lowercased), as: UTF8.self)
    guard isHostName(host) else { throw .hostMalformed }
    return (host, try readPort(bytes[name.endIndex...], standardPort))
  }

  private static func readPort(
    _ bytes: ArraySlice<UInt8>, _ standardPort: UInt16
  ) throws(HTTPURLError) -> UInt16 {
    guard let colon = bytes.first else { return standardPort }
    let digits = bytes.dropFirst()
    guard colon == UInt8(ascii: ":"), (1...5).contains(digits.count), digits.allSatisfy(isDigit),
      let port = UInt16(String(decoding: digits, as: UTF8.self)), port > 0
    else { throw .portMalformed }
    return port
  }

  /// Labels of letters, digits, `-` and `_`. When the last one is a number the whole has to be a dotted
  /// address: resolvers read `127.1` and `0x7f000001` as addresses too, which nobody means.
  private static func isHostName(_ host: String) -> Bool {
    let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard host.utf8.count <= 253, let last = labels.last else { return false }
    let isWellFormed = labels.allSatisfy { label in
      (1...63).contains(label.count) && label.allSatisfy(isNameByte)
        && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
    }
    guard isWellFormed else { return false }
    guard last.allSatisfy(isDigit) || last.starts(with: "0x".utf8) else { return true }
    return isIPv4Address(host)
  }

  private static func isIPv4Address(_ text: some StringProtocol) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        (1...3).contains(part.count) && part.allSatisfy(isDigit)
          && (part.count == 1 || part.first != UInt8(ascii: "0"))
          && UInt8(String(decoding: part, as: UTF8.self)) != nil
      }
  }

  /// RFC 4291 section 2.2, without a zone.
  private static func isIPv6Address(_ text: String) -> Bool {
    let halves = text.split(separator: "::", omittingEmptySubsequences: false)
    guard halves.count <= 2 else { return false }
    var groups = 0
    for (index, half) in halves.enumerated() where !half.isEmpty {
      let parts = half.split(separator: ":", omittingEmptySubsequences: false)
      for (place, part) in parts.enumerated() {
        let isLast = index == halves.count - 1 && place == parts.count - 1
        if isLast && isIPv4Address(part) {
          groups += 2
        } else if (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ Hex.value($0) != nil }) {
          groups += 1
        } else {
          return false
        }
      }
    }
    return halves.count == 2 ? groups <= 7 : groups == 8
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || (byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: "_")
  }

  // MARK: Target

  private static func readTarget(_ bytes: ArraySlice<UInt8>) throws(HTTPURLError) -> String {
    let visible = bytes.prefix { $0 != UInt8(ascii: "#") }
    let isWellFormed = visible.allSatisfy { byte in
      byte > 0x20 && byte < 0x7f && !#""<>\`"#.utf8.contains(byte)
    }
    guard isWellFormed else { throw .targetMalformed }
    let target = String(decoding: visible, as: UTF8.self)
    return target.hasPrefix("/") ? target : "/" + target
  }

  /// The URL that a Location field means, relative to this one (RFC 3986 section 5.2).
  package func resolve(_ reference: String) throws(HTTPURLError) -> HTTPURL {
    if HTTPURL.scheme(of: Array(reference.utf8)) != nil { return try HTTPURL(reference) }
    if reference.hasPrefix("//") { return try HTTPURL("\(scheme.rawValue):\(reference)") }
    let first = reference.prefix { !"/?#".contains($0) }
    guard !first.contains(":") else { throw .schemeUnsupported }
    let given = reference.prefix { $0 != "#" }
    if given.isEmpty { return self }
    let path = target.prefix { $0 != "?" }
    if given.hasPrefix("?") {
      return HTTPURL(self, target: try HTTPURL.readTarget(Array("\(path)\(given)".utf8)[...]))
    }
    let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
    let merged = given.hasPrefix("/") ? String(given) : "\(folder)\(given)"
    return HTTPURL(self, target: try HTTPURL.readTarget(Array(HTTPURL.withoutDots(merged).utf8)[...]))
  }

  /// Without `.` and `..` segments (RFC 3986 section 5.2.4).
  private static func withoutDots(_ target: String) -> String {
    let path = target.prefix { $0 != "?" }
    let query = target[path.endIndex...]
    var kept: [Substring] = []
    let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    for (index, segment) in segments.enumerated() {
      let isLast = index == segments.count - 1
      switch segment {
      case ".": if isLast { kept.append("") }
      case "..":
        _ = kept.popLast()
        if isLast { kept.append("") }
      default: kept.append(segment)
      }
    }
    return "/" + kept.joined(separator: "/") + query
  }
}
