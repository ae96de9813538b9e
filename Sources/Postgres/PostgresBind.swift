package import Bytes

/// One parameter of a statement, in PostgreSQL's binary format.
///
/// The type is always sent, so `$1` means the same in every statement; a column of another type needs a
/// cast in the SQL (`$1::text::my_enum`). A bind owns one buffer, arrays included: the hot path passes
/// whole columns as arrays, and no element becomes an object of its own.
///
/// Array format: number of dimensions, has-null flag, element type, length, lower bound (each 32 bits,
/// big-endian), then each element as a 32-bit length (-1 for null) and its bytes.
package struct PostgresBind: Sendable, Equatable {
  /// The type's object id, as sent with the statement.
  package let oid: UInt32
  /// The binary value; nil for NULL.
  package let bytes: [UInt8]?

  init(oid: UInt32, bytes: [UInt8]?) {
    self.oid = oid
    self.bytes = bytes
  }

  // MARK: Scalars. nil becomes NULL of the same type.

  package static func null(_ type: PostgresType) -> PostgresBind {
    PostgresBind(oid: type.oid, bytes: nil)
  }

  /// A NULL array, not an empty one.
  package static func nullArray(of type: PostgresType) -> PostgresBind {
    PostgresBind(oid: type.arrayOID, bytes: nil)
  }

  /// PostgreSQL refuses U+0000 in text (SQLSTATE 22021).
  package static func text(_ value: String?) -> PostgresBind {
    PostgresBind(oid: PostgresType.text.oid, bytes: value.map { Array($0.utf8) })
  }

  /// `bigint`.
  package static func int(_ value: Int?) -> PostgresBind { int8(value.map(Int64.init)) }

  package static func int8(_ value: Int64?) -> PostgresBind {
    PostgresBind(oid: PostgresType.int8.oid, bytes: value.map { bigEndian($0) })
  }

  package static func int4(_ value: Int32?) -> PostgresBind {
    PostgresBind(oid: PostgresType.int4.oid, bytes: value.map { bigEndian($0) })
  }

  package static func int2(_ value: Int16?) -> PostgresBind {
    PostgresBind(oid: PostgresType.int2.oid, bytes: value.map { bigEndian($0) })
  }

  package static func bool(_ value: Bool?) -> PostgresBind {
    PostgresBind(oid: PostgresType.bool.oid, bytes: value.map { [$0 ? 1 : 0] })
  }

  package static func double(_ value: Double?) -> PostgresBind {
    PostgresBind(oid: PostgresType.float8.oid, bytes: value.map { bigEndian($0.bitPattern) })
  }

  package static func uuid(_ value: UUIDv7?) -> PostgresBind {
    PostgresBind(oid: PostgresType.uuid.oid, bytes: value?.bytes)
  }

  package static func bytes(_ value: [UInt8]?) -> PostgresBind {
    PostgresBind(oid: PostgresType.bytea.oid, bytes: value)
  }

  package static func timestamp(_ value: PostgresTimestamp?) -> PostgresBind {
    PostgresBind(
      oid: PostgresType.timestamptz.oid, bytes: value.map { bigEndian($0.postgresMicroseconds) })
  }

  /// The text of a JSON document, stored as `json`: byte for byte.
  package static func json(_ text: [UInt8]?) -> PostgresBind {
    PostgresBind(oid: PostgresType.json.oid, bytes: text)
  }

  /// The text of a JSON document, stored as `jsonb`. PostgreSQL refuses the escape for U+0000.
  package static func jsonb(_ text: [UInt8]?) -> PostgresBind {
    PostgresBind(oid: PostgresType.jsonb.oid, bytes: text.map { [jsonbVersion] + $0 })
  }

  // MARK: Arrays of one dimension

  package static func texts(_ values: some Collection<String?>) -> PostgresBind {
    array(.text, values, bytesPerElement: 24) { value, array in
      var value = value
      value.withUTF8 { array.append(contentsOf: $0) }
    }
  }

  /// `bigint[]`.
  package static func ints(_ values: some Collection<Int?>) -> PostgresBind {
    array(.int8, values, bytesPerElement: 8) { $1.append(bigEndianOf: Int64($0)) }
  }

  package static func int8s(_ values: some Collection<Int64?>) -> PostgresBind {
    array(.int8, values, bytesPerElement: 8) { $1.append(bigEndianOf: $0) }
  }

  package static func int4s(_ values: some Collection<Int32?>) -> PostgresBind {
    array(.int4, values, bytesPerElement: 4) { $1.append(bigEndianOf: $0) }
  }

  package static func int2s(_ values: some Collection<Int16?>) -> PostgresBind {
    array(.int2, values, bytesPerElement: 2) { $1.append(bigEndianOf: $0) }
  }

  package static func bools(_ values: some Collection<Bool?>) -> PostgresBind {
    array(.bool, values, bytesPerElement: 1) { $1.append($0 ? 1 : 0) }
  }

  package static func doubles(_ values: some Collection<Double?>) -> PostgresBind {
    array(.float8, values, bytesPerElement: 8) { $1.append(bigEndianOf: $0.bitPattern) }
  }

  package static func uuids(_ values: some Collection<UUIDv7?>) -> PostgresBind {
    array(.uuid, values, bytesPerElement: 16) { $1.append(contentsOf: $0.bytes) }
  }

  /// `bytea[]`.
  package static func byteArrays(_ values: some Collection<[UInt8]?>) -> PostgresBind {
    array(.bytea, values, bytesPerElement: 64) { $1.append(contentsOf: $0) }
  }

  package static func timestamps(_ values: some Collection<PostgresTimestamp?>) -> PostgresBind {
    array(.timestamptz, values, bytesPerElement: 8) { $1.append(bigEndianOf: $0.postgresMicroseconds) }
  }

  package static func jsons(_ values: some Collection<[UInt8]?>) -> PostgresBind {
    array(.json, values, bytesPerElement: 128) { $1.append(contentsOf: $0) }
  }

  package static func jsonbs(_ values: some Collection<[UInt8]?>) -> PostgresBind {
    array(.jsonb, values, bytesPerElement: 128) { value, array in
      array.append(jsonbVersion)
      array.append(contentsOf: value)
    }
  }

  // MARK: Encoding

  /// The version byte before a jsonb value.
  static let jsonbVersion: UInt8 = 1

  private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func array<Element>(
    _ type: PostgresType, _ values: some Collection<Element?>, bytesPerElement: Int,
    _ append: (Element, inout [UInt8]) -> Void
  ) -> PostgresBind {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(20 + values.count * (4 + bytesPerElement))
    guard !values.isEmpty else {
      bytes.append(bigEndianOf: Int32(0))
      bytes.append(bigEndianOf: Int32(0))
      bytes.append(bigEndianOf: type.oid)
      return PostgresBind(oid: type.arrayOID, bytes: bytes)
    }
    bytes.append(bigEndianOf: Int32(1))
    bytes.append(bigEndianOf: Int32(0))
    bytes.append(bigEndianOf: type.oid)
    bytes.append(bigEndianOf: Int32(clamping: values.count))
    bytes.append(bigEndianOf: Int32(1))
    var hasNull = false
    for value in values {
      let lengthAt = bytes.count
      bytes.append(bigEndianOf: Int32(-1))
      guard let value else {
        hasNull = true
        continue
      }
      append(value, &bytes)
      bytes.overwrite(at: lengthAt, bigEndianOf: Int32(clamping: bytes.count - lengthAt - 4))
    }
    if hasNull { bytes.overwrite(at: 4, bigEndianOf: Int32(1)) }
    return PostgresBind(oid: type.arrayOID, bytes: bytes)
  }
}

/// A statement and its parameters, for `batch`.
package struct PostgresStatement: Sendable, Equatable {
  package let sql: String
  package let binds: [PostgresBind]

  package init(_ sql: String, _ binds: [PostgresBind] = []) {
    self.sql = sql
    self.binds = binds
  }
}

extension [UInt8] {
  fileprivate mutating func append(bigEndianOf value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func overwrite(at offset: Int, bigEndianOf value: Int32) {
    Swift.withUnsafeBytes(of: value.bigEndian) { source in
      for index in 0..<4 { self[offset + index] = source[index] }
    }
  }
}
