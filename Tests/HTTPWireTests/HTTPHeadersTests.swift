import HTTPWire
import Testing

@Suite struct HTTPHeadersTests {
  @Test("names compare without case, order and repetition are kept")
  func fields() {
    var headers: HTTPHeaders = ["A": "1", "b": "2"]
    headers.add("a", "3")
    #expect(headers["a"] == "1" && headers.all("A") == ["1", "3"] && headers["c"] == nil)
    headers.set("A", "4")
    #expect(headers.fields.map(\.name) == ["b", "A"])
    headers.remove("B")
    #expect(headers == ["a": "4"])
    #expect(headers != ["a": "5"])
  }

  @Test("reads list members over all lines")
  func lists() {
    let headers: HTTPHeaders = ["Connection": "a ,, Upgrade", "connection": "\tx"]
    #expect(headers.list("connection") == ["a", "Upgrade", "x"])
    #expect(headers.list("connection", contains: "upgrade"))
    #expect(!headers.list("connection", contains: "grade"))
  }

  @Test("reads a cookie")
  func cookies() {
    let headers: HTTPHeaders = ["Cookie": "a=1; token=\"x=y\"; ab=2", "cookie": "z=3"]
    #expect(headers.cookie("token") == "x=y")
    #expect(headers.cookie("z") == "3")
    #expect(headers.cookie("b") == nil)
  }

  @Test("shows no values in descriptions")
  func description() {
    #expect("\(["Authorization": "secret"] as HTTPHeaders)" == "HTTPHeaders(Authorization)")
  }

  @Test(
    "writes dates",
    arguments: [
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
      (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
  func dates(seconds: Int, text: String) {
    #expect(HTTPDate.format(unixSeconds: seconds) == text)
  }
}
