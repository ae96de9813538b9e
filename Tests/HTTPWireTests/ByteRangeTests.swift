import HTTPWire
import Testing

@Suite("Byte ranges")
struct ByteRangeTests {
  @Test(
    "a range is read for a body of ten bytes",
    arguments: [
      ("bytes=0-0", ByteRange.part(0..<1)), ("bytes=0-9", .part(0..<10)), ("bytes=0-", .part(0..<10)),
      ("bytes=9-", .part(9..<10)), ("bytes=3-100", .part(3..<10)), ("bytes=-3", .part(7..<10)),
      ("bytes=-100", .part(0..<10)), ("BYTES=1-2", .part(1..<3)), ("bytes= 1 - 2", .part(1..<3)),
      ("bytes=1-9223372036854775807", .part(1..<10)), ("bytes=1-99999999999999999999", .part(1..<10)),
      ("bytes=10-", .unsatisfiable), ("bytes=10-12", .unsatisfiable), ("bytes=-0", .unsatisfiable),
      ("bytes=99999999999999999999-", .unsatisfiable), ("bytes=5-4", .whole), ("bytes=-", .whole),
      ("bytes=", .whole), ("bytes=a-b", .whole), ("bytes=1-2,4-5", .whole), ("bytes=+1-2", .whole),
      ("bytes=1-2-3", .whole), ("items=1-2", .whole), ("1-2", .whole), ("", .whole),
    ])
  func ranges(field: String, expected: ByteRange) {
    #expect(ByteRange(field, length: 10) == expected)
  }

  @Test("an empty body has no part")
  func empty() {
    #expect(ByteRange("bytes=0-", length: 0) == .unsatisfiable)
    #expect(ByteRange("bytes=-5", length: 0) == .unsatisfiable)
    #expect(ByteRange(nil, length: 0) == .whole)
  }
}
