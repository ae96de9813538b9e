import HTTPWire
import Testing

@Suite struct HTTPDateTests {
  @Test("reads what it writes", arguments: [0, 951_782_400, 1_795_219_200, 4_102_444_799, 253_402_300_799])
  func roundTrip(seconds: Int) {
    #expect(HTTPDate.parse(HTTPDate.format(unixSeconds: seconds)) == seconds)
  }

  @Test(
    "reads nothing else",
    arguments: [
      "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37",
      "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 94 08:49:37 GMT", "120",
    ])
  func others(text: String) {
    #expect(HTTPDate.parse(text) == nil)
  }
}
