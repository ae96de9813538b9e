package import Bytes

/// Reads HTTP/1.1 and HTTP/1.0 requests from a stream of bytes (RFC 9112), one after the other.
///
/// Pure: bytes in, events out. For each request the events are `head`, any number of `bodyPart`,
/// `end`; then the next head. The parser is strict where leniency has led to request smuggling: every
/// doubtful form is an error, and after an error the connection must be closed.
///
/// Bytes that no event has covered stay in the buffer, so whoever takes the connection over after an
/// upgrade finds them there. Call it until it says `needMoreData` or until `end`.
package struct RequestParser: Sendable {
  package enum Event: Sendable, Equatable {
    /// Nothing more to say before more bytes arrive.
    case needMoreData
    /// The head is complete. Set `bodyBytesMax` now if this request has a limit of its own.
    case head(HTTPRequestHead, HTTPBodyKind)
    /// Some of the decoded body, never empty.
    case bodyPart([UInt8])
    /// The request is complete. Trailers stay apart from the fields of the head: merged, they could
    /// change what was already decided (RFC 9110 section 6.5.1).
    case end(trailers: HTTPHeaders)
  }

  private enum State: Sendable {
    /// Between requests, or inside a head.
    case awaitingHead(HeadScanner, blankLines: Int)
    case readingLength(leftBytes: Int)
    case readingChunks(ChunkedDecoder)
    case failed(HTTPParseError)
  }

  private static let start = State.awaitingHead(HeadScanner(hasFirstLine: true), blankLines: 0)

  private let limits: HTTPLimits
  private var state = RequestParser.start

  /// The limit of the current body, in decoded bytes. Looked at when the body is read, so it can be
  /// set between `head` and the next call; goes back to the default with each head.
  package var bodyBytesMax: Int

  package init(limits: HTTPLimits = HTTPLimits()) {
    self.limits = limits
    bodyBytesMax = limits.bodyBytesMax
  }

  /// Reads on. Consumes what the event covers.
  ///
  /// - Throws: the peer's fault. Every later call throws it again.
  package mutating func read(_ buffer: inout ByteBuffer) throws(HTTPParseError) -> Event {
    do {
      return try step(&buffer)
    } catch {
      state = .failed(error)
      throw error
    }
  }

  private mutating func step(_ buffer: inout ByteBuffer) throws(HTTPParseError) -> Event {
    switch state {
    case .awaitingHead(var scanner, var blankLines):
      // One empty line before a request is forgiven (RFC 9112 section 2.2).
      while let first = buffer.readable.first, first == UInt8(ascii: "\r") {
        guard blankLines == 0 else { throw .requestLineMalformed }
        guard buffer.count >= 2 else { return .needMoreData }
        guard buffer[1] == UInt8(ascii: "\n") else { throw .requestLineMalformed }
        buffer.consume(2)
        blankLines += 1
      }
      let found = try scanner.scan(
        buffer, firstLineBytesMax: limits.firstLineBytesMax, fieldBytesMax: limits.headerBytesMax)
      guard let headBytes = found, let fieldsStart = scanner.fieldsStart else {
        state = .awaitingHead(scanner, blankLines: blankLines)
        return .needMoreData
      }
      return try headEvent(buffer.read(headBytes), fieldsStart: fieldsStart)
    case .readingLength(let leftBytes):
      guard leftBytes <= bodyBytesMax else { throw .bodyTooLarge(limitBytes: bodyBytesMax) }
      guard leftBytes > 0 else {
        state = RequestParser.start
        return .end(trailers: [:])
      }
      guard !buffer.isEmpty else { return .needMoreData }
      let part = buffer.read(min(leftBytes, buffer.count))
      state = .readingLength(leftBytes: leftBytes - part.count)
      return .bodyPart(part)
    case .readingChunks(var decoder):
      let step = try decoder.read(&buffer, limits: limits, bodyBytesMax: bodyBytesMax)
      state = .readingChunks(decoder)
      switch step {
      case .needMoreData: return .needMoreData
      case .data(let part): return .bodyPart(part)
      case .end(let trailers):
        state = RequestParser.start
        return .end(trailers: trailers)
      }
    case .failed(let error):
      throw error
    }
  }

  private mutating func headEvent(_ bytes: [UInt8], fieldsStart: Int) throws(HTTPParseError) -> Event {
    let (method, target, version) = try parseRequestLine(bytes[..<(fieldsStart - 2)])
    let headers = try FieldParser.parse(bytes, from: fieldsStart, fieldsMax: limits.headerFieldsMax)
    let host = try host(headers, version)
    let kind = try BodyFraming.kind(of: headers, version: version) ?? HTTPBodyKind.none
    let head = HTTPRequestHead(
      method: method, target: target, version: version, headers: headers,
      authority: target.authority ?? host, keepAlive: BodyFraming.keepAlive(headers, version: version),
      expectsContinue: try expectsContinue(headers, version))
    bodyBytesMax = limits.bodyBytesMax
    switch kind {
    case .none, .untilClose: state = .readingLength(leftBytes: 0)
    case .length(let bytes): state = .readingLength(leftBytes: bytes)
    case .chunked: state = .readingChunks(ChunkedDecoder())
    }
    return .head(head, kind)
  }

  /// `method SP target SP version`, with exactly one space each time (RFC 9112 section 3).
  private func parseRequestLine(
    _ line: ArraySlice<UInt8>
  ) throws(HTTPParseError) -> (HTTPMethod, RequestTarget, HTTPVersion) {
    guard let first = line.firstIndex(of: 0x20), first > line.startIndex,
      let second = line[(first + 1)...].firstIndex(of: 0x20), line[..<first].allSatisfy(isTokenByte)
    else { throw .requestLineMalformed }
    guard let version = try versionOf(line[(second + 1)...]) else { throw .requestLineMalformed }
    let method = HTTPMethod(String(decoding: line[..<first], as: UTF8.self))
    guard limits.methods.contains(method) else { throw .methodUnknown }
    return (method, try RequestTarget(line[(first + 1)..<second], method: method), version)
  }

  /// HTTP/1.1 needs exactly one Host; HTTP/1.0 may have one (RFC 9112 section 3.2).
  private func host(_ headers: HTTPHeaders, _ version: HTTPVersion) throws(HTTPParseError) -> String {
    let hosts = headers.all("host")
    guard hosts.count <= 1 else { throw .hostRepeated }
    guard let host = hosts.first else {
      if version == .http11 { throw .hostMissing }
      return ""
    }
    guard RequestTarget.isAuthority(Array(host.utf8)[...]) else { throw .hostMalformed }
    return host
  }

  private func expectsContinue(
    _ headers: HTTPHeaders, _ version: HTTPVersion
  ) throws(HTTPParseError) -> Bool {
    let expectations = headers.all("expect")
    guard !expectations.isEmpty, version == .http11 else { return false }
    guard expectations.count == 1, equalsIgnoringCase(expectations[0], "100-continue") else {
      throw .expectationUnknown
    }
    return true
  }
}

/// nil when the bytes are no version at all; throws for one that is not served.
func versionOf(_ bytes: ArraySlice<UInt8>) throws(HTTPParseError) -> HTTPVersion? {
  guard bytes.count == 8, bytes.starts(with: "HTTP/".utf8) else { return nil }
  let digits = bytes.suffix(3)
  let major = digits[digits.startIndex]
  let minor = digits[digits.startIndex + 2]
  let isDigit = { (byte: UInt8) in byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
  guard isDigit(major), digits[digits.startIndex + 1] == UInt8(ascii: "."), isDigit(minor) else { return nil }
  switch (major, minor) {
  case (UInt8(ascii: "1"), UInt8(ascii: "1")): return .http11
  case (UInt8(ascii: "1"), UInt8(ascii: "0")): return .http10
  default: throw .versionUnsupported
  }
}
