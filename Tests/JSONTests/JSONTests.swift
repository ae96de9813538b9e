import JSON
import Testing

@Suite struct JSONTests {
  private static func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8) }

  @Test("keeps whole numbers exact through Int64 and UInt64")
  func wholeNumbers() throws {
    #expect(try Self.parse("0") == .integer(0))
    #expect(try Self.parse("1") == .integer(1))
    #expect(try Self.parse("9007199254740993") == .integer(9_007_199_254_740_993))
    #expect(try Self.parse("-9223372036854775808") == .integer(.min))
    #expect(try Self.parse("-9223372036854775807") == .integer(.min + 1))
    #expect(try Self.parse("-9223372036854775809").identifier == nil)
    #expect(try Self.parse("9223372036854775807") == .integer(.max))
    #expect(try Self.parse("9223372036854775808") == .unsigned(9_223_372_036_854_775_808))
    #expect(try Self.parse("18446744073709551615") == .unsigned(.max))
    #expect(try Self.parse("18446744073709551616").integer == nil)
  }

  @Test("tells true and false from one and nought, whatever was read before")
  func booleans() throws {
    #expect(try Self.parse("[1,true,0,false,1]") == [1, true, 0, false, 1])
    #expect(try Self.parse("true").integer == nil)
    #expect(try Self.parse("1").bool == nil)
  }

  @Test("reads fractions, texts, nothing and nested values")
  func values() throws {
    #expect(try Self.parse("0.5").double == 0.5)
    #expect(try Self.parse("1e3").integer == 1_000)
    #expect(try Self.parse(" null ") == .null)
    #expect(try Self.parse(#""\u00fc\ud83d\udc4b\n\"""#) == "ü👋\n\"")
    #expect(try Self.parse(#"{"a":{"b":[{},[],""]},"c":null}"#) == ["a": ["b": [[:], [], ""]], "c": nil])
  }

  @Test("keeps a byte order mark in a text, raw and escaped", arguments: ["\u{feff}", "\\ufeff", "\\uFEFF"])
  func byteOrderMark(mark: String) throws {
    let value = try Self.parse("{\"a\":[\"\(mark)bom\",\"x\(mark)\"],\"id\":9007199254740993,\"b\":true}")
    #expect(value["a"]?[0]?.string == "\u{feff}bom")
    #expect(value["a"]?[1]?.string == "x\u{feff}")
    #expect(value["id"] == .integer(9_007_199_254_740_993))
    #expect(value["b"] == .bool(true))
  }

  @Test(
    "refuses what is not one whole document",
    arguments: [
      "", " ", "{", "}", "[1", "[1,]x", "{\"a\"}", "{\"a\":1}}", "1 2", "nul", "'a'", "\"a", "\"\\x\"",
      "01", "-", "1e", "3e400", "NaN", "\"\u{1}\"", "{a:1}",
      "[1,]", "{\"a\":1,}", "[[1, \n]]", "[\"\\\"\",]", "[,]", "[1,,2]", "[\u{feff}1]",
    ])
  func refusals(text: String) {
    #expect(throws: (any Error).self) { try Self.parse(text) }
  }

  @Test("refuses bytes that are not UTF-8, and nesting past the limit")
  func hostile() {
    #expect(throws: (any Error).self) { try JSONValue(parsing: [0x22, 0xff, 0xfe, 0x22]) }
    for wide in [
      [0x5b, 0, 0x5d, 0], [0, 0x5b, 0, 0x5d], [0xff, 0xfe, 0x31, 0], [0x5b, 0, 0, 0, 0x5d, 0, 0, 0],
    ] {
      #expect(throws: (any Error).self) { try JSONValue(parsing: wide.map { UInt8($0) }) }
    }
    #expect(throws: (any Error).self) { try Self.parse(String(repeating: "[", count: 100_000)) }
    let deep = String(repeating: "[", count: 600) + String(repeating: "]", count: 600)
    #expect(throws: (any Error).self) { try Self.parse(deep) }
  }

  @Test("a comma in a string is not one before a bracket", arguments: [",]", #"\",]"#, ", }", "[,"])
  func commasInStrings(text: String) throws {
    #expect(try JSONValue(parsing: JSONValue.array([.string(text)]).encoded()) == [.string(text)])
  }

  @Test("a number beyond the integers is the Double that is nearest")
  func nearestDouble() throws {
    #expect(try Self.parse("1.8446772036854776e+19").double == 1.8446772036854776e+19)
    #expect(try Self.parse("18446772036854775807").double == 18_446_772_036_854_775_807.0)
  }

  @Test("reads again what it wrote")
  func roundTrip() throws {
    let value: JSONValue = [
      "text": "a\"\\\u{1}\u{2028}ü", "int": .integer(.min), "big": .unsigned(.max), "half": 0.5,
      "list": [nil, true, false, [:], []],
    ]
    #expect(try JSONValue(parsing: value.encoded()) == value)
  }
}
