import Bytes
import Testing

@testable import Postgres

@Suite("PostgreSQL values")
struct PostgresValueTests {
  @Test("a text array has the form of the manual: dimensions, nulls, type, length, bound, elements")
  func arrayForm() {
    let bind = PostgresBind.texts(["ab", nil])
    #expect(bind.oid == 1009)
    #expect(
      bind.bytes == [
        0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1,
        0, 0, 0, 2, 97, 98, 255, 255, 255, 255,
      ])
  }

  @Test("a cut or padded array is refused, at each point")
  func damagedArray() throws {
    let bytes = try #require(PostgresBind.ints([1, nil, 3]).bytes)
    func read(_ bytes: [UInt8]) -> [Int?]? {
      bytes.withUnsafeBytes { BinaryValue.array($0) { BinaryValue.int($0, $1) } }
    }
    #expect(read(bytes) == [1, nil, 3])
    for cut in 0..<bytes.count { #expect(read(Array(bytes[..<cut])) == nil) }
    #expect(read(bytes + [0]) == nil)
  }

  @Test("milliseconds are rounded down, also before 1970")
  func timestamps() {
    #expect(PostgresTimestamp(microseconds: 1_999).milliseconds == 1)
    #expect(PostgresTimestamp(microseconds: -1).milliseconds == -1)
    #expect(PostgresTimestamp(milliseconds: 5).microseconds == 5_000)
    #expect(PostgresTimestamp(microseconds: 946_684_800_000_000).postgresMicroseconds == 0)
  }

  @Test("scalars come back as they went")
  func scalars() async throws {
    let id = UUIDv7(milliseconds: 1_700_000_000_000, counter: 5, random: 77)
    try await TestLoop.withConnection { _, connection in
      let rows = try await connection.query(
        """
        SELECT $1 AS t, $2 AS i8, $3 AS i4, $4 AS i2, $5 AS b, $6 AS d, $7 AS u, $8 AS y, $9 AS at,
               $10 AS j, $11 AS jb, $12 AS n, $9::text AS shown, $13 AS empty, $14 AS none
        """,
        [
          .text("grüße 👋"), .int(-5), .int4(70_000), .int2(-2), .bool(true), .double(1.5), .uuid(id),
          .bytes([0, 255, 7]), .timestamp(PostgresTimestamp(microseconds: 1_700_000_000_123_456)),
          .json(Array("{\"a\" : 1}".utf8)), .jsonb(Array("{\"a\" : 1}".utf8)), .null(.text), .text(""),
          .bytes([]),
        ])
      let row = try #require(rows.first)
      #expect(try row.string("t") == "grüße 👋")
      #expect(try row.int("i8") == -5)
      #expect(try row.int("i4") == 70_000)
      #expect(try row.int(3) == -2)
      #expect(try row.bool("b"))
      #expect(try row.double("d") == 1.5)
      #expect(try row.uuid("u") == id)
      #expect(try row.bytes("y") == [0, 255, 7])
      #expect(try row.timestamp("at").microseconds == 1_700_000_000_123_456)
      #expect(try row.string("shown") == "2023-11-14 22:13:20.123456+00")
      #expect(try row.string("j") == "{\"a\" : 1}")
      #expect(try row.string("jb") == "{\"a\": 1}")
      #expect(try row.optionalString("n") == nil)
      #expect(try row.isNull("n"))
      #expect(try row.string("empty").isEmpty)
      #expect(try row.bytes("none").isEmpty)
    }
  }

  @Test("arrays of each type come back with their nulls")
  func arrays() async throws {
    let id = UUIDv7(milliseconds: 1, counter: 2, random: 3)
    let time = PostgresTimestamp(microseconds: 12_345)
    try await TestLoop.withConnection { _, connection in
      let rows = try await connection.query(
        """
        SELECT $1 AS t, $2 AS i8, $3 AS i4, $4 AS i2, $5 AS b, $6 AS d, $7 AS u, $8 AS y, $9 AS at,
               $10 AS j, $11 AS jb, $12 AS empty
        """,
        [
          .texts(["a", nil, ""]), .ints([1, nil]), .int4s([nil, 2]), .int2s([3]), .bools([true, nil, false]),
          .doubles([0.5, nil]), .uuids([id, nil]), .byteArrays([[1], nil, []]), .timestamps([time, nil]),
          .jsons([Array("1".utf8), nil]), .jsonbs([Array("[2]".utf8), nil]), .texts([]),
        ])
      let row = try #require(rows.first)
      #expect(try row.strings("t") == ["a", nil, ""])
      #expect(try row.ints("i8") == [1, nil])
      #expect(try row.ints("i4") == [nil, 2])
      #expect(try row.ints("i2") == [3])
      #expect(try row.bools("b") == [true, nil, false])
      #expect(try row.doubles("d") == [0.5, nil])
      #expect(try row.uuids("u") == [id, nil])
      #expect(try row.byteArrays("y") == [[1], nil, []])
      #expect(try row.timestamps("at") == [time, nil])
      #expect(try row.strings("j") == ["1", nil])
      #expect(try row.strings("jb") == ["[2]", nil])
      #expect(try row.strings("empty").isEmpty)
    }
  }

  @Test("a wrong type, a NULL and a missing column are decoding errors that name the column")
  func wrongAccess() async throws {
    try await TestLoop.withConnection { _, connection in
      let rows = try await connection.query("SELECT 1::int8 AS one, NULL::text AS nothing")
      let row = try #require(rows.first)
      let errors: [PostgresError?] = [
        #expect(throws: PostgresError.self) { try row.string("one") },
        #expect(throws: PostgresError.self) { try row.string("nothing") },
        #expect(throws: PostgresError.self) { try row.int("absent") },
        #expect(throws: PostgresError.self) { try row.int(9) },
        #expect(throws: PostgresError.self) { try row.ints("one") },
      ]
      for error in errors { #expect(error?.code == .decoding) }
      #expect(errors[0]?.message.contains("one") == true)
    }
  }
}
