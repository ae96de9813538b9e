import Bytes

/// One response as it came: lines and the literals between them.
struct IMAPFrame: Sendable, Equatable {
  enum Part: Sendable, Equatable {
    /// Without its line end, and without the `{count}` that announces a literal.
    case line([UInt8])
    case literal([UInt8])
  }

  var parts: [Part] = []
}

/// Cuts a stream into responses (RFC 9051 section 2.2.2): a line, and behind `{count}` at its end that many
/// bytes and another line.
///
/// It remembers how far it looked, and a literal leaves the buffer as it arrives, so that the work is
/// linear however the bytes were cut and the buffer never holds a large mail twice.
struct IMAPFramer: Sendable {
  private enum State: Sendable {
    case line
    case literal(leftBytes: Int)
  }

  private let limits: IMAPLimits
  private var state = State.line
  private var frame = IMAPFrame()
  private var literal: [UInt8] = []
  /// Bytes of the current line that hold no line end.
  private var scannedBytes = 0
  private var lineBytes = 0
  private var literalBytes = 0
  private var literals = 0
  /// Human text may end with `{12}` and announces nothing.
  private var isText = false

  init(limits: IMAPLimits) {
    self.limits = limits
  }

  /// Nothing of a response has been read.
  var isAtStart: Bool { frame.parts.isEmpty && scannedBytes == 0 }

  /// nil: the response is not complete.
  mutating func read(_ buffer: inout ByteBuffer) throws(IMAPParseError) -> IMAPFrame? {
    while true {
      switch state {
      case .line:
        guard let line = try readLine(&buffer) else { return nil }
        guard let announced = try announcedLiteral(line) else {
          frame.parts.append(.line(line))
          return finish()
        }
        frame.parts.append(.line(Array(line.prefix(announced.textBytes))))
        state = .literal(leftBytes: announced.literalBytes)
      case .literal(let leftBytes):
        let taken = min(leftBytes, buffer.count)
        if taken > 0 {
          literal.append(contentsOf: buffer.readable.prefix(taken))
          buffer.consume(taken)
        }
        guard taken == leftBytes else {
          state = .literal(leftBytes: leftBytes - taken)
          return nil
        }
        frame.parts.append(.literal(literal))
        literal = []
        state = .line
      }
    }
  }

  private mutating func finish() -> IMAPFrame {
    defer { self = IMAPFramer(limits: limits) }
    return frame
  }

  private mutating func readLine(_ buffer: inout ByteBuffer) throws(IMAPParseError) -> [UInt8]? {
    let known = scannedBytes
    let found = buffer.withUnsafeReadable { bytes -> Int? in
      for index in known..<bytes.count where bytes[index] == UInt8(ascii: "\n") { return index }
      return nil
    }
    let length = found.map { $0 + 1 } ?? buffer.count
    guard lineBytes + length <= limits.lineBytesMax else {
      throw .lineTooLong(limitBytes: limits.lineBytesMax)
    }
    guard let end = found else {
      scannedBytes = buffer.count
      return nil
    }
    var line = buffer.read(end + 1)
    lineBytes += line.count
    scannedBytes = 0
    line.removeLast()
    guard line.popLast() == UInt8(ascii: "\r"), !line.contains(0), !line.contains(UInt8(ascii: "\r")) else {
      throw .lineMalformed
    }
    if frame.parts.isEmpty { isText = Self.isText(line) }
    return line
  }

  /// `{count}`, `{count+}` or `~{count}` at the end of a line.
  private mutating func announcedLiteral(
    _ line: [UInt8]
  ) throws(IMAPParseError) -> (textBytes: Int, literalBytes: Int)? {
    guard !isText, line.last == UInt8(ascii: "}"),
      let brace = line.suffix(16).lastIndex(of: UInt8(ascii: "{"))
    else { return nil }
    var digits = line[(brace + 1)..<(line.count - 1)]
    if digits.last == UInt8(ascii: "+") { digits.removeLast() }
    guard let count = IMAPNumber.parse(digits) else { throw .malformed("literal") }
    guard count <= UInt64(limits.literalBytesMax) else {
      throw .literalTooLong(limitBytes: limits.literalBytesMax)
    }
    literals += 1
    literalBytes += Int(count)
    guard literals <= limits.literalsMax else { throw .literalsTooMany(limit: limits.literalsMax) }
    guard literalBytes <= limits.literalBytesTotalMax else {
      throw .literalTooLong(limitBytes: limits.literalBytesTotalMax)
    }
    let isBinary = brace > 0 && line[brace - 1] == UInt8(ascii: "~")
    return (isBinary ? brace - 1 : brace, Int(count))
  }

  /// Whether the response ends in text for people: a continuation, or a status.
  private static func isText(_ line: [UInt8]) -> Bool {
    if line.first == UInt8(ascii: "+") { return true }
    guard let space = line.prefix(64).firstIndex(of: UInt8(ascii: " ")) else { return false }
    let word = line[(space + 1)...].prefix { $0 != UInt8(ascii: " ") }
    return word.count <= 8 && IMAPCondition(bytes: word) != nil
  }
}

/// Numbers as the grammar has them: digits only.
enum IMAPNumber {
  /// nil for no digits, other characters, and what 63 bits do not hold.
  static func parse(_ digits: some Collection<UInt8>) -> UInt64? {
    guard !digits.isEmpty, digits.count <= 19 else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + UInt64(digit - UInt8(ascii: "0"))
    }
    return value <= UInt64(Int64.max) ? value : nil
  }
}
