import Bytes
import HTTPWire

/// Feeds one input to a fresh parser in given pieces and notes what came out, with body parts joined,
/// so that results of different cuts can be compared.
enum ParserVerifier {
  struct Message: Equatable {
    var head: HTTPRequestHead
    var kind: HTTPBodyKind
    var body: [UInt8] = []
    var trailers: HTTPHeaders?
  }

  struct Transcript: Equatable {
    var messages: [Message] = []
    var error: HTTPParseError?
    /// Bytes that no event covered; not compared after an error.
    var leftBytes = 0
  }

  static func run(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits()) -> Transcript {
    var parser = RequestParser(limits: limits)
    var buffer = ByteBuffer()
    var transcript = Transcript()
    for piece in pieces {
      buffer.append(contentsOf: piece)
      do {
        try drain(&parser, &buffer, &transcript)
      } catch {
        transcript.error = error
        return transcript
      }
    }
    transcript.leftBytes = buffer.count
    return transcript
  }

  private static func drain(
    _ parser: inout RequestParser, _ buffer: inout ByteBuffer, _ transcript: inout Transcript
  ) throws(HTTPParseError) {
    while true {
      switch try parser.read(&buffer) {
      case .needMoreData: return
      case .head(let head, let kind): transcript.messages.append(Message(head: head, kind: kind))
      case .bodyPart(let part): transcript.messages[transcript.messages.count - 1].body += part
      case .end(let trailers): transcript.messages[transcript.messages.count - 1].trailers = trailers
      }
    }
  }

  /// The transcript of the whole input, and every other way to cut it that disagrees with it:
  /// byte by byte and in two at each place.
  static func verify(
    _ input: [UInt8], limits: HTTPLimits = HTTPLimits()
  ) -> (whole: Transcript, disagreements: [String]) {
    let whole = run([input], limits: limits)
    var disagreements: [String] = []
    if run(input.map { [$0] }, limits: limits) != whole { disagreements.append("byte by byte") }
    for cut in 1..<max(input.count, 2) where cut < input.count {
      if run([Array(input[..<cut]), Array(input[cut...])], limits: limits) != whole {
        disagreements.append("cut at \(cut)")
      }
    }
    return (whole, disagreements)
  }

  static func verify(
    _ input: String, limits: HTTPLimits = HTTPLimits()
  ) -> (whole: Transcript, disagreements: [String]) {
    verify(Array(input.utf8), limits: limits)
  }
}
