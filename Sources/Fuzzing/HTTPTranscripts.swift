import Bytes
package import HTTPWire

/// What a request parser makes of bytes that come in pieces, body parts joined, so that two ways to cut
/// the same bytes can be compared.
package struct RequestTranscript: Equatable, Sendable {
  package struct Message: Equatable, Sendable {
    package var head: HTTPRequestHead
    package var kind: HTTPBodyKind
    package var body: [UInt8] = []
    /// nil: the request is not complete.
    package var trailers: HTTPHeaders?
  }

  package private(set) var messages: [Message] = []
  package private(set) var error: HTTPParseError?
  /// Bytes that no event covered; 0 after an error.
  package private(set) var leftBytes = 0

  package init(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits()) {
    var parser = RequestParser(limits: limits)
    var buffer = ByteBuffer()
    do throws(HTTPParseError) {
      for piece in pieces {
        buffer.append(contentsOf: piece)
        while note(try parser.read(&buffer)) {}
      }
      leftBytes = buffer.count
    } catch {
      self.error = error
    }
  }

  /// - Returns: whether the parser may have more to say.
  private mutating func note(_ event: RequestParser.Event) -> Bool {
    switch event {
    case .needMoreData: return false
    case .head(let head, let kind): messages.append(Message(head: head, kind: kind))
    case .bodyPart(let part): messages[messages.count - 1].body += part
    case .end(let trailers): messages[messages.count - 1].trailers = trailers
    }
    return true
  }
}

/// The same for responses, all to requests of one method.
package struct ResponseTranscript: Equatable, Sendable {
  package struct Message: Equatable, Sendable {
    package var head: HTTPResponseHead
    /// nil: informational, another follows.
    package var kind: HTTPBodyKind?
    package var body: [UInt8] = []
    package var trailers: HTTPHeaders?
  }

  package private(set) var messages: [Message] = []
  package private(set) var error: HTTPParseError?

  /// - Parameter closes: whether the peer closes behind the last byte.
  package init(_ pieces: [[UInt8]], _ method: HTTPMethod, closes: Bool, limits: HTTPLimits = HTTPLimits()) {
    var parser = ResponseParser(limits: limits)
    parser.begin(method)
    var buffer = ByteBuffer()
    do throws(HTTPParseError) {
      for piece in pieces {
        buffer.append(contentsOf: piece)
        while note(try parser.read(&buffer)) {}
      }
      if closes, let event = try parser.endOfInput() { _ = note(event) }
    } catch {
      self.error = error
    }
  }

  private mutating func note(_ event: ResponseParser.Event) -> Bool {
    switch event {
    case .needMoreData: return false
    case .informational(let head): messages.append(Message(head: head, kind: nil))
    case .head(let head, let kind): messages.append(Message(head: head, kind: kind))
    case .bodyPart(let part): messages[messages.count - 1].body += part
    case .end(let trailers): messages[messages.count - 1].trailers = trailers
    }
    return true
  }
}
