import Bytes

/// Finds the end of a head or a trailer section: line after line, up to the empty one.
///
/// It remembers how far it looked, so a head that arrives byte by byte is read once. The answer does
/// not depend on where the bytes were cut: a limit is reported as soon as the line end that would
/// still satisfy it can no longer come.
struct HeadScanner: Sendable, Equatable {
  /// Bytes already searched for line feeds.
  private var scannedBytes = 0
  private var lineStart = 0
  /// Where the field lines begin; nil while the first line is not complete.
  private(set) var fieldsStart: Int?

  /// - Parameter hasFirstLine: false for trailers, which are fields from the start.
  init(hasFirstLine: Bool) {
    fieldsStart = hasFirstLine ? nil : 0
  }

  private enum Outcome {
    case incomplete
    case complete(bytes: Int)
    case failed(HTTPParseError)
  }

  /// Looks at the front of `buffer`, which must be the same bytes as before with more behind them.
  /// Consumes nothing.
  ///
  /// - Returns: the size of the section with its empty line, nil when it is not there yet.
  mutating func scan(
    _ buffer: ByteBuffer, firstLineBytesMax: Int, fieldBytesMax: Int
  ) throws(HTTPParseError) -> Int? {
    let outcome = buffer.withUnsafeReadable { bytes -> Outcome in
      for index in scannedBytes..<bytes.count where bytes[index] == UInt8(ascii: "\n") {
        if let fieldsStart {
          guard index + 1 - fieldsStart <= fieldBytesMax else {
            return .failed(.headerTooLarge(limitBytes: fieldBytesMax))
          }
        } else if index > firstLineBytesMax + 1 {
          return .failed(.requestLineTooLong(limitBytes: firstLineBytesMax))
        }
        guard index > lineStart, bytes[index - 1] == UInt8(ascii: "\r") else { return .failed(.bareLineFeed) }
        if fieldsStart == nil {
          fieldsStart = index + 1
        } else if index - 1 == lineStart {
          return .complete(bytes: index + 1)
        }
        lineStart = index + 1
      }
      scannedBytes = bytes.count
      return overflow(of: bytes.count, firstLineBytesMax, fieldBytesMax)
    }
    switch outcome {
    case .incomplete: return nil
    case .complete(let bytes): return bytes
    case .failed(let error): throw error
    }
  }

  /// Whether the earliest place for the next line end is already beyond a limit.
  private func overflow(of byteCount: Int, _ firstLineBytesMax: Int, _ fieldBytesMax: Int) -> Outcome {
    if let fieldsStart {
      return byteCount + 1 - fieldsStart > fieldBytesMax
        ? .failed(.headerTooLarge(limitBytes: fieldBytesMax)) : .incomplete
    }
    return byteCount > firstLineBytesMax + 1
      ? .failed(.requestLineTooLong(limitBytes: firstLineBytesMax)) : .incomplete
  }
}
