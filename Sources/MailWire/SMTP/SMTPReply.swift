package import Bytes

/// The code behind the code (RFC 3463): `5.1.1`.
package struct SMTPEnhancedCode: Sendable, Equatable, CustomStringConvertible {
  /// 2, 4 or 5.
  package var statusClass: Int
  package var subject: Int
  package var detail: Int

  package init(_ statusClass: Int, _ subject: Int, _ detail: Int) {
    self.statusClass = statusClass
    self.subject = subject
    self.detail = detail
  }

  /// Reads the first word of a reply's text. nil when it is not such a code.
  init?(_ word: Substring) {
    let parts = word.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts.allSatisfy({ (1...3).contains($0.count) && $0.allSatisfy(\.isASCII) }),
      let statusClass = Int(parts[0]), let subject = Int(parts[1]), let detail = Int(parts[2]),
      [2, 4, 5].contains(statusClass), subject >= 0, detail >= 0
    else { return nil }
    self.init(statusClass, subject, detail)
  }

  package var description: String { "\(statusClass).\(subject).\(detail)" }
}

/// One answer of a server: a code of three digits, and lines for people (RFC 5321 section 4.2).
package struct SMTPReply: Sendable, Equatable {
  package var code: Int
  /// Without the code, never empty.
  package var lines: [String]

  package init(_ code: Int, _ lines: [String]) {
    self.code = code
    self.lines = lines
  }

  package var isPositive: Bool { code < 400 }
  package var text: String { lines.joined(separator: " ") }

  package var enhancedCode: SMTPEnhancedCode? {
    guard let word = lines.first?.prefix(while: { $0 != " " }) else { return nil }
    return SMTPEnhancedCode(word)
  }
}

/// What a server may make us hold.
package struct SMTPLimits: Sendable, Equatable {
  /// The standard says 512; servers say more.
  package var lineBytesMax = 4_096
  package var linesMax = 128

  package init() {}
}

/// Why a server's bytes were refused; the connection must be closed.
package enum SMTPParseError: Error, Equatable, Sendable {
  case lineTooLong(limitBytes: Int)
  case linesTooMany(limit: Int)
  case malformed
}

/// Reads replies from a stream of bytes. A line may end with LF alone, as some servers have it.
package struct SMTPReplyParser: Sendable {
  package enum Event: Sendable, Equatable {
    case needMoreData
    case reply(SMTPReply)
  }

  private let limits: SMTPLimits
  private var scannedBytes = 0
  private var code: Int?
  private var lines: [String] = []
  private var failure: SMTPParseError?

  package init(limits: SMTPLimits = SMTPLimits()) {
    self.limits = limits
  }

  /// Reads on. Every call after an error throws it again.
  package mutating func read(_ buffer: inout ByteBuffer) throws(SMTPParseError) -> Event {
    if let failure { throw failure }
    do throws(SMTPParseError) {
      while let line = try readLine(&buffer) {
        if let reply = try take(line) { return .reply(reply) }
      }
      return .needMoreData
    } catch {
      failure = error
      throw error
    }
  }

  private mutating func readLine(_ buffer: inout ByteBuffer) throws(SMTPParseError) -> [UInt8]? {
    let known = scannedBytes
    let found = buffer.withUnsafeReadable { bytes -> Int? in
      for index in known..<bytes.count where bytes[index] == UInt8(ascii: "\n") { return index }
      return nil
    }
    guard (found.map { $0 + 1 } ?? buffer.count) <= limits.lineBytesMax else {
      throw .lineTooLong(limitBytes: limits.lineBytesMax)
    }
    guard let end = found else {
      scannedBytes = buffer.count
      return nil
    }
    scannedBytes = 0
    var line = buffer.read(end + 1)
    line.removeLast()
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    return line
  }

  /// - Returns: the reply when this was its last line.
  private mutating func take(_ line: [UInt8]) throws(SMTPParseError) -> SMTPReply? {
    guard line.count >= 3, !line.contains(0), !line.contains(UInt8(ascii: "\r")) else { throw .malformed }
    var number = 0
    for digit in line[..<3] {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { throw .malformed }
      number = number * 10 + Int(digit - UInt8(ascii: "0"))
    }
    guard (200..<600).contains(number), code == nil || code == number else { throw .malformed }
    let separator = line.count > 3 ? line[3] : UInt8(ascii: " ")
    guard separator == UInt8(ascii: " ") || separator == UInt8(ascii: "-") else { throw .malformed }
    guard lines.count < limits.linesMax else { throw .linesTooMany(limit: limits.linesMax) }
    lines.append(String(decoding: line.dropFirst(4), as: UTF8.self))
    guard separator == UInt8(ascii: " ") else {
      code = number
      return nil
    }
    defer {
      code = nil
      lines = []
    }
    return SMTPReply(number, lines)
  }
}
