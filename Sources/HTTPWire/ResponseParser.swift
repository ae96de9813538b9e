package import Bytes

/// Reads responses from a stream of bytes (RFC 9112), for the hub's own clients and tests.
///
/// How a body ends depends on the request, so `begin` names its method before each response.
package struct ResponseParser: Sendable {
  package enum Event: Sendable, Equatable {
    case needMoreData
    /// A 1xx answer other than 101; the real one follows.
    case informational(HTTPResponseHead)
    case head(HTTPResponseHead, HTTPBodyKind)
    /// Some of the decoded body, never empty.
    case bodyPart([UInt8])
    case end(trailers: HTTPHeaders)
  }

  private enum State: Sendable {
    case awaitingHead(HeadScanner)
    case readingLength(leftBytes: Int)
    case readingChunks(ChunkedDecoder)
    case readingUntilClose(bytes: Int)
    case failed(HTTPParseError)
  }

  private static let start = State.awaitingHead(HeadScanner(hasFirstLine: true))

  private var limits: HTTPLimits
  private var state = ResponseParser.start
  private var method = HTTPMethod.get

  package init(limits: HTTPLimits = HTTPLimits()) {
    self.limits = limits
  }

  /// Says which method the next response answers.
  /// - Parameter bodyBytesMax: the bound of this response's body and of those behind it.
  package mutating func begin(_ method: HTTPMethod, bodyBytesMax: Int? = nil) {
    self.method = method
    if let bodyBytesMax { limits.bodyBytesMax = bodyBytesMax }
  }

  /// Reads on. Consumes what the event covers; every call after an error throws it again.
  package mutating func read(_ buffer: inout ByteBuffer) throws(HTTPParseError) -> Event {
    do {
      return try step(&buffer)
    } catch {
      state = .failed(error)
      throw error
    }
  }

  /// The peer closed its side.
  ///
  /// - Returns: `end` for a body that ends with the connection.
  /// - Throws: `.endedEarly` in every other place but between two responses, where it returns nil.
  package mutating func endOfInput() throws(HTTPParseError) -> Event? {
    switch state {
    case .readingUntilClose:
      state = ResponseParser.start
      return .end(trailers: [:])
    case .awaitingHead(let scanner) where scanner == HeadScanner(hasFirstLine: true): return nil
    case .failed(let error): throw error
    case .awaitingHead, .readingLength, .readingChunks: throw .endedEarly
    }
  }

  private mutating func step(_ buffer: inout ByteBuffer) throws(HTTPParseError) -> Event {
    switch state {
    case .awaitingHead(var scanner):
      let found = try scanner.scan(
        buffer, firstLineBytesMax: limits.firstLineBytesMax, fieldBytesMax: limits.headerBytesMax)
      guard let headBytes = found, let fieldsStart = scanner.fieldsStart else {
        state = .awaitingHead(scanner)
        return .needMoreData
      }
      return try headEvent(buffer.read(headBytes), fieldsStart: fieldsStart)
    case .readingLength(let leftBytes):
      guard leftBytes <= limits.bodyBytesMax else { throw .bodyTooLarge(limitBytes: limits.bodyBytesMax) }
      guard leftBytes > 0 else {
        state = ResponseParser.start
        return .end(trailers: [:])
      }
      guard !buffer.isEmpty else { return .needMoreData }
      let part = buffer.read(min(leftBytes, buffer.count))
      state = .readingLength(leftBytes: leftBytes - part.count)
      return .bodyPart(part)
    case .readingChunks(var decoder):
      let step = try decoder.read(&buffer, limits: limits, bodyBytesMax: limits.bodyBytesMax)
      state = .readingChunks(decoder)
      switch step {
      case .needMoreData: return .needMoreData
      case .data(let part): return .bodyPart(part)
      case .end(let trailers):
        state = ResponseParser.start
        return .end(trailers: trailers)
      }
    case .readingUntilClose(let bytes):
      guard !buffer.isEmpty else { return .needMoreData }
      let room = limits.bodyBytesMax - bytes
      guard room > 0 else { throw .bodyTooLarge(limitBytes: limits.bodyBytesMax) }
      let part = buffer.read(min(room, buffer.count))
      state = .readingUntilClose(bytes: bytes + part.count)
      return .bodyPart(part)
    case .failed(let error):
      throw error
    }
  }

  private mutating func headEvent(_ bytes: [UInt8], fieldsStart: Int) throws(HTTPParseError) -> Event {
    let (version, status) = try parseStatusLine(bytes[..<(fieldsStart - 2)])
    let headers = try FieldParser.parse(bytes, from: fieldsStart, fieldsMax: limits.headerFieldsMax)
    let head = HTTPResponseHead(
      version: version, status: status, headers: headers,
      keepAlive: BodyFraming.keepAlive(headers, version: version))
    if status.isInformational, status != .switchingProtocols {
      state = ResponseParser.start
      return .informational(head)
    }
    // The order of RFC 9112 section 6.3.
    let isTunnel = method == .connect && (200..<300).contains(status.code)
    let hasNoBody = status.forbidsBody || method == .head || isTunnel
    let kind =
      hasNoBody
      ? HTTPBodyKind.none : try BodyFraming.kind(of: headers, version: version) ?? .untilClose
    switch kind {
    case .none: state = .readingLength(leftBytes: 0)
    case .length(let bytes): state = .readingLength(leftBytes: bytes)
    case .chunked: state = .readingChunks(ChunkedDecoder())
    case .untilClose: state = .readingUntilClose(bytes: 0)
    }
    return .head(head, kind)
  }

  /// `version SP three digits SP reason`, the reason may be empty (RFC 9112 section 4).
  private func parseStatusLine(
    _ line: ArraySlice<UInt8>
  ) throws(HTTPParseError) -> (HTTPVersion, HTTPStatus) {
    guard line.count >= 12, let version = try versionOf(line.prefix(8)), line[line.startIndex + 8] == 0x20
    else { throw .statusLineMalformed }
    var code = 0
    for digit in line[(line.startIndex + 9)..<(line.startIndex + 12)] {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { throw .statusLineMalformed }
      code = code * 10 + Int(digit - UInt8(ascii: "0"))
    }
    let reason = line.dropFirst(12)
    guard code >= 100, reason.isEmpty || reason.first == 0x20, reason.allSatisfy(isFieldValueByte) else {
      throw .statusLineMalformed
    }
    return (version, HTTPStatus(code, reason: String(decoding: reason.dropFirst(), as: UTF8.self)))
  }
}
