/// Why a message was refused: always the peer's fault.
///
/// After any of these the place where the next message begins is unknown or not to be trusted, so
/// the connection must be closed once the answer with `status` is sent (RFC 9112 sections 2.2, 6.3).
package enum HTTPParseError: Error, Equatable, Sendable {
  // The first line.
  case requestLineMalformed
  case requestLineTooLong(limitBytes: Int)
  case methodUnknown
  case versionUnsupported
  case targetMalformed
  case statusLineMalformed

  // Fields.
  /// A line that ends with LF alone. A CR alone is a `.fieldValueMalformed` or `.…LineMalformed`.
  case bareLineFeed
  case headerTooLarge(limitBytes: Int)
  case fieldsTooMany(limit: Int)
  case fieldNameMalformed
  case fieldValueMalformed
  /// A line that begins with white space: an obsolete fold, or a blank before the first field.
  case lineFolded

  // Fields that decide about the message.
  case hostMissing
  case hostRepeated
  case hostMalformed
  case contentLengthMalformed
  case contentLengthRepeated
  case transferEncodingMalformed
  case transferEncodingUnsupported
  case transferEncodingWithContentLength
  case transferEncodingBeforeHTTP11
  case expectationUnknown

  // The body.
  case bodyTooLarge(limitBytes: Int)
  case chunkSizeMalformed
  case chunkExtensionTooLong(limitBytes: Int)
  case chunkEndMissing
  /// The peer closed in the middle of a message.
  case endedEarly

  // Query and form.
  case queryMalformed
  case queryItemsTooMany(limit: Int)

  /// What a server answers.
  package var status: HTTPStatus {
    switch self {
    case .requestLineTooLong: .uriTooLong
    case .methodUnknown, .transferEncodingUnsupported: .notImplemented
    case .versionUnsupported: .versionNotSupported
    case .headerTooLarge, .fieldsTooMany: .headerFieldsTooLarge
    case .expectationUnknown: .expectationFailed
    case .bodyTooLarge: .contentTooLarge
    case .requestLineMalformed, .targetMalformed, .statusLineMalformed, .bareLineFeed, .fieldNameMalformed,
      .fieldValueMalformed, .lineFolded, .hostMissing, .hostRepeated, .hostMalformed,
      .contentLengthMalformed, .contentLengthRepeated, .transferEncodingMalformed,
      .transferEncodingWithContentLength, .transferEncodingBeforeHTTP11, .chunkSizeMalformed,
      .chunkExtensionTooLong, .chunkEndMissing, .endedEarly, .queryMalformed, .queryItemsTooMany:
      .badRequest
    }
  }
}
