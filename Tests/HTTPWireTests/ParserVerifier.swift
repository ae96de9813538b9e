import Fuzzing
import HTTPWire

/// Feeds one input to fresh parsers in pieces, and compares what came out.
enum ParserVerifier {
  static func run(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits()) -> RequestTranscript {
    RequestTranscript(pieces, limits: limits)
  }

  /// The transcript of the whole input, and every other way to cut it that disagrees with it:
  /// byte by byte and in two at each place.
  static func verify(
    _ input: [UInt8], limits: HTTPLimits = HTTPLimits()
  ) -> (whole: RequestTranscript, disagreements: [String]) {
    let whole = run([input], limits: limits)
    let disagreements = Cutting.everywhere.ways(input).filter { run($0, limits: limits) != whole }
    return (whole, disagreements.map { "cut to \($0.map(\.count))" })
  }

  static func verify(
    _ input: String, limits: HTTPLimits = HTTPLimits()
  ) -> (whole: RequestTranscript, disagreements: [String]) {
    verify(Array(input.utf8), limits: limits)
  }
}
