import Bytes
import EventLoop

/// Reads HTTP answers with as little work as possible: the status, and how many bytes the answer has.
/// It understands what the hub sends to a webhook, not all of HTTP.
enum AnswerScanner {
  /// - Parameter hasBody: false for an answer whose head is all of it, a 101.
  /// - Returns: the status of an answer that is there in full, which is consumed; nil when more bytes
  ///   are needed.
  static func read(_ buffer: inout ByteBuffer, hasBody: Bool = true) throws(BenchFailure) -> Int? {
    let found = buffer.withUnsafeReadable { scan($0, hasBody: hasBody) }
    guard let found else { return nil }
    guard found.status >= 100 else { throw BenchFailure("an answer is not HTTP/1.1") }
    guard buffer.count >= found.bytes else { return nil }
    buffer.consume(found.bytes)
    return found.status
  }

  private static func scan(_ bytes: UnsafeRawBufferPointer, hasBody: Bool) -> (status: Int, bytes: Int)? {
    guard let headEnd = headEnd(bytes) else { return nil }
    guard headEnd > 16 else { return (0, headEnd) }
    let status = (9..<12).reduce(0) { $0 * 10 + Int(bytes[$1]) - 48 }
    return (status, headEnd + (hasBody ? contentLength(bytes, headEnd) : 0))
  }

  /// The place behind the empty line.
  private static func headEnd(_ bytes: UnsafeRawBufferPointer) -> Int? {
    var index = 3
    while index < bytes.count {
      if bytes[index] == 10 && bytes[index - 1] == 13 && bytes[index - 2] == 10 { return index + 1 }
      index += 1
    }
    return nil
  }

  private static let name = Array("content-length:".utf8)

  private static func contentLength(_ bytes: UnsafeRawBufferPointer, _ headEnd: Int) -> Int {
    var line = 0
    while line < headEnd {
      if line + name.count < headEnd
        && name.indices.allSatisfy({ bytes[line + $0] | 0x20 == name[$0] | 0x20 })
      {
        var value = 0
        var index = line + name.count
        while bytes[index] != 13 {
          if bytes[index] != 32 { value = value &* 10 &+ Int(bytes[index]) - 48 }
          index += 1
        }
        return value
      }
      while line < headEnd && bytes[line] != 10 { line += 1 }
      line += 1
    }
    return 0
  }
}
