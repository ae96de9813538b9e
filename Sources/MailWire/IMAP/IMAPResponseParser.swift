package import Bytes

/// Reads a server's responses from a stream of bytes (RFC 3501, 9051, 7162, 4315, 4731).
///
/// The work is linear in the bytes, whatever their cuts; a number set is never spelled out.
package struct IMAPResponseParser: Sendable {
  package enum Event: Sendable, Equatable {
    case needMoreData
    case response(IMAPResponse)
  }

  private let limits: IMAPLimits
  private var framer: IMAPFramer
  private var failure: IMAPParseError?
  /// A server of revision 2 alone has mailbox names in UTF-8 (`IMAPCapabilities.namesAreUTF8`).
  package var namesAreUTF8 = false

  package init(limits: IMAPLimits = IMAPLimits()) {
    self.limits = limits
    framer = IMAPFramer(limits: limits)
  }

  /// Nothing of a next response has been read.
  package var isBetweenResponses: Bool { framer.isAtStart }

  /// Reads on. Every call after an error throws it again.
  package mutating func read(_ buffer: inout ByteBuffer) throws(IMAPParseError) -> Event {
    if let failure { throw failure }
    do throws(IMAPParseError) {
      guard let frame = try framer.read(&buffer) else { return .needMoreData }
      return .response(try parse(frame))
    } catch {
      failure = error
      throw error
    }
  }

  private func parse(_ frame: IMAPFrame) throws(IMAPParseError) -> IMAPResponse {
    guard case .line(let line)? = frame.parts.first else { throw .malformed("response") }
    if line.first == UInt8(ascii: "+") {
      return .continuation(String(decoding: line.dropFirst().drop { $0 == UInt8(ascii: " ") }, as: UTF8.self))
    }
    guard let space = line.firstIndex(of: UInt8(ascii: " ")), space > 0 else { throw .malformed("response") }
    let tag = String(decoding: line[..<space], as: UTF8.self)
    let rest = line[(space + 1)...]
    let word = rest.prefix { $0 != UInt8(ascii: " ") }
    if word.count <= 8, let condition = IMAPCondition(bytes: word) {
      let status = try IMAPStatusReader.read(condition, rest.dropFirst(word.count))
      return tag == "*" ? .status(status) : .completion(tag: tag, status)
    }
    guard tag == "*" else { throw .malformed("status") }
    var frame = frame
    frame.parts[0] = .line(Array(rest))
    var reader = IMAPValueReader(frame, depthMax: limits.depthMax)
    return try IMAPDataReader(namesAreUTF8: namesAreUTF8).read(try reader.readAll())
  }
}
