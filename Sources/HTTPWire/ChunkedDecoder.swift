import Bytes

/// Takes the chunked coding off a body (RFC 9112 section 7.1).
///
/// Sizes are 1 to 16 hexadecimal digits, followed by nothing but `;` or CRLF; line ends are CRLF and
/// nothing else. Extensions are skipped and bounded, one by one and together, because a body of
/// one-byte chunks with long extensions costs far more to receive than it is worth.
struct ChunkedDecoder: Sendable, Equatable {
  private enum State: Equatable, Sendable {
    case awaitingSize
    case readingData(leftBytes: Int)
    case awaitingDataEnd
    case awaitingTrailers(HeadScanner)
  }

  enum Step: Equatable, Sendable {
    case needMoreData
    case data([UInt8])
    case end(trailers: HTTPHeaders)
  }

  private var state = State.awaitingSize
  /// The sum of all chunk sizes announced so far.
  private var bodyBytes = 0
  private var extensionBytes = 0

  mutating func read(
    _ buffer: inout ByteBuffer, limits: HTTPLimits, bodyBytesMax: Int
  ) throws(HTTPParseError) -> Step {
    while true {
      switch state {
      case .awaitingSize:
        guard let line = try sizeLine(buffer, limits) else { return .needMoreData }
        guard line.size <= bodyBytesMax - bodyBytes else { throw .bodyTooLarge(limitBytes: bodyBytesMax) }
        buffer.consume(line.bytes)
        bodyBytes += line.size
        state =
          line.size == 0
          ? .awaitingTrailers(HeadScanner(hasFirstLine: false)) : .readingData(leftBytes: line.size)
      case .readingData(let leftBytes):
        guard !buffer.isEmpty else { return .needMoreData }
        let part = buffer.read(min(leftBytes, buffer.count))
        state = part.count == leftBytes ? .awaitingDataEnd : .readingData(leftBytes: leftBytes - part.count)
        return .data(part)
      case .awaitingDataEnd:
        guard let first = buffer.readable.first else { return .needMoreData }
        guard first == UInt8(ascii: "\r") else { throw .chunkEndMissing }
        guard buffer.count >= 2 else { return .needMoreData }
        guard buffer[1] == UInt8(ascii: "\n") else { throw .chunkEndMissing }
        buffer.consume(2)
        state = .awaitingSize
      case .awaitingTrailers(var scanner):
        let found = try scanner.scan(buffer, firstLineBytesMax: 0, fieldBytesMax: limits.trailerBytesMax)
        guard let sectionBytes = found else {
          state = .awaitingTrailers(scanner)
          return .needMoreData
        }
        let section = buffer.read(sectionBytes)
        return .end(
          trailers: try FieldParser.parse(section, from: 0, fieldsMax: limits.trailerFieldsMax))
      }
    }
  }

  /// Reads a size line without consuming it; nil while it is not complete.
  private mutating func sizeLine(
    _ buffer: ByteBuffer, _ limits: HTTPLimits
  ) throws(HTTPParseError) -> (size: Int, bytes: Int)? {
    var size: UInt64 = 0
    var index = 0
    while index < buffer.count, let digit = Hex.value(buffer[index]) {
      guard index < 16 else { throw .chunkSizeMalformed }
      size = size << 4 | UInt64(digit)
      index += 1
    }
    guard index < buffer.count else { return nil }
    guard index > 0, let size = Int(exactly: size) else { throw .chunkSizeMalformed }
    let digits = index
    if buffer[index] == UInt8(ascii: ";") {
      let allowed = min(limits.chunkExtensionBytesMax, limits.chunkExtensionBytesMax * 16 - extensionBytes)
      while index < buffer.count, isFieldValueByte(buffer[index]) {
        index += 1
        guard index - digits <= allowed else {
          throw .chunkExtensionTooLong(limitBytes: limits.chunkExtensionBytesMax)
        }
      }
      guard index < buffer.count else { return nil }
    }
    guard buffer[index] == UInt8(ascii: "\r") else { throw .chunkSizeMalformed }
    guard index + 1 < buffer.count else { return nil }
    guard buffer[index + 1] == UInt8(ascii: "\n") else { throw .chunkSizeMalformed }
    extensionBytes += index - digits
    return (size, index + 2)
  }
}
