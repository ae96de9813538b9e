/// The target of a request line in its parts (RFC 9112 section 3.2).
///
/// Three forms are read: origin (`/path?query`), absolute (`http://host/path`) and, for OPTIONS, the
/// asterisk. The authority form belongs to CONNECT, which is not served.
struct RequestTarget: Sendable, Equatable {
  let raw: String
  let rawPath: String
  let path: String
  let rawQuery: String
  /// Host and port of an absolute target, nil in the other forms.
  let authority: String?

  init(_ bytes: ArraySlice<UInt8>, method: HTTPMethod) throws(HTTPParseError) {
    // Visible ASCII only; a fragment never travels (RFC 9110 section 7.1).
    guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }) else {
      throw .targetMalformed
    }
    raw = String(decoding: bytes, as: UTF8.self)
    if bytes.elementsEqual([UInt8(ascii: "*")]) {
      guard method == .options else { throw .targetMalformed }
      (rawPath, path, rawQuery, authority) = ("*", "*", "", nil)
      return
    }
    var rest = bytes
    if rest.first == UInt8(ascii: "/") {
      authority = nil
    } else {
      let host = try RequestTarget.takeAuthority(&rest)
      authority = String(decoding: host, as: UTF8.self)
    }
    let mark = rest.firstIndex(of: UInt8(ascii: "?")) ?? rest.endIndex
    let pathBytes = rest[..<mark]
    rawQuery = String(decoding: rest[mark...].dropFirst(), as: UTF8.self)
    if pathBytes.isEmpty {
      rawPath = method == .options && mark == rest.endIndex ? "*" : "/"
      path = rawPath
      return
    }
    rawPath = String(decoding: pathBytes, as: UTF8.self)
    if pathBytes.contains(UInt8(ascii: "%")) {
      guard let decoded = PercentEncoding.decode(pathBytes, plusIsSpace: false) else {
        throw .targetMalformed
      }
      path = decoded
    } else {
      path = rawPath
    }
  }

  /// Takes `http://host:port` or `https://host:port` off the front of an absolute target.
  private static func takeAuthority(_ rest: inout ArraySlice<UInt8>) throws(HTTPParseError) -> ArraySlice<
    UInt8
  > {
    let schemes = [Array("http://".utf8), Array("https://".utf8)]
    guard let scheme = schemes.first(where: { rest.prefix($0.count).map(lowercased) == $0 }) else {
      throw .targetMalformed
    }
    rest = rest.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    guard isAuthority(authority) else { throw .targetMalformed }
    rest = rest[authority.endIndex...]
    return authority
  }

  /// `host [":" port]` without user information (RFC 3986 section 3.2.2). The host is not empty.
  static func isAuthority(_ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    if rest.first == UInt8(ascii: "[") {
      guard let close = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
      let literal = rest[rest.startIndex + 1..<close]
      guard literal.count >= 2, literal.allSatisfy(isLiteralByte) else { return false }
      rest = rest[(close + 1)...]
    } else {
      let host = rest.prefix { $0 != UInt8(ascii: ":") }
      guard !host.isEmpty, host.allSatisfy(isHostByte) else { return false }
      rest = rest[host.endIndex...]
    }
    guard let colon = rest.first else { return true }
    guard colon == UInt8(ascii: ":"), rest.count <= 6 else { return false }
    var port = 0
    for digit in rest.dropFirst() {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return false }
      port = port * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return port <= 65_535
  }

  private static func isLiteralByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// Unreserved bytes, sub-delimiters without the comma, and `%` of an encoded byte. A comma in a
  /// Host is how two of them look after a merge.
  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"), UInt8(ascii: "%"), UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"),
      UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"),
      UInt8(ascii: ";"), UInt8(ascii: "="):
      true
    default: false
    }
  }
}
