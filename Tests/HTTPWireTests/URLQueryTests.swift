import HTTPWire
import Testing

@Suite struct URLQueryTests {
  @Test("reads pairs, plus signs, percent sequences and bare names")
  func reads() throws {
    let query = try URLQuery("a=1&b=two+words&&c&a=%C3%A9%3D&=x&d=e=f")
    #expect(query.items.map(\.name) == ["a", "b", "c", "a", "", "d"])
    #expect(query.items.map(\.value) == ["1", "two words", "", "é=", "x", "e=f"])
    #expect(query["a"] == "1" && query.all("a") == ["1", "é="] && query["z"] == nil)
    #expect(try URLQuery("").items.isEmpty)
  }

  @Test("what it writes it reads again")
  func roundTrip() throws {
    let query = URLQuery([.init(name: "a b&", value: "é=+%/"), .init(name: "ü", value: "")])
    #expect(try URLQuery(query.encoded) == query)
  }

  @Test("refuses bad percent sequences", arguments: ["%", "a=%4", "a=%zz", "%ff=1", "a=%00", "a=%+1"])
  func refuses(raw: String) {
    #expect(throws: HTTPParseError.queryMalformed) { try URLQuery(raw) }
    #expect(HTTPParseError.queryMalformed.status == .badRequest)
  }

  @Test("bounds the number of pairs")
  func bounded() {
    #expect(throws: HTTPParseError.queryItemsTooMany(limit: 2)) { try URLQuery("a&b&c", itemsMax: 2) }
  }

  @Test("a path keeps its plus sign")
  func path() {
    #expect(PercentEncoding.decode("a+b%20c") == "a+b c")
    #expect(PercentEncoding.encode("a b/ü~") == "a%20b%2F%C3%BC~")
  }
}
