import Bytes

@testable import MailWire

/// Feeds one input to a fresh parser in given pieces and notes what came out, so that results of different
/// cuts can be compared.
enum IMAPVerifier {
  struct Transcript: Equatable {
    var responses: [IMAPResponse] = []
    var error: IMAPParseError?
    /// Bytes of a next response that has begun; not compared after an error.
    var isBetweenResponses = true
  }

  static func run(_ pieces: [[UInt8]], limits: IMAPLimits = IMAPLimits()) -> Transcript {
    var parser = IMAPResponseParser(limits: limits)
    var buffer = ByteBuffer()
    var transcript = Transcript()
    for piece in pieces {
      buffer.append(contentsOf: piece)
      do {
        while case .response(let response) = try parser.read(&buffer) {
          transcript.responses.append(response)
        }
      } catch {
        transcript.error = error
        return transcript
      }
    }
    transcript.isBetweenResponses = parser.isBetweenResponses && buffer.isEmpty
    return transcript
  }

  /// The transcript of the whole input, and every other way to cut it that disagrees with it: byte by byte
  /// and in two at each place.
  static func verify(
    _ input: [UInt8], limits: IMAPLimits = IMAPLimits()
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
    _ input: String, limits: IMAPLimits = IMAPLimits()
  ) -> (whole: Transcript, disagreements: [String]) {
    verify(Array(input.utf8), limits: limits)
  }
}

/// Pseudo-random numbers that are the same in every run.
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
