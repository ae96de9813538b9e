/// What a server may make us hold. Everything beyond is an error, after which the connection is closed.
package struct IMAPLimits: Sendable, Equatable {
  /// The lines of one response together, without its literals: a search may name many messages.
  package var lineBytesMax = 1 << 20
  /// One literal.
  package var literalBytesMax = 32 << 20
  /// The literals of one response together.
  package var literalBytesTotalMax = 33 << 20
  /// Literals in one response.
  package var literalsMax = 64
  /// Lists within lists.
  package var depthMax = 32

  package init() {}
}

/// Why a server's bytes were refused. The place where the next response begins is not to be trusted after
/// any of these, so the connection must be closed.
package enum IMAPParseError: Error, Equatable, Sendable {
  /// A line that ends with LF alone, or that holds a NUL.
  case lineMalformed
  case lineTooLong(limitBytes: Int)
  case literalTooLong(limitBytes: Int)
  case literalsTooMany(limit: Int)
  case nestedTooDeep(limit: Int)
  /// Not the grammar of RFC 9051; the text says which part.
  case malformed(String)
}
