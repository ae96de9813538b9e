/// How the end of a body is found (RFC 9112 section 6).
package enum HTTPBodyKind: Sendable, Equatable {
  case none
  /// This many bytes.
  case length(Int)
  case chunked
  /// All bytes until the peer closes. Responses only.
  case untilClose
}

/// The framing fields of a head, read so that two readers cannot disagree about them.
enum BodyFraming {
  /// nil when neither field is there.
  ///
  /// Refused: a length that is not plain digits, any second length even an equal one, a length
  /// beside a transfer coding, a coding in HTTP/1.0, and every coding but one final `chunked`.
  static func kind(of headers: HTTPHeaders, version: HTTPVersion) throws(HTTPParseError) -> HTTPBodyKind? {
    let codings = headers.all("transfer-encoding")
    let lengths = headers.all("content-length")
    if !codings.isEmpty {
      guard lengths.isEmpty else { throw .transferEncodingWithContentLength }
      guard version == .http11 else { throw .transferEncodingBeforeHTTP11 }
      try checkChunked(codings)
      return .chunked
    }
    guard let length = lengths.first else { return nil }
    guard lengths.count == 1 else { throw .contentLengthRepeated }
    return .length(try parseLength(length))
  }

  private static func checkChunked(_ codings: [String]) throws(HTTPParseError) {
    guard codings.count == 1 else { throw .transferEncodingMalformed }
    if equalsIgnoringCase(codings[0], "chunked") { return }
    let members = codings[0].split(separator: ",", omittingEmptySubsequences: false)
      .map { String(decoding: trimmingBlanks($0.utf8), as: UTF8.self) }
    // Compressions before a final chunked are well formed but not served (RFC 9112 section 6.1).
    let known = ["gzip", "x-gzip", "deflate", "compress", "x-compress"]
    guard let last = members.last, equalsIgnoringCase(last, "chunked"),
      members.dropLast().allSatisfy({ member in known.contains { equalsIgnoringCase($0, member) } })
    else {
      let isOneKnown = members.count == 1 && known.contains { equalsIgnoringCase($0, members[0]) }
      throw isOneKnown ? .transferEncodingUnsupported : .transferEncodingMalformed
    }
    throw .transferEncodingUnsupported
  }

  private static func parseLength(_ text: String) throws(HTTPParseError) -> Int {
    guard !text.isEmpty else { throw .contentLengthMalformed }
    var length = 0
    for digit in text.utf8 {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { throw .contentLengthMalformed }
      let (tenfold, isTooLong) = length.multipliedReportingOverflow(by: 10)
      let (sum, isTooLarge) = tenfold.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
      guard !isTooLong, !isTooLarge else { throw .contentLengthMalformed }
      length = sum
    }
    return length
  }

  /// Whether the connection may be used again after this message (RFC 9112 section 9.3).
  static func keepAlive(_ headers: HTTPHeaders, version: HTTPVersion) -> Bool {
    switch version {
    case .http11: !headers.list("connection", contains: "close")
    case .http10:
      headers.list("connection", contains: "keep-alive") && !headers.list("connection", contains: "close")
    }
  }
}
