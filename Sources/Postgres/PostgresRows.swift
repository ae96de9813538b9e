package import Bytes
import CPostgres

/// The rows a statement returned, in binary format, and what it did.
///
/// Immutable, so it may cross threads. It keeps libpq's own memory until the last reference goes; values
/// are decoded when they are asked for.
package final class PostgresRows: @unchecked Sendable, RandomAccessCollection {
  // Safe because: the PGresult is never changed after it was made, reading one from many threads is
  // allowed by libpq (manual, section 34.20), and only deinit frees it.
  let result: OpaquePointer?
  private let rowCount: Int
  package let columnCount: Int
  /// Rows inserted, updated, deleted or selected, from the command's tag.
  package let affectedRows: Int

  /// Takes over `result`; nil stands for no rows.
  init(_ result: OpaquePointer?) {
    self.result = result
    rowCount = result.map { Int(PQntuples($0)) } ?? 0
    columnCount = result.map { Int(PQnfields($0)) } ?? 0
    affectedRows = result.flatMap { PQcmdTuples($0) }.flatMap { Int(String(cString: $0)) } ?? 0
  }

  deinit {
    PQclear(result)
  }

  /// What the command did: `INSERT 0 1`, `COMMIT`.
  package var commandTag: String {
    PQcmdStatus(result).map { String(cString: $0) } ?? ""
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { rowCount }

  package subscript(row: Int) -> PostgresRow {
    precondition(row >= 0 && row < rowCount, "row \(row) of \(rowCount)")
    return PostgresRow(rows: self, index: row)
  }

  /// The position of a column by name. nil when there is none.
  package func columnIndex(_ name: String) -> Int? {
    let index = PQfnumber(result, name)
    return index < 0 ? nil : Int(index)
  }

  func columnName(_ column: Int) -> String {
    PQfname(result, Int32(column)).map { String(cString: $0) } ?? "\(column)"
  }

  func columnType(_ column: Int) -> UInt32 {
    PQftype(result, Int32(column))
  }
}

/// One row. Each getter throws `decoding` when the column does not exist, is NULL (the `optional` forms
/// return nil instead), or is of a type that does not fit.
package struct PostgresRow: Sendable {
  private let rows: PostgresRows
  private let index: Int

  init(rows: PostgresRows, index: Int) {
    self.rows = rows
    self.index = index
  }

  /// A column, by position from 0 or by name (case as PostgreSQL folds it: `"Name"` keeps its case).
  package enum Column: Sendable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    case position(Int)
    case name(String)

    package init(integerLiteral value: Int) { self = .position(value) }
    package init(stringLiteral value: String) { self = .name(value) }
  }

  // MARK: Required values

  /// text, varchar, char, name, json, an enum; jsonb as its text.
  package func string(_ column: Column) throws(PostgresError) -> String {
    try required(optionalString(column), column)
  }

  /// int2, int4 or int8.
  package func int(_ column: Column) throws(PostgresError) -> Int {
    try required(optionalInt(column), column)
  }

  /// int2, int4 or int8.
  package func int64(_ column: Column) throws(PostgresError) -> Int64 {
    Int64(try int(column))
  }

  package func bool(_ column: Column) throws(PostgresError) -> Bool {
    try required(optionalBool(column), column)
  }

  /// bytea, or the bytes of a text, json or jsonb.
  package func bytes(_ column: Column) throws(PostgresError) -> [UInt8] {
    try required(optionalBytes(column), column)
  }

  package func uuid(_ column: Column) throws(PostgresError) -> UUIDv7 {
    try required(optionalUUID(column), column)
  }

  package func timestamp(_ column: Column) throws(PostgresError) -> PostgresTimestamp {
    try required(optionalTimestamp(column), column)
  }

  /// float8 or float4.
  package func double(_ column: Column) throws(PostgresError) -> Double {
    try required(optionalDouble(column), column)
  }

  // MARK: Values that may be NULL

  package func isNull(_ column: Column) throws(PostgresError) -> Bool {
    try value(column) == nil
  }

  package func optionalString(_ column: Column) throws(PostgresError) -> String? {
    guard let value = try value(column) else { return nil }
    guard value.isTextual else { throw mismatch(column, "string") }
    return String(decoding: value.text, as: UTF8.self)
  }

  package func optionalInt(_ column: Column) throws(PostgresError) -> Int? {
    guard let value = try value(column) else { return nil }
    guard let int = BinaryValue.int(value.oid, value.bytes) else { throw mismatch(column, "integer") }
    return int
  }

  package func optionalInt64(_ column: Column) throws(PostgresError) -> Int64? {
    try optionalInt(column).map(Int64.init)
  }

  package func optionalBool(_ column: Column) throws(PostgresError) -> Bool? {
    guard let value = try value(column) else { return nil }
    guard value.oid == PostgresType.bool.oid, value.bytes.count == 1 else { throw mismatch(column, "bool") }
    return value.bytes[0] != 0
  }

  package func optionalBytes(_ column: Column) throws(PostgresError) -> [UInt8]? {
    guard let value = try value(column) else { return nil }
    guard value.oid == PostgresType.bytea.oid || value.isTextual else { throw mismatch(column, "bytes") }
    return Array(value.text)
  }

  package func optionalUUID(_ column: Column) throws(PostgresError) -> UUIDv7? {
    guard let value = try value(column) else { return nil }
    guard value.oid == PostgresType.uuid.oid, let uuid = UUIDv7(bytes: value.bytes) else {
      throw mismatch(column, "uuid")
    }
    return uuid
  }

  package func optionalTimestamp(_ column: Column) throws(PostgresError) -> PostgresTimestamp? {
    guard let value = try value(column) else { return nil }
    // timestamp without time zone has the same form; the hub's columns have none.
    guard value.oid == PostgresType.timestamptz.oid, value.bytes.count == 8 else {
      throw mismatch(column, "timestamptz")
    }
    return PostgresTimestamp(postgresMicroseconds: BinaryValue.integer(value.bytes, as: Int64.self))
  }

  package func optionalDouble(_ column: Column) throws(PostgresError) -> Double? {
    guard let value = try value(column) else { return nil }
    guard let double = BinaryValue.double(value.oid, value.bytes) else { throw mismatch(column, "double") }
    return double
  }

  // MARK: Arrays of one dimension, elements may be NULL

  package func strings(_ column: Column) throws(PostgresError) -> [String?] {
    try array(column, "text[]") { oid, bytes in
      BinaryValue.isTextual(oid) ? String(decoding: BinaryValue.text(oid, bytes), as: UTF8.self) : nil
    }
  }

  package func ints(_ column: Column) throws(PostgresError) -> [Int?] {
    try array(column, "integer[]") { BinaryValue.int($0, $1) }
  }

  package func bools(_ column: Column) throws(PostgresError) -> [Bool?] {
    try array(column, "bool[]") { $0 == PostgresType.bool.oid && $1.count == 1 ? $1[0] != 0 : nil }
  }

  package func doubles(_ column: Column) throws(PostgresError) -> [Double?] {
    try array(column, "float8[]") { BinaryValue.double($0, $1) }
  }

  package func uuids(_ column: Column) throws(PostgresError) -> [UUIDv7?] {
    try array(column, "uuid[]") { $0 == PostgresType.uuid.oid ? UUIDv7(bytes: $1) : nil }
  }

  package func timestamps(_ column: Column) throws(PostgresError) -> [PostgresTimestamp?] {
    try array(column, "timestamptz[]") { oid, bytes in
      guard oid == PostgresType.timestamptz.oid, bytes.count == 8 else { return nil }
      return PostgresTimestamp(postgresMicroseconds: BinaryValue.integer(bytes, as: Int64.self))
    }
  }

  /// bytea[], or the bytes of text[], json[] and jsonb[].
  package func byteArrays(_ column: Column) throws(PostgresError) -> [[UInt8]?] {
    try array(column, "bytea[]") { oid, bytes in
      oid == PostgresType.bytea.oid || BinaryValue.isTextual(oid)
        ? Array(BinaryValue.text(oid, bytes)) : nil
    }
  }

  // MARK: Access

  private struct Value {
    let oid: UInt32
    let bytes: UnsafeRawBufferPointer

    var isTextual: Bool { BinaryValue.isTextual(oid) }
    var text: UnsafeRawBufferPointer { BinaryValue.text(oid, bytes) }
  }

  private func position(_ column: Column) throws(PostgresError) -> Int {
    switch column {
    case .position(let index):
      guard index >= 0 && index < rows.columnCount else {
        throw PostgresError(.decoding, "no column \(index): the row has \(rows.columnCount)")
      }
      return index
    case .name(let name):
      guard let index = rows.columnIndex(name) else {
        throw PostgresError(.decoding, "no column \(name)")
      }
      return index
    }
  }

  /// The bytes stay valid as long as `rows`, which the row holds.
  private func value(_ column: Column) throws(PostgresError) -> Value? {
    let column = Int32(try position(column))
    let row = Int32(index)
    if PQgetisnull(rows.result, row, column) != 0 { return nil }
    let length = Int(PQgetlength(rows.result, row, column))
    return Value(
      oid: PQftype(rows.result, column),
      bytes: UnsafeRawBufferPointer(start: PQgetvalue(rows.result, row, column), count: length))
  }

  private func array<Element>(
    _ column: Column, _ wanted: String, _ decode: (UInt32, UnsafeRawBufferPointer) -> Element?
  ) throws(PostgresError) -> [Element?] {
    guard let value = try value(column) else { throw PostgresError(.decoding, "\(name(column)) is NULL") }
    guard let elements = BinaryValue.array(value.bytes, decode) else { throw mismatch(column, wanted) }
    return elements
  }

  private func required<Value>(_ value: Value?, _ column: Column) throws(PostgresError) -> Value {
    guard let value else { throw PostgresError(.decoding, "\(name(column)) is NULL") }
    return value
  }

  private func mismatch(_ column: Column, _ wanted: String) -> PostgresError {
    let type = (try? position(column)).map { rows.columnType($0) } ?? 0
    return PostgresError(.decoding, "\(name(column)) of type \(type) is no \(wanted)")
  }

  private func name(_ column: Column) -> String {
    switch column {
    case .position(let index): "column \(index) (\(rows.columnName(index)))"
    case .name(let name): "column \(name)"
    }
  }
}
