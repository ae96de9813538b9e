/// What a parser accepts before it gives up. Enforced where bytes enter.
package struct HTTPLimits: Sendable, Equatable {
  /// The request or status line without its CRLF.
  package var firstLineBytesMax = 8 * 1024
  /// All field lines of a head with their line ends.
  package var headerBytesMax = 32 * 1024
  package var headerFieldsMax = 100
  /// The decoded body; a parser lets it be changed after each head.
  package var bodyBytesMax = 1024 * 1024
  /// The extension of one chunk. All extensions of a body together may have sixteen times this.
  package var chunkExtensionBytesMax = 256
  package var trailerBytesMax = 8 * 1024
  package var trailerFieldsMax = 32
  package var methods = HTTPMethod.served

  package init() {}
}
