package import HTTPWire

/// Error answers in the form of RFC 9457 with a stable `code`, for faults that the server and the
/// router find themselves.
package enum HTTPProblem {
  /// - Parameter code: lower case words with underscores; programs compare it.
  package static func response(
    _ status: HTTPStatus, code: String, headers: HTTPHeaders = [:]
  ) -> HTTPResponse {
    // Both texts are constants of ours without quotes or control bytes.
    let body =
      #"{"type":"about:blank","title":"\#(status.reason)","status":\#(status.code),"code":"\#(code)"}"#
    return .bytes(status, Array(body.utf8), type: "application/problem+json", headers: headers)
  }

  /// The code of a message that could not be read.
  static func code(of error: HTTPParseError) -> String {
    switch error {
    case .requestLineTooLong: "target_too_long"
    case .headerTooLarge, .fieldsTooMany: "header_too_large"
    case .bodyTooLarge: "body_too_large"
    case .methodUnknown: "method_unknown"
    case .versionUnsupported: "version_unsupported"
    case .transferEncodingUnsupported: "transfer_coding_unsupported"
    case .expectationUnknown: "expectation_unknown"
    case .queryMalformed, .queryItemsTooMany: "query_malformed"
    case .requestLineMalformed, .targetMalformed, .statusLineMalformed, .bareLineFeed, .fieldNameMalformed,
      .fieldValueMalformed, .lineFolded, .hostMissing, .hostRepeated, .hostMalformed,
      .contentLengthMalformed, .contentLengthRepeated, .transferEncodingMalformed,
      .transferEncodingWithContentLength, .transferEncodingBeforeHTTP11, .chunkSizeMalformed,
      .chunkExtensionTooLong, .chunkEndMissing, .endedEarly:
      "malformed_request"
    }
  }
}
