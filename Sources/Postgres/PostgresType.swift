/// The PostgreSQL types that the hub sends, by object id (catalog pg_type; these numbers never change).
package struct PostgresType: Sendable, Hashable {
  /// The type's object id.
  package let oid: UInt32
  /// The object id of the one-dimensional array of it.
  package let arrayOID: UInt32

  package static let bool = PostgresType(oid: 16, arrayOID: 1000)
  package static let bytea = PostgresType(oid: 17, arrayOID: 1001)
  package static let int8 = PostgresType(oid: 20, arrayOID: 1016)
  package static let int2 = PostgresType(oid: 21, arrayOID: 1005)
  package static let int4 = PostgresType(oid: 23, arrayOID: 1007)
  package static let text = PostgresType(oid: 25, arrayOID: 1009)
  package static let json = PostgresType(oid: 114, arrayOID: 199)
  package static let float8 = PostgresType(oid: 701, arrayOID: 1022)
  package static let timestamptz = PostgresType(oid: 1184, arrayOID: 1185)
  package static let uuid = PostgresType(oid: 2950, arrayOID: 2951)
  package static let jsonb = PostgresType(oid: 3802, arrayOID: 3807)
}

/// A `timestamptz` as the hub counts time: microseconds since 1970-01-01 UTC.
///
/// PostgreSQL counts from 2000-01-01; the two meet in `postgresMicroseconds`.
package struct PostgresTimestamp: Sendable, Hashable, Comparable {
  /// Microseconds from 1970-01-01 to 2000-01-01.
  static let epochOffset: Int64 = 946_684_800_000_000

  /// Microseconds since 1970-01-01 00:00:00 UTC.
  package let microseconds: Int64

  package init(microseconds: Int64) {
    self.microseconds = microseconds
  }

  /// Milliseconds since 1970, rounded down. Values past the 64-bit range saturate.
  package init(milliseconds: Int64) {
    let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000)
    microseconds = overflow ? (milliseconds < 0 ? .min : .max) : product
  }

  /// Milliseconds since 1970, rounded down.
  package var milliseconds: Int64 {
    let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: 1_000)
    return remainder < 0 ? quotient - 1 : quotient
  }

  /// The wire form. PostgreSQL's own -infinity and infinity stand at the ends.
  var postgresMicroseconds: Int64 {
    if microseconds == .min || microseconds == .max { return microseconds }
    let (difference, overflow) = microseconds.subtractingReportingOverflow(Self.epochOffset)
    return overflow ? .min : difference
  }

  init(postgresMicroseconds: Int64) {
    if postgresMicroseconds == .min || postgresMicroseconds == .max {
      microseconds = postgresMicroseconds
    } else {
      let (sum, overflow) = postgresMicroseconds.addingReportingOverflow(Self.epochOffset)
      microseconds = overflow ? .max : sum
    }
  }

  package static func < (left: PostgresTimestamp, right: PostgresTimestamp) -> Bool {
    left.microseconds < right.microseconds
  }
}
